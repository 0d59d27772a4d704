"""Statistics of many chains: curves, means over chains and over pairs of chains, and confidence intervals.

Intervals come from resampling the sources (the photographs). They show how the numbers would vary over other
photographs like these; they do not cover other weights of the networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from telephonegan.errors import DataError, SettingsError

_LEAST_ROOM = 0.01


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value with its interval, as numbers or as arrays of one shape. The bounds are NaN if there is no interval.

    `unknown` counts the resamples without a value, which the interval leaves out. If they are more than the interval
    excludes at its ends (5 % of the resamples at a level of 95 %), there is no interval.
    """

    value: Any
    low: Any
    high: Any
    unknown: Any = 0


def two_digits(value: float) -> str:
    """A number as tables show it: with two digits, a true minus, and none before 0.00.

    >>> two_digits(-0.004)
    '0.00'
    """
    return f"{round(float(value), 2) + 0.0:.2f}".replace("-", "−")


@dataclass(frozen=True, eq=False)
class Curves:
    """`values` (N,T) of N chains in T rounds, NaN if not measured; `chains` and `sources` (N,), `rounds` (T,)."""

    chains: tuple[str, ...]
    sources: tuple[str, ...]
    rounds: np.ndarray
    values: np.ndarray


def pivot(
    rows: Iterable[Mapping[str, Any]],
    measure: str,
    *,
    to: Literal["start", "previous"] = "start",
    like: Curves | None = None,
    rounds: Sequence[int] | np.ndarray | None = None,
) -> Curves:
    """The values of one measure, compared with the start or with the round before, as `Curves` sorted by chain.

    Chains and rounds are those of all rows of the measure, so both comparisons have the same shape. `like` and `rounds`
    set the chains (with their order) and the rounds instead, for example to align chance with its chains: others are
    left out, missing ones are NaN. Raises DataError if there is no row of the measure.

    >>> pivot([dict(chain="a", source="s", seed=0, round=1, measure="bleu", to="start", value=0.5)], "bleu").values
    array([[0.5]])
    """
    rows = list(rows)
    found = [row for row in rows if row["measure"] == measure]
    if not found:
        there = ", ".join(sorted({row["measure"] for row in rows})) or "none at all"
        raise DataError(f"There is no row of {measure}. Measures in these rows: {there}.")
    if like is None:
        source_of = dict(sorted({row["chain"]: row["source"] for row in found}.items()))
        chains, sources = tuple(source_of), tuple(source_of.values())
    else:
        chains, sources = like.chains, like.sources
    place = {chain: i for i, chain in enumerate(chains)}
    rounds = np.array(sorted({row["round"] for row in found}) if rounds is None else rounds)
    column = {number: i for i, number in enumerate(rounds.tolist())}
    values = np.full((len(chains), len(rounds)), np.nan)
    for row in found:
        if row["to"] == to and row["chain"] in place and row["round"] in column:
            values[place[row["chain"]], column[row["round"]]] = row["value"]
    return Curves(chains, sources, rounds, values)


def mean_of_known(values: np.ndarray, axis: int | None = 0) -> Any:
    """The mean of the values that are not NaN; NaN if all are.

    >>> mean_of_known(np.array([[1.0, np.nan], [3.0, np.nan]]))
    array([ 2., nan])
    """
    known = ~np.isnan(values)
    counts = known.sum(axis=axis)
    sums = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)[()]


class Resamples:
    """A cluster bootstrap: the sources are resampled with replacement.

    Each source comes with all its chains, because chains of one photograph are not independent. The methods return one
    row for the original data and one for each resample, (1 + resamples, …). Rows of different results correspond, so
    their differences and ratios are resampled jointly; `estimate` turns rows into a value with its interval. Resamples
    depend on `seed` and on the names of the sources, not on the order of the chains.

    >>> drawn = Resamples(["a", "b"], resamples=10)
    >>> float(drawn.estimate(drawn.means(np.array([0.5, 0.5]))).high)
    0.5
    """

    def __init__(self, sources: Sequence[str], resamples: int = 2000, seed: int = 0) -> None:
        """`sources` (N,) is the source of each chain. Raises DataError without chains, SettingsError for resamples."""
        if resamples < 1:
            raise SettingsError(f"resamples must be at least 1 (2000 is usual); {resamples} was given.")
        if not len(sources):
            raise DataError("No chains were given. Give at least one chain.")
        self.sources, self.of_chain = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
        count = len(self.sources)
        self.draws = np.random.default_rng(seed).integers(0, count, (resamples, count))
        drawn = np.stack([np.bincount(draw, minlength=count) for draw in self.draws])
        self.weights = np.concatenate([np.ones((1, count)), drawn])

    def means(self, values: np.ndarray) -> np.ndarray:
        """Means over chains of `values` (N,…), ignoring NaN: (1 + resamples, …)."""
        self._check(values)
        known = ~np.isnan(values)
        sums, counts = (np.zeros((len(self.sources), *np.shape(values)[1:])) for _ in range(2))
        np.add.at(sums, self.of_chain, np.where(known, values, 0.0))
        np.add.at(counts, self.of_chain, known)
        return _ratio(np.tensordot(self.weights, sums, 1), np.tensordot(self.weights, counts, 1))

    def pair_means(self, values: np.ndarray) -> np.ndarray:
        """Means over ordered pairs of different sources of `values` (S,S,T), ignoring NaN: (1 + resamples, T).

        Sources are in alphabetical order, as in `sources`. A source that was sampled twice is not paired with itself,
        because nothing else is as similar to it.
        """
        values = np.array(values, dtype=float)
        if values.ndim != 3 or values.shape[:2] != (len(self.sources),) * 2:
            raise DataError(
                f"Values of shape {values.shape} were given for {len(self.sources)} sources. Give one for each pair of "
                "sources in each round."
            )
        values[np.diag_indices(len(self.sources))] = np.nan
        return np.stack([self._pair_mean(values[..., t]) for t in range(values.shape[2])], axis=-1)

    def estimate(self, rows: np.ndarray, level: float = 0.95) -> Estimate:
        """The first row as the value, and percentiles of the others as its interval.

        With a single source the bounds are NaN, because it says nothing about other sources.
        """
        return _estimate(rows[0], rows[1:], level, len(self.sources))

    def _pair_mean(self, values: np.ndarray) -> np.ndarray:
        known = ~np.isnan(values)
        sums, counts = (((self.weights @ part) * self.weights).sum(1) for part in (np.where(known, values, 0.0), known))
        return _ratio(sums, counts)

    def _check(self, *arrays: np.ndarray) -> None:
        lengths = [len(array) for array in arrays]
        if any(length != len(self.of_chain) for length in lengths):
            raise DataError(
                f"{len(self.of_chain)} sources and arrays of {lengths} chains were given. Give at least one chain, and "
                "the same chains in all of them."
            )


def bootstrap(
    statistic: Callable[..., Any],
    *arrays: np.ndarray,
    sources: Sequence[str],
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Any `statistic(*arrays)` with its percentile interval under resampled sources; for means see `Resamples`.

    The first axis of each array is the chains (N), as in `sources`; the statistic is a number or an array. Resamples in
    which it is NaN are left out and counted. Raises DataError and SettingsError.

    >>> values = np.array([[0.5], [0.5]])
    >>> bootstrap(mean_of_known, values, sources=["a", "b"], resamples=10).high
    array([0.5])
    """
    drawn = Resamples(sources, resamples, seed)
    drawn._check(*arrays)
    chains_of = [np.flatnonzero(drawn.of_chain == i) for i in range(len(drawn.sources))]
    picked = (np.concatenate([chains_of[i] for i in draw]) for draw in drawn.draws)
    found = np.array([statistic(*(array[rows] for array in arrays)) for rows in picked], dtype=float)
    return _estimate(statistic(*arrays), found, level, len(drawn.sources))


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> tuple[Any, Any]:
    """The bounds of the middle `level` of `draws` (R, …): two of the draws, even infinite ones; NaN are ignored."""
    if not 0 < level < 1:
        raise SettingsError(f"level must be above 0 and below 1 (0.95 is usual); {level} was given.")
    ordered = np.sort(draws, axis=0)  # NaN last
    known = (~np.isnan(draws)).sum(axis=0)

    def quantile(share: float) -> Any:
        # numpy's percentiles interpolate, which gives NaN between infinities.
        rank = np.clip(np.ceil(share * known).astype(int) - 1, 0, len(draws) - 1)
        return np.take_along_axis(ordered, np.expand_dims(rank, 0), axis=0)[0][()]

    return quantile((1 - level) / 2), quantile((1 + level) / 2)


def gc_at_t(rounds: Sequence[int] | np.ndarray, values: np.ndarray) -> Any:
    """GC@T = Σ t·s_t / Σ t over t = 1..T: the mean similarity to the start, with more weight on late rounds.

    `values` (…,T) are similarities s_t of round t to the start; round 0 has no weight. The result (…) has the range of
    the similarity, higher is more similar; NaN if a round is missing. GenCeption, arXiv 2402.14973.

    >>> float(gc_at_t([1, 2, 3], np.array([1.0, 0.5, 0.0])))
    0.3333333333333333
    """
    weights = _rounds_after_start(rounds, values)
    return np.where(weights > 0, values, 0.0) @ weights / weights.sum()


def mean_similarity(rounds: Sequence[int] | np.ndarray, values: np.ndarray) -> Any:
    """The plain mean of the similarities s_t to the start over t = 1..T; `values` (…,T) → (…).

    It has the range of the similarity and higher is more similar, although arXiv 2509.04438, which reports it for four
    directions between text and image, calls it mean cumulative drift.

    >>> float(mean_similarity([0, 1, 2], np.array([1.0, 0.5, 0.0])))
    0.25
    """
    weights = _rounds_after_start(rounds, values) > 0
    return np.where(weights, values, 0.0) @ weights / weights.sum()


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's ρ of two arrays (N,), from -1 to 1. Pairs with a NaN are left out; NaN if an array is constant.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
    1.0
    """
    known = ~(np.isnan(first) | np.isnan(second))
    x, y = (_centred_ranks(values[known]) for values in (first, second))
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosines of corresponding rows: (N,D), (N,D) → (N,) in [-1, 1]; nan for a row of zeros.

    >>> cosines(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 3.0], [4.0, 0.0]])).tolist()
    [0.0, 1.0]
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = np.einsum("nd,nd->n", first, second)
    return np.divide(products, lengths, out=np.full(len(products), np.nan), where=lengths > 0).clip(-1, 1)


def above_chance(values: Any, chance: Any) -> Any:
    """Chance-corrected similarity (s - c) / (1 - c): 1 for equal, 0 for as similar as unrelated chains.

    For measures whose maximum, 1, is the similarity of anything to itself. NaN if chance is above 0.99. The form is
    that of Cohen's kappa (1960); arrays broadcast.

    >>> float(above_chance(0.5, 0.25))
    0.3333333333333333
    """
    room = 1 - np.asarray(chance, dtype=float)
    return (np.subtract(values, chance, dtype=float) / np.where(room >= _LEAST_ROOM, room, np.nan))[()]


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks minus their mean; equal values have the mean of their ranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which] - (len(values) + 1) / 2


def _rounds_after_start(rounds: Sequence[int] | np.ndarray, values: np.ndarray) -> np.ndarray:
    numbers = np.asarray(rounds, dtype=float)
    if np.shape(values)[-1:] != numbers.shape or numbers.min(initial=0) < 0 or numbers.max(initial=0) < 1:
        raise DataError(
            f"The rounds {list(rounds)} and values of shape {np.shape(values)} were given. Give round numbers from 0 "
            "on, at least one of them above 0, and one value for each along the last axis."
        )
    return numbers


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _estimate(value: Any, draws: np.ndarray, level: float, sources: int) -> Estimate:
    unknown = np.isnan(draws).sum(axis=0)
    is_vague = (unknown > (1 - level) * len(draws)) | (sources == 1)
    low, high = (np.where(is_vague, np.nan, bound)[()] for bound in percentile_interval(draws, level))
    return Estimate(value, low, high, unknown[()])
