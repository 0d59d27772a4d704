import pytest
from PIL import Image

from telephonegan.drift.references import other_captions, repaintings, unrelated
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


def test_other_captions_follow_the_start():
    found = other_captions([track("a", 0, references=(("one",), ("two",))), track("b", 0)])
    assert [t.chain for t in found] == ["a-seed0"]
    assert [(t.round, t.words, t.picture) for t in found[0].turns[1:]] == [(1, ("one",), None), (2, ("two",), None)]
    assert found[0].turns[0].words == ("a",)


def test_repaintings_are_of_the_same_caption_and_another_seed():
    tracks = [track("a", 0), track("a", 1), track("a", 2, start="other"), track("b", 0)]
    found = {t.chain: [turn.picture.getpixel((0, 0))[0] for turn in t.turns] for t in repaintings(tracks)}
    assert found == {"a-seed0": [0, 1], "a-seed1": [1, 0]}


def test_chains_without_pictures_or_rounds_have_no_repaintings():
    assert repaintings([track("a", 0, pictures=False), track("a", 1, pictures=False)]) == []
    assert repaintings([track("a", 0, rounds=1), track("a", 1, rounds=1)]) == []
