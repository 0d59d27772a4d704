"""What many chains say together: means that know of gaps, intervals over chains, the summaries of the literature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from telephonegan.errors import DataError, SettingsError


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value with its interval; all three are numbers, or arrays of one shape. NaN bounds: no interval is known."""

    value: Any
    low: Any
    high: Any


def mean_of_known(values: np.ndarray, axis: int | None = 0) -> Any:
    """The mean of what is not NaN; NaN where nothing is known.

    >>> mean_of_known(np.array([[1.0, np.nan], [3.0, np.nan]]))
    array([ 2., nan])
    """
    known = ~np.isnan(values)
    counts = known.sum(axis=axis)
    sums = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)[()]


def resample(
    statistic: Callable[..., Any],
    *arrays: np.ndarray,
    sources: Sequence[str],
    resamples: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """`statistic` of `resamples` draws of as many sources as there are, with replacement: (resamples, …).

    Every array has the chains (N) as first axis, as `sources` has. A source comes with all its chains, since chains of
    one photograph are not independent. The draws hang on `seed` and on the sources' names, not on the order of chains.
    Raises DataError and SettingsError.
    """
    if resamples < 1:
        raise SettingsError(f"resamples was {resamples}. Allowed: 1 or more; 2000 is usual.")
    _check_lengths(arrays, sources)
    names, which = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    rows_of = [np.flatnonzero(which == i) for i in range(len(names))]
    draws = np.random.default_rng(seed).integers(0, len(names), (resamples, len(names)))
    picked = (np.concatenate([rows_of[i] for i in draw]) for draw in draws)
    return np.array([statistic(*(array[rows] for array in arrays)) for rows in picked], dtype=float)


def bootstrap(
    statistic: Callable[..., Any],
    *arrays: np.ndarray,
    sources: Sequence[str],
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """`statistic(*arrays)` and its percentile interval under resampled sources (cluster bootstrap; see `resample`).

    The statistic takes the arrays, chains first, and gives a number or an array. Resamples in which it is NaN do not
    count. From one source nothing can be said of others: then the bounds are NaN.

    >>> values = np.array([[0.5], [0.5]])
    >>> bootstrap(mean_of_known, values, sources=["a", "b"], resamples=10).high
    array([0.5])
    """
    draws = resample(statistic, *arrays, sources=sources, resamples=resamples, seed=seed)
    value = statistic(*arrays)
    if len(set(sources)) == 1:
        unknown = np.full_like(draws[0], np.nan)[()]
        return Estimate(value, unknown, unknown)
    return Estimate(value, *percentile_interval(draws, level))


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> tuple[Any, Any]:
    """The bounds of the middle `level` of `draws` (R, …): two of the values drawn, even infinite; NaN are left out."""
    if not 0 < level < 1:
        raise SettingsError(f"level was {level}. Allowed: above 0 and below 1; 0.95 is usual.")
    ordered = np.sort(draws, axis=0)  # NaN last
    known = (~np.isnan(draws)).sum(axis=0)

    def quantile(share: float) -> Any:
        # Not numpy's: it interpolates, and between infinities that is NaN.
        rank = np.clip(np.ceil(share * known).astype(int) - 1, 0, len(draws) - 1)
        return np.take_along_axis(ordered, np.expand_dims(rank, 0), axis=0)[0][()]

    return quantile((1 - level) / 2), quantile((1 + level) / 2)


def gc_at_t(rounds: Sequence[int] | np.ndarray, values: np.ndarray) -> Any:
    """GC@T = Σ t·s_t / Σ t over t = 1..T: the mean similarity to the start, late rounds weighing more.

    `values` (…,T) are similarities s_t of round t to the start; round 0 weighs nothing. The result (…) has the range of
    the similarity, higher is more alike, NaN where a round is missing. GenCeption, arXiv 2402.14973.

    >>> float(gc_at_t([1, 2, 3], np.array([1.0, 0.5, 0.0])))
    0.3333333333333333
    """
    weights = _rounds_after_start(rounds, values)
    return np.where(weights > 0, values, 0.0) @ weights / weights.sum()


def mean_similarity(rounds: Sequence[int] | np.ndarray, values: np.ndarray) -> Any:
    """The plain mean of the similarities s_t to the start over t = 1..T; `values` (…,T) → (…).

    It has the range of the similarity and higher is more alike, although arXiv 2509.04438 calls it mean cumulative
    drift. That paper gives it for four directions, from text or image to text or image.

    >>> float(mean_similarity([0, 1, 2], np.array([1.0, 0.5, 0.0])))
    0.25
    """
    weights = _rounds_after_start(rounds, values) > 0
    return np.where(weights, values, 0.0) @ weights / weights.sum()


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's ρ of two arrays (N,), from -1 to 1; pairs with a NaN are left out, NaN where one array is constant.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
    1.0
    """
    known = ~(np.isnan(first) | np.isnan(second))
    x, y = (_centred_ranks(values[known]) for values in (first, second))
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else float("nan")


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks about their mean; equal values share the mean of theirs."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which] - (len(values) + 1) / 2


def _rounds_after_start(rounds: Sequence[int] | np.ndarray, values: np.ndarray) -> np.ndarray:
    numbers = np.asarray(rounds, dtype=float)
    if np.shape(values)[-1:] != numbers.shape or numbers.min(initial=0) < 0 or numbers.max(initial=0) < 1:
        raise DataError(
            f"The rounds {list(rounds)} and values of shape {np.shape(values)} were given. Needed: round numbers from "
            "0 on, one at least beyond 0, and one value for each along the last axis."
        )
    return numbers


def _check_lengths(arrays: Sequence[np.ndarray], sources: Sequence[str]) -> None:
    lengths = [len(array) for array in arrays]
    if not len(sources) or any(length != len(sources) for length in lengths):
        raise DataError(
            f"{len(sources)} sources and arrays of {lengths} chains were given. Needed: one chain at least, and the "
            "same chains in all of them."
        )
