import numpy as np
import pytest
from PIL import Image

from telephonegan.drift import similarities
from telephonegan.drift.references import (
    REFERENCES,
    all_pairs,
    other_captions,
    own_captions,
    people,
    repaintings,
    strangers,
    unrelated,
)
from telephonegan.drift.tracks import Track, Turn
from telephonegan.errors import DataError


def track(source, seed, rounds=3, start=None, references=(), pictures=True):
    picture = Image.new("RGB", (1, 1), (seed, 0, 0)) if pictures else None
    turns = tuple(
        Turn(t, (start or source,) if t == 0 else (source, str(seed), str(t)), picture) for t in range(rounds)
    )
    return Track(f"{source}-seed{seed}", source, seed, turns, references)


def test_unrelated_chains_are_of_another_source_and_of_the_same_seed():
    tracks = [track(source, seed) for source in "abcde" for seed in (0, 1)]
    floor = unrelated(tracks)
    assert [t.chain for t in floor] == [t.chain for t in tracks]
    for given, found in zip(tracks, floor, strict=True):
        assert found.turns[0] == given.turns[0]
        stranger, seed, _ = found.turns[1].words
        assert stranger != given.source and seed == str(given.seed)
    partners = {t.source: t.turns[1].words[0] for t in floor}
    assert sorted(partners.values()) == list("abcde")


def test_pairs_do_not_hang_on_the_order_of_chains():
    tracks = [track(source, 0) for source in "abcdef"]
    pairs = [{t.chain: t.turns[1].words for t in unrelated(given)} for given in (tracks, tracks[::-1])]
    assert pairs[0] == pairs[1]


def test_one_source_has_no_unrelated_chains():
    with pytest.raises(DataError, match="two sources"):
        unrelated([track("a", 0), track("a", 1)])


def test_every_source_has_another_one_of_its_own():
    partner = strangers(["b", "a", "c", "a"])
    assert sorted(partner) == sorted(partner.values()) == ["a", "b", "c"]
    assert all(source != other for source, other in partner.items())


def same(first, later):
    return np.array([float(a == b) for a, b in zip(first, later, strict=True)])


def chain(source, seed, *texts):
    return Track(f"{source}{seed}", source, seed, tuple(Turn(t, (text,)) for t, text in enumerate(texts)))


def test_every_start_is_compared_with_the_rounds_of_every_source_and_the_seeds_averaged():
    tracks = [
        chain("b", 0, "x", "y", "x"),
        chain("a", 0, "y", "y", "y"),
        chain("b", 1, "x", "y"),
        chain("a", 1, "y", "x"),
    ]
    found = all_pairs(tracks, same, rounds=[1, 2])
    np.testing.assert_array_equal(found[..., 0], [[0.5, 1.0], [0.5, 0.0]])  # rows: starts of a and b
    np.testing.assert_array_equal(found[..., 1], [[1.0, 0.0], [0.0, 1.0]])  # seed 0 alone has a round 2


def test_a_pair_without_a_common_seed_or_a_value_is_unknown():
    tracks = [chain("a", 0, "x", "x"), chain("b", 1, "x", "x"), chain("c", 0, "z", "x")]
    found = all_pairs(tracks, lambda first, later: np.where(np.array(first)[:, 0] == "z", np.nan, 1.0), rounds=[1])
    nan = np.nan
    np.testing.assert_array_equal(found[..., 0], [[1, nan, 1], [nan, 1, nan], [nan, nan, nan]])


def test_equal_captions_are_compared_once_however_many_chains_say_them():
    asked = []

    def compare(first, later):
        asked.extend(zip(first, later, strict=True))
        return same(first, later)

    all_pairs([chain(str(i), 0, "x", "y") for i in range(20)], compare, rounds=[1])
    assert asked == [(("x",), ("y",))]


def test_other_captions_follow_the_start():
    found = other_captions([track("a", 0, references=(("one",), ("two",))), track("b", 0)])
    assert [t.chain for t in found] == ["a-seed0"]
    assert [(t.round, t.words, t.picture) for t in found[0].turns[1:]] == [(1, ("one",), None), (2, ("two",), None)]
    assert found[0].turns[0].words == ("a",)


def test_each_person_is_compared_with_the_others_once_for_each_source():
    captions = (("one",), ("two",), ("three",))
    found = people([track("a", 0, references=captions), track("a", 1, references=captions), track("b", 0)])
    assert [[turn.words[0] for turn in t.turns] for t in found] == [
        ["one", "two", "three"],
        ["two", "one", "three"],
        ["three", "one", "two"],
    ]
    assert {t.source for t in found} == {"a"} and len({t.chain for t in found}) == 3
    assert people([track("a", 0, references=captions[:1])]) == []


def test_a_photograph_is_compared_with_its_own_caption():
    (found,) = own_captions([track("a", 0), track("b", 0, pictures=False)])
    first, second = found.turns
    assert (first.words, first.picture) == (second.words, second.picture) and (first.round, second.round) == (0, 1)


def test_no_reference_is_called_a_bound_and_each_can_be_measured():
    captions = (("red", "ball"), ("red", "car"))
    tracks = [track(source, seed, references=captions) for source in "ab" for seed in (0, 1)]
    for reference in REFERENCES:
        assert not {"ceiling", "floor"} & set(reference.name.split())
        assert reference.tracks(tracks) and set(reference.directions) <= {
            f"{a}→{b}" for a in ("text", "image") for b in ("text", "image")
        }
    rows = similarities(people(tracks), ["content_f1"])
    assert {row["value"] for row in rows if row["to"] == "start"} == {0.5}


def test_repaintings_are_of_the_same_caption_and_another_seed():
    tracks = [track("a", 0), track("a", 1), track("a", 2, start="other"), track("b", 0)]
    found = {t.chain: [turn.picture.getpixel((0, 0))[0] for turn in t.turns] for t in repaintings(tracks)}
    assert found == {"a-seed0": [0, 1], "a-seed1": [1, 0]}


def test_chains_without_pictures_or_rounds_have_no_repaintings():
    assert repaintings([track("a", 0, pictures=False), track("a", 1, pictures=False)]) == []
    assert repaintings([track("a", 0, rounds=1), track("a", 1, rounds=1)]) == []
