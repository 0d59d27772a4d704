"""How fast meaning is lost: an exponential fitted to the mean curve, where "it does not fit" is an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from telephonegan.drift.floor_and_ceiling import mean_fraction
from telephonegan.drift.statistics import Estimate, percentile_interval, resample
from telephonegan.errors import DataError

LEAST_R2 = 0.8
_CANDIDATES, _ZOOMS = 25, 8


@dataclass(frozen=True)
class HalfLife:
    """`rounds` in which what is being lost halves, with its interval, or None and the `reason` why there is no fit.

    The fit is plateau + (start - plateau)·2^(-t / rounds): `start` is its value at round 0, `plateau` what stays for
    good, `r2` the share of the mean curve's variance that it explains; they are told for a poor fit too. An interval
    that ends at infinity says that chains like these might as well lose nothing.
    """

    rounds: Estimate | None
    start: float
    plateau: float
    r2: float
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Fit:
    """Fits of R curves: half-lives, starts, plateaus and squared errors, each (R,)."""

    half_life: np.ndarray
    start: np.ndarray
    plateau: np.ndarray
    error: np.ndarray


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
    put between these first, without they are fractions already. Least squares on the mean curve. By default everything
    fades to the floor, 0; `plateau` fits what stays as well. Leave out round 0 where it compares a thing with itself.

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
    told = float(fit.start[0]), float(fit.plateau[0]), r2
    reason = _objection(float(_told(fit, numbers)[0]), r2)
    if reason:
        return HalfLife(None, *told, reason)
    draws = resample(mean_fraction, *arrays, sources=sources, resamples=resamples, seed=seed)
    low, high = percentile_interval(_told(_fitted(numbers, draws, plateau), numbers), level)
    if len(set(sources)) == 1:
        low = high = float("nan")
    return HalfLife(Estimate(float(fit.half_life[0]), float(low), float(high)), *told)


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


def _told(fit: _Fit, rounds: np.ndarray) -> np.ndarray:
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
