from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from telephonegan.chains import Chain, Round
from telephonegan.drift import Changes, Drift, Repetition, Track, Turn
from telephonegan.drift.chain_drift import final_attractor, final_period, first_fixed_point
from telephonegan.results import Caption, Picture

MEASURES = ["content_f1", "ssim"]


@pytest.fixture
def chain() -> Chain:
    captions = ["A red <b>ball</b>, in the snow!", "a blue ball", "a blue car", "a blue car"]
    rounds = [Round(t, Caption(text), Picture(Image.new("RGB", (8, 8), "red"))) for t, text in enumerate(captions)]
    return Chain(rounds[0].picture.image, number=7, seed=2, wanted=3, rounds=rounds)


def test_a_track_holds_the_words_and_pictures_of_a_chain(chain):
    track = Track.of(chain, references=[["a", "toy"]])
    assert (track.chain, track.source, track.seed, track.references) == ("s0007-seed2", "s0007", 2, (("a", "toy"),))
    assert track.turns[1] == Turn(1, ("a", "blue", "ball"), chain[1].picture.image)
    assert Track.of(chain, source="dog.jpg").chain == "dog.jpg-seed2"


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
    assert drift.repetition == Repetition(3, 1, (("a", "blue", "car"),))


def test_a_drift_prints_as_a_table_with_a_line_on_words_and_one_on_repetition(chain):
    lines = repr(chain.drift(MEASURES)).splitlines()
    assert lines[0] == "Drift of s0007-seed2 over 3 rounds: similarity to round 0"
    assert lines[1].split() == ["measure", "direction", "1", "2", "3"]
    assert lines[2].split() == ["content_f1", "text→text", "0.33", "0.00", "0.00"]
    assert "gained blue, car" in lines[4]
    assert lines[5] == "First repeated caption: round 3; it ends in a fixed point."


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


def test_a_chain_of_one_round_shows_that_there_is_nothing_to_compare(chain):
    del chain.rounds[1:]
    assert repr(chain.drift(MEASURES)).splitlines()[-1] == "There is no round after round 0 to compare."


@pytest.mark.parametrize(
    ("captions", "first", "period", "attractor"),
    [
        ("", None, None, ()),
        ("a", None, None, ("a",)),
        ("abc", None, None, ("c",)),
        ("abb", 2, 1, ("b",)),
        ("aaaa", 1, 1, ("a",)),
        ("xabab", None, 2, ("a", "b")),
        ("xbaba", None, 2, ("a", "b")),
        ("aba", None, None, ("a",)),
        ("xcabcab", None, 3, ("a", "b", "c")),
        ("aabc", 1, None, ("c",)),
        ("xaabaab", 2, 3, ("a", "a", "b")),
    ],
)
def test_known_captions_have_their_fixed_point_period_and_attractor(captions, first, period, attractor):
    assert Repetition.of(list(captions)) == Repetition(first, period, attractor)


@given(st.lists(st.integers(0, 3), max_size=5), st.permutations(range(10, 16)), st.integers(1, 6), st.integers(2, 4))
def test_a_cycle_of_distinct_captions_has_its_length_as_period(prefix, cycle, period, laps):
    lap = cycle[:period]
    assert final_period(prefix + lap * laps) == period
    assert final_attractor(prefix + lap * laps) == final_attractor((lap[1:] + lap[:1]) * 2)


def test_captions_may_be_tuples_of_words():
    captions = [("a", "dog"), ("a", "cat"), ("a", "cat")]
    assert (first_fixed_point(captions), final_attractor(captions)) == (2, (("a", "cat"),))
