"""Diversity compared at equal coverage: Hill numbers of captions or words, beside people and round 0.

How many kinds a sample shows depends on its size and on how rare the rare ones are. Samples are comparable where they
cover the same share of what there is to be met (Chao and Jost 2012), so the larger coverage is rarefied to the smaller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import gammaln

from telephonegan.drift.statistics import Estimate
from telephonegan.drift.tracks import Track, Words, check_enough
from telephonegan.drift.words import content_words, lemma
from telephonegan.errors import DataError, SettingsError

ORDERS = (0, 1, 2)
LEAST_COVERAGE = 0.5
_GROUPS = 20  # of the jackknife
_Z = 1.959964
_lemma = cache(lemma)


def whole(words: Words) -> list[Hashable]:
    """A caption as one thing that is counted."""
    return [tuple(words)]


def lemmas(words: Words) -> list[Hashable]:
    """The words of meaning of a caption, forms of a word as one."""
    return list(dict.fromkeys(map(_lemma, content_words(words))))


def sample_coverage(counts: Sequence[int], size: int | None = None) -> float:
    """The share of all there is to be met, 0 to 1, that belongs to kinds met in a sample (of `size`, default: all).

    Good's coverage with Chao and Jost's correction by kinds met twice; rarefied to a smaller `size` it is unbiased.
    Chao and Jost, "Coverage-based rarefaction and extrapolation", 2012, equations 4a and 6.

    >>> sample_coverage([50, 50]), round(sample_coverage([1] * 100), 2)
    (1.0, 0.0)
    """
    counts = np.asarray(counts, dtype=float)
    total = counts.sum()
    if size is None or size == total:
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        if not once:
            return 1.0
        missed = (
            (total - 1) * once / ((total - 1) * once + 2 * twice)
            if twice
            else (total - 1) * (once - 1) / ((total - 1) * (once - 1) + 2)
        )
        return float(1 - once / total * missed) if total > 1 else 0.0
    rest = counts[total - counts >= size]
    missing = np.exp(
        gammaln(total - rest + 1) - gammaln(total - rest - size + 1) + gammaln(total - size) - gammaln(total)
    )
    return float(1 - (rest / total * missing).sum())


def hill_numbers(counts: Sequence[int], size: int | None = None) -> np.ndarray:
    """Effective numbers of kinds of orders 0, 1 and 2 (3,) in a sample, or as expected in a smaller one of `size`.

    Order 0 counts kinds, 1 weighs them by their shares (exp of the entropy), 2 by the commonest. Hill, "Diversity and
    Evenness", 1973; Chao et al., "Rarefaction and extrapolation with Hill numbers", 2014. Raises SettingsError.

    >>> hill_numbers([5, 5]).round(3).tolist(), hill_numbers([5, 5], 1).round(3).tolist()
    ([2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    """
    counts = np.asarray(counts, dtype=int)
    total = int(counts.sum())
    size = total if size is None else size
    if not 1 <= size <= total:
        raise SettingsError(f"size was {size}. Allowed: 1 to {total}, the size of the sample.")
    met, of_each = np.unique(counts, return_counts=True)
    times = np.arange(1, size + 1)
    expected = np.zeros(size)
    for count, kinds in zip(met.tolist(), of_each.tolist(), strict=True):
        possible = times[(times <= count) & (size - times <= total - count)]
        chance = np.exp(
            _log_choose(count, possible) + _log_choose(total - count, size - possible) - _log_choose(total, size)
        )
        expected[possible - 1] += kinds * chance
    shares = times / size
    entropy = -(expected * shares * np.log(shares)).sum()
    return np.array([expected.sum(), np.exp(entropy), 1 / (expected * shares**2).sum()])


@dataclass(frozen=True, eq=False)
class Diversity:
    """Hill numbers of several samples at one `coverage`.

    For each name: the sample's `size`, its own coverage (`reached`), `numbers` of orders 0, 1 and 2 (3,) at the common
    coverage, and a rarefaction `curve` (P,4) of coverage and the three orders. Intervals are from a jackknife that
    leaves out one twentieth of the photographs at a time; they take its error as normal.
    """

    coverage: float
    sizes: dict[str, int]
    reached: dict[str, float]
    numbers: dict[str, Estimate]
    curves: dict[str, np.ndarray]


def compared_diversity(
    samples: Mapping[str, Mapping[str, Sequence[Hashable]]], *, coverage: float | None = None, points: int = 25
) -> Diversity:
    """Hill numbers of samples at equal coverage, by default the smallest that any of them reaches.

    A sample holds by source what was met there. Raises DataError where that coverage is below a half, which says too
    little: captions of people are nearly all different, so compare their words; SettingsError for a coverage that some
    sample does not reach.

    >>> told = compared_diversity({"few": {"a": "xyxy"}, "many": {"a": "xyzxyzxyz"}})
    >>> [told.numbers[name].value.round(2).tolist()[1] for name in ("few", "many")]
    [2.0, 3.0]
    """
    counts = {name: Counter(kind for kinds in sample.values() for kind in kinds) for name, sample in samples.items()}
    empty = next((name for name, found in counts.items() if not found), None)
    if empty is not None:
        raise DataError(f"The sample {empty!r} is empty. Leave it out.")
    reached = {name: sample_coverage(list(found.values())) for name, found in counts.items()}
    poorest = min(reached, key=reached.get)
    wanted = reached[poorest] if coverage is None else coverage
    if wanted > reached[poorest] + 1e-12:
        raise SettingsError(f"coverage was {wanted}; {poorest!r} reaches {reached[poorest]:.3f} only.")
    if wanted < LEAST_COVERAGE:
        raise DataError(
            f"The sample {poorest!r} covers {wanted:.2f} of what there is to be met, from {counts[poorest].total()} "
            f"drawn; {LEAST_COVERAGE} is needed. Play more chains, or count words instead of captions."
        )
    curves = {}
    for name, found in counts.items():
        values, total = list(found.values()), found.total()
        sizes = np.unique(np.geomspace(1, total, points).round().astype(int)).tolist()
        curves[name] = np.array([[sample_coverage(values, size), *hill_numbers(values, size)] for size in sizes])
    return Diversity(
        wanted,
        {name: found.total() for name, found in counts.items()},
        reached,
        {name: _jackknifed(sample, wanted) for name, sample in samples.items()},
        curves,
    )


def round_samples(
    tracks: Sequence[Track], rounds: Sequence[int], unit: Callable[[Words], list[Hashable]] = lemmas
) -> dict[str, dict[str, list[Hashable]]]:
    """For `compared_diversity`: what the chains of the least seed say in each round, and what people say.

    One chain of each source, because chains of one photograph begin alike; and of the people whose captions a source
    has (`Track.references`) one, in turn, so that all samples have one caption of each photograph.
    Raises DataError for fewer than 20 sources.
    """
    check_enough(tracks, "Diversity at equal coverage", sources=20)
    first = {track.source: track for track in sorted(tracks, key=lambda track: -track.seed)}
    people = {
        source: unit(track.references[i % len(track.references)])
        for i, (source, track) in enumerate(sorted(first.items()))
        if track.references
    }
    found: dict[str, dict[str, list[Hashable]]] = {"people": people} if len(people) == len(first) else {}
    for number in rounds:
        said = {
            source: unit(turn.words) for source, track in first.items() for turn in track.turns if turn.round == number
        }
        if said:
            found[f"round {number}"] = said
    return found


def _jackknifed(sample: Mapping[str, Sequence[Hashable]], coverage: float) -> Estimate:
    sources = sorted(sample)
    value = _at_coverage(Counter(kind for source in sources for kind in sample[source]), coverage)
    groups = min(_GROUPS, len(sources))
    if groups < 2:
        return Estimate(value, np.full(3, np.nan), np.full(3, np.nan))
    places = np.random.default_rng(0).permutation(len(sources)) % groups
    left = []
    for group in range(groups):
        kept = [source for source, place in zip(sources, places, strict=True) if place != group]
        left.append(_at_coverage(Counter(kind for source in kept for kind in sample[source]), coverage))
    spread = np.sqrt((groups - 1) / groups * ((np.array(left) - np.mean(left, axis=0)) ** 2).sum(axis=0))
    return Estimate(value, np.maximum(value - _Z * spread, 1), value + _Z * spread)


def _at_coverage(counts: Counter[Hashable], coverage: float) -> np.ndarray:
    """Between the two sizes whose coverages lie around the one wanted; the whole sample where it does not reach it."""
    values, low, high = list(counts.values()), 1, counts.total()
    if sample_coverage(values) <= coverage:
        return hill_numbers(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sample_coverage(values, middle) <= coverage else (low, middle)
    ends = [sample_coverage(values, size) for size in (low, high)]
    share = np.clip((coverage - ends[0]) / max(ends[1] - ends[0], 1e-12), 0, 1)
    return (1 - share) * hill_numbers(values, low) + share * hill_numbers(values, high)


def _log_choose(total: float, taken: np.ndarray | float) -> np.ndarray:
    return gammaln(total + 1) - gammaln(np.add(taken, 1)) - gammaln(total - np.asarray(taken) + 1)
