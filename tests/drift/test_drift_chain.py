from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from telephonegan.chains import Chain, Round
from telephonegan.drift import Changes, Drift, Repetition, Track, Turn
from telephonegan.drift.chain_drift import cycle_length
from telephonegan.results import Caption, Picture

MEASURES = ["content_f1", "ssim"]


@pytest.fixture
def chain() -> Chain:
    captions = ["A red <b>ball</b>, in the snow!", "a blue ball", "a blue car", "a blue car"]
    rounds = [Round(t, Caption(text), Picture(Image.new("RGB", (8, 8), "red"))) for t, text in enumerate(captions)]
    return Chain(rounds[0].picture.image, number=7, seed=2, wanted=3, rounds=rounds)


def test_a_track_holds_the_words_and_pictures_of_a_chain(chain):
    track = Track.of(chain, references=[["a", "toy"]])
    assert (track.chain, track.source, track.seed, track.references) == ("0007-seed2", "0007", 2, (("a", "toy"),))
    assert track.turns[1] == Turn(1, ("a", "blue", "ball"), chain[1].picture.image)
    assert Track.of(chain, source="dog.jpg").chain == "dog.jpg-seed2"
    chain.source_name = "My dog.jpg"
    assert Track.of(chain).chain == "0007-my-dog-seed2"


def test_a_track_of_a_game_that_began_with_a_text_has_no_first_picture(chain):
    chain.rounds[0] = Round(0, chain[0].caption, None)
    assert Track.of(chain).turns[0].picture is None


def test_a_chain_tells_its_drift(chain):
    drift = chain.drift(MEASURES)
    assert drift.values("content_f1") == pytest.approx({1: 1 / 3, 2: 0.0, 3: 0.0})
    assert drift.values("content_f1", "previous") == {1: pytest.approx(1 / 3), 2: 0.5, 3: 1.0}
    assert drift.values("ssim") == {1: 1.0, 2: 1.0, 3: 1.0}
    assert drift.changes[0] == Changes(kept=("ball",), lost=("red", "b", "snow"), gained=("blue",))
    assert drift.steps[1] == Changes(kept=("blue",), lost=("ball",), gained=("car",))
    assert drift.repetition == Repetition(3, None, None, (("a", "blue", "car"),))


def test_a_drift_prints_as_a_table_with_a_line_on_words_and_one_on_repetition(chain):
    lines = repr(chain.drift(MEASURES)).splitlines()
    assert lines[0] == "Drift of 0007-seed2 over 3 rounds: similarity to round 0"
    assert lines[1].split() == ["measure", "direction", "1", "2", "3"]
    assert lines[2].split() == ["content_f1", "text→text", "0.33", "0.00", "0.00"]
    assert "gained blue, car" in lines[4]
    assert lines[5] == "First repeated caption: round 3; it lasts to the end."


def test_the_table_of_a_long_chain_shows_twelve_rounds_the_last_among_them():
    track = Track("a", "a", 0, tuple(Turn(t, (str(t % 7),)) for t in range(101)))
    header = repr(Drift.of(track, ["content_f1"])).splitlines()[1].split()
    assert len(header) == 2 + 12
    assert (header[2], header[-1]) == ("1", "100")


def test_html_is_escaped():
    track = Track("<i>", "a", 0, (Turn(0, ("<b>",)), Turn(1, ("<u>",))))
    html = Drift.of(track, ["content_f1"])._repr_html_()
    assert "&lt;i&gt;" in html and "&lt;u&gt;" in html
    assert not any(tag in html for tag in ("<i>", "<b>", "<u>"))


def test_in_a_browser_a_few_measures_of_many_rounds_are_a_narrow_table():
    track = Track("a", "a", 0, tuple(Turn(t, (str(t % 2),)) for t in range(6)))
    html = Drift.of(track, ["content_f1"])._repr_html_()
    assert html.count("<tr>") == 1 + 5 and "<tr><th>round</th><th>content_<wbr>f1 text→<wbr>text</th></tr>" in html
    assert "<tr><td>2</td><td>1.00</td></tr>" in html


def test_a_chain_of_one_round_shows_that_there_is_nothing_to_compare(chain):
    del chain.rounds[1:]
    assert (
        repr(chain.drift(MEASURES)).splitlines()[-1]
        == "There is no round after round 0, so there is nothing to compare."
    )


def test_a_repetition_that_is_left_again_is_told():
    track = Track("a", "a", 0, tuple(Turn(t, (word,)) for t, word in enumerate("abbbc")))
    assert repr(Drift.of(track, ["content_f1"])).endswith("First repeated caption: round 2; left again in round 4.")


@pytest.mark.parametrize(
    ("captions", "first", "left", "period", "attractor"),
    [
        ("", None, None, None, ""),
        ("a", None, None, None, "a"),
        ("abc", None, None, None, "c"),
        ("abb", 2, None, 1, "b"),
        ("aaaa", 1, None, 1, "a"),
        ("aba", None, None, 2, "ab"),  # the first caption that comes back closes the cycle
        ("xabab", None, None, 2, "ab"),
        ("xbaba", None, None, 2, "ab"),
        ("xcabcab", None, None, 3, "abc"),
    ],
)
def test_with_the_same_noise_a_caption_that_comes_back_is_a_cycle(captions, first, left, period, attractor):
    found = Repetition.of(list(captions), same_noise=True)
    assert found == Repetition(first, left, period, tuple(attractor))


@pytest.mark.parametrize(
    ("captions", "first", "left"),
    [("aba", None, None), ("aabc", 1, 2), ("abbbc", 2, 4), ("abb", 2, None), ("aaba", 1, 2)],
)
def test_with_new_noise_a_repetition_is_no_cycle_and_may_be_left(captions, first, left):
    assert Repetition.of(list(captions)) == Repetition(first, left, None, (captions[-1],))


@given(
    st.lists(st.integers(0, 3), max_size=5, unique=True),
    st.permutations(range(10, 16)),
    st.integers(1, 6),
    st.integers(1, 9),
)
def test_a_function_of_the_caption_before_has_the_length_of_its_cycle_as_period(prefix, cycle, period, more):
    lap = cycle[:period]
    said = prefix + (lap * 11)[: period + more]
    assert cycle_length(said) == period
    assert Repetition.of(said, same_noise=True).attractor == Repetition.of(lap * 2, same_noise=True).attractor
    assert cycle_length(prefix + lap) is None


def test_captions_may_be_tuples_of_words():
    captions = [("a", "dog"), ("a", "cat"), ("a", "cat")]
    assert Repetition.of(captions, same_noise=True) == Repetition(2, None, 1, (("a", "cat"),))
