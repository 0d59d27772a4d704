import math
from collections import Counter

import numpy as np
import pytest

from telephonegan.drift.coverage import compared_diversity, hill_numbers, lemmas, round_samples, sample_coverage, whole
from telephonegan.errors import DataError, SettingsError
from tests.planted import tracks


def drawn(kinds: int, size: int, seed: int = 0) -> dict[str, list[int]]:
    """Equally common kinds, one draw from each source."""
    return {f"s{i:05}": [int(kind)] for i, kind in enumerate(np.random.default_rng(seed).integers(kinds, size=size))}


def test_hill_numbers_of_the_sample_are_the_textbook_ones():
    counts = [6, 3, 1]
    shares = np.array(counts) / 10
    expected = [3, math.exp(-(shares * np.log(shares)).sum()), 1 / (shares**2).sum()]
    assert hill_numbers(counts).tolist() == pytest.approx(expected)


def test_rarefaction_is_the_mean_of_smaller_samples():
    counts, size = [8, 4, 2, 1, 1], 5
    pool = np.repeat(range(len(counts)), counts)
    rng = np.random.default_rng(0)
    found = [len(set(rng.choice(pool, size, replace=False).tolist())) for _ in range(4000)]
    assert hill_numbers(counts, size)[0] == pytest.approx(np.mean(found), abs=0.05)


def test_coverage_is_the_share_of_what_there_is_to_be_met():
    kinds = 200
    for size in (100, 400):
        truths, told = [], []
        for seed in range(40):
            counts = Counter(np.random.default_rng(seed).integers(kinds, size=size).tolist())
            truths.append(len(counts) / kinds)
            told.append(sample_coverage(list(counts.values())))
        assert np.mean(told) == pytest.approx(np.mean(truths), abs=0.02)
    counts = list(Counter(np.random.default_rng(0).integers(kinds, size=400).tolist()).values())
    assert sample_coverage(counts, 100) == pytest.approx(1 - (1 - 1 / kinds) ** 100, abs=0.03)


def test_equally_diverse_samples_of_different_sizes_come_out_equal():
    found = compared_diversity({"small": drawn(100, 150), "large": drawn(100, 1500, seed=1)})
    small, large = (found.numbers[name] for name in ("small", "large"))
    assert len(set(kind for kinds in drawn(100, 150).values() for kind in kinds)) < 90, "raw counts would differ"
    for order in range(3):
        assert small.low[order] < large.value[order] < small.high[order]


def test_more_kinds_come_out_more_diverse():
    found = compared_diversity({"few": drawn(50, 600), "many": drawn(150, 600)})
    assert (found.numbers["few"].high < found.numbers["many"].low).all()
    assert found.coverage == min(found.reached.values())


def test_samples_are_one_caption_of_each_photograph():
    games = tracks(
        [[["dogs", "run"], ["a", "dog"]]] * 40, seeds=2, references=[[["two", "dogs"], ["a", "pup"]] for _ in range(20)]
    )
    found = round_samples(games, [0, 1])
    assert list(found) == ["people", "round 0", "round 1"]
    assert {len(sample) for sample in found.values()} == {20}
    assert found["round 1"]["s0000"] == ["dog"]
    assert Counter(map(tuple, found["people"].values())) == {("two", "dog"): 10, ("pup",): 10}
    assert lemmas(("a", "dog", "and", "dogs")) == ["dog"] and whole(("a", "dog")) == [("a", "dog")]


def test_what_cannot_be_compared_is_refused_with_the_reason():
    with pytest.raises(DataError, match=r"'rare' covers 0\.0. .*count words instead"):
        compared_diversity({"rare": {str(i): [i] for i in range(50)}, "usual": drawn(5, 50)})
    with pytest.raises(SettingsError, match="reaches"):
        compared_diversity({"a": drawn(50, 60)}, coverage=0.999)
    with pytest.raises(DataError, match="needs 20 sources"):
        round_samples(tracks([[["dog"]]]), [0])
    with pytest.raises(SettingsError, match="1 to 3"):
        hill_numbers([1, 2], 4)
