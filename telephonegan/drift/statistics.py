"""What many chains say together: their curves, means that know of gaps, intervals, and how fast meaning is lost.

A half-life is that of an exponential fitted to the mean curve, where "it does not fit" is an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from telephonegan.errors import DataError, SettingsError

LEAST_R2 = 0.8
_CANDIDATES, _ZOOMS = 25, 8  # of a half-life: so many on each grid, so many ever finer grids


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value with its interval; all three are numbers, or arrays of one shape. NaN bounds: no interval is known."""

    value: Any
    low: Any
    high: Any


@dataclass(frozen=True, eq=False)
class Curves:
    """`values` (N,T) of N chains in T rounds, NaN where unmeasured; `chains` and `sources` (N,), `rounds` (T,)."""

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

    Chains and rounds are those of any row of the measure, so that both comparisons have one shape. `like` gives the
    chains and their order instead, so that floor and ceiling stand beside what they belong to, and `rounds` the rounds:
    others are left out, what has no row is NaN. Raises DataError where no row is of that measure.

    >>> pivot([dict(chain="a", source="s", seed=0, round=1, measure="bleu", to="start", value=0.5)], "bleu").values
    array([[0.5]])
    """
    rows = list(rows)
    found = [row for row in rows if row["measure"] == measure]
    if not found:
        there = ", ".join(sorted({row["measure"] for row in rows})) or "none at all"
        raise DataError(f"There is no row of {measure}. There are: {there}.")
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


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of row i of one with row i of the other: (N,D), (N,D) → (N,) in [-1, 1]; nan for a row of zeros.

    >>> cosines(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 3.0], [4.0, 0.0]])).tolist()
    [0.0, 1.0]
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = np.einsum("nd,nd->n", first, second)
    return np.divide(products, lengths, out=np.full(len(products), np.nan), where=lengths > 0).clip(-1, 1)


def between(values: Any, floor: Any, ceiling: Any) -> Any:
    """Where `values` lie between floor (0) and ceiling (1); arrays broadcast, and results may lie outside.

    NaN where the ceiling is not above the floor: there the measure cannot tell the same from the other.

    >>> float(between(0.5, 0.25, 0.75))
    0.5
    """
    room = np.subtract(ceiling, floor, dtype=float)
    return (np.subtract(values, floor, dtype=float) / np.where(room > 0, room, np.nan))[()]


def fraction(
    values: np.ndarray,
    floor: np.ndarray,
    ceiling: np.ndarray,
    *,
    sources: Sequence[str],
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The mean over chains as a fraction between mean floor and mean ceiling, with its bootstrap interval.

    `values` (N,T), `floor` (N,T) or (N,), `ceiling` (N,) or (N,T), chain by chain in one order, NaN where unknown. All
    three are resampled together, so the interval holds the doubt about floor and ceiling too.
    """
    return bootstrap(
        mean_fraction, values, floor, ceiling, sources=sources, resamples=resamples, level=level, seed=seed
    )


def mean_fraction(values: np.ndarray, floor: np.ndarray, ceiling: np.ndarray) -> Any:
    """Means over chains, the first axis of each array, put `between` one another."""
    return between(mean_of_known(values), mean_of_known(floor), mean_of_known(ceiling))


@dataclass(frozen=True)
class HalfLife:
    """`rounds` in which what is being lost halves, with its interval, or None and the `reason` why there is no fit.

    The fit is plateau + (start - plateau)·2^(-t / rounds): `start` is its value at round 0, `plateau` what stays for
    good, `r2` the share of the mean curve's variance that it explains; they are given for a poor fit too. An interval
    that ends at infinity says that chains like these might as well lose nothing.
    """

    rounds: Estimate | None
    start: float
    plateau: float
    r2: float
    reason: str = ""


def half_life(
    rounds: Sequence[int] | np.ndarray,
    values: np.ndarray,
    floor: np.ndarray | None = None,
    ceiling: np.ndarray | None = None,
    *,
    sources: Sequence[str],
    plateau: bool = False,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> HalfLife:
    """The half-life of meaning over chains, in rounds, with a bootstrap interval over sources.

    `values` (N,T) are similarities to the start in `rounds` (T,); with `floor` and `ceiling` (see `fraction`) they are
    put between these first; without them they are taken as fractions already. Least squares on the mean curve. By
    default everything fades to the floor, 0; `plateau` fits what stays as well. Leave out round 0 where it compares a
    thing with itself.

    No fit: fewer than three rounds with values (four with a plateau); a curve that does not fall, that halves within a
    tenth of a step or not in ten times the rounds seen; or one of which the exponential explains less than 0.8.

    >>> rounds = np.arange(1, 9)
    >>> fit = half_life(rounds, np.tile(2.0 ** (-rounds / 3), (2, 1)), sources=["a", "b"], resamples=10)
    >>> round(float(fit.rounds.value), 3)
    3.0
    """
    numbers = np.asarray(rounds, dtype=float)
    if np.ndim(values) != 2 or np.shape(values)[1:] != numbers.shape or (np.diff(numbers) <= 0).any():
        raise DataError(
            f"Values of shape {np.shape(values)} in {len(numbers)} rounds were given. Needed: chains × rounds, and "
            "rounds that rise."
        )
    count = len(values)
    arrays = (
        values,
        np.zeros(count) if floor is None else floor,
        np.ones(count) if ceiling is None else ceiling,
    )
    curve = np.asarray(mean_fraction(*arrays))
    known = int((~np.isnan(curve)).sum())
    if known < 3 + plateau:
        nan = float("nan")
        return HalfLife(None, nan, nan, nan, f"values in {known} of the rounds; {3 + plateau} are needed")
    fit = _fitted(numbers, curve[None], plateau)
    r2 = _explained(curve, float(fit.error[0]))
    parts = float(fit.start[0]), float(fit.plateau[0]), r2
    reason = _objection(float(_seen_half_lives(fit, numbers)[0]), r2)
    if reason:
        return HalfLife(None, *parts, reason)
    draws = resample(mean_fraction, *arrays, sources=sources, resamples=resamples, seed=seed)
    low, high = percentile_interval(_seen_half_lives(_fitted(numbers, draws, plateau), numbers), level)
    if len(set(sources)) == 1:
        low = high = float("nan")
    return HalfLife(Estimate(float(fit.half_life[0]), float(low), float(high)), *parts)


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


@dataclass(frozen=True, eq=False)
class _Fit:
    """Fits of R curves: half-lives, starts, plateaus and squared errors, each (R,)."""

    half_life: np.ndarray
    start: np.ndarray
    plateau: np.ndarray
    error: np.ndarray


def _fitted(rounds: np.ndarray, curves: np.ndarray, plateau: bool) -> _Fit:
    """Search the half-life on finer and finer grids; start and plateau are linear given it. `curves` is (R,T)."""
    shortest, longest = _bounds(rounds)
    lows, highs = np.full(len(curves), np.log(shortest)), np.full(len(curves), np.log(longest))
    for _ in range(_ZOOMS):
        grid = np.linspace(lows, highs, _CANDIDATES, axis=1)
        fit = _linear_fits(rounds, curves, np.exp(grid), plateau)
        best = np.argmin(fit.error, axis=1)[:, None]
        step = (highs - lows) / (_CANDIDATES - 1)
        centre = np.take_along_axis(grid, best, axis=1)[:, 0]
        lows, highs = np.maximum(centre - step, np.log(shortest)), np.minimum(centre + step, np.log(longest))
    picked = (fit.half_life, fit.start, fit.plateau, fit.error)
    return _Fit(*(np.take_along_axis(values, best, axis=1)[:, 0] for values in picked))


def _linear_fits(rounds: np.ndarray, curves: np.ndarray, half_lives: np.ndarray, plateau: bool) -> _Fit:
    """Least squares for every curve (R,T) and half-life (R,G): neither the fall nor the plateau is negative."""
    known = (~np.isnan(curves)).astype(float)
    y = np.where(known > 0, curves, 0.0)
    decay = 2.0 ** (-rounds / half_lives[..., None])
    n, sum_y, sum_yy = known.sum(1)[:, None], y.sum(1)[:, None], (y * y).sum(1)[:, None]
    sum_d, sum_dd = (np.einsum("rgt,rt->rg", power, known) for power in (decay, decay**2))
    sum_dy = np.einsum("rgt,rt->rg", decay, y)
    fall, rest = np.maximum(sum_dy, 0) / sum_dd, np.zeros_like(sum_dy)
    if plateau:
        determinant = np.maximum(n * sum_dd - sum_d**2, 1e-300)
        free_fall = (n * sum_dy - sum_d * sum_y) / determinant
        free_rest = (sum_y - free_fall * sum_d) / n
        flat = np.broadcast_to(np.maximum(sum_y / n, 0), free_fall.shape)
        rest = np.where(free_fall < 0, flat, np.where(free_rest < 0, 0.0, free_rest))
        fall = np.where(free_fall < 0, 0.0, np.where(free_rest < 0, fall, free_fall))
    error = sum_yy - 2 * (fall * sum_dy + rest * sum_y) + fall**2 * sum_dd + 2 * fall * rest * sum_d + rest**2 * n
    return _Fit(half_lives, fall + rest, rest, error)


def _seen_half_lives(fit: _Fit, rounds: np.ndarray) -> np.ndarray:
    """The half-lives (R,): infinite where nothing falls or too slowly to be seen, 0 where all falls at once."""
    shortest, longest = _bounds(rounds)
    still = (fit.half_life >= 0.999 * longest) | (fit.start - fit.plateau <= 1e-9)
    return np.where(still, np.inf, np.where(fit.half_life <= 1.001 * shortest, 0.0, fit.half_life))


def _bounds(rounds: np.ndarray) -> tuple[float, float]:
    return float(np.diff(rounds).min()) / 10, 10 * float(rounds[-1] - rounds[0])


def _explained(curve: np.ndarray, error: float) -> float:
    known = curve[~np.isnan(curve)]
    variation = float(((known - known.mean()) ** 2).sum())
    return 1 - error / variation if variation > 1e-18 else 0.0


def _objection(half_life: float, r2: float) -> str:
    if half_life == np.inf:
        return "the curve does not fall, or too slowly to be seen in these rounds"
    if r2 < LEAST_R2:
        return f"the curve is no exponential: the best one explains {max(r2, 0):.2f} of it, and {LEAST_R2} is asked for"
    if half_life == 0:
        return "what is lost is lost by the first round that was measured"
    return ""
