"""The law by which similarity decays over the rounds, and its half-life if it has one.

Only an exponential has a half-life: every halving of the remaining loss takes the same time. A power law t^-b falls
ever more slowly and has none, yet an exponential with a plateau can fit it with R² 0.99. A half-life is therefore
reported only if an exponential describes the curve better than power laws and the half-life does not depend on the
rounds that are fitted. "No law" is a possible result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from telephonegan.drift.statistics import Estimate, percentile_interval
from telephonegan.errors import DataError

LEAST_ROUNDS = 6
LEAST_R2 = 0.8
MOST_CHANGE = 1.5  # largest ratio of half-lives fitted to different rounds
LEAST_LEAD = 2.0  # in AICc: the usual rule of thumb (Burnham and Anderson 2002)
_MOST_REFUSED = 0.5
_GRID, _ZOOMS = 25, 6  # shapes per grid, number of ever finer grids
_EXACT = 1e-6  # relative to a curve's height; smaller errors come from the search
_BATCH = 250  # curves fitted at once


@dataclass(frozen=True)
class Law:
    """How well a law describes a mean curve.

    `aicc` is Akaike's criterion for few points, lower is better. It assumes independent errors in the rounds, which is
    not true of one set of chains, so it ranks laws but is not a test. `held_out` is the root mean square error in the
    last three tenths of the rounds of the law fitted to the others, `r2` the share of variance explained. `shape` is
    the half-life in rounds of an exponential, or the exponent b of a power law; `plateau` is the limit of the curve.
    """

    name: str
    aicc: float
    held_out: float
    r2: float
    shape: float
    plateau: float


@dataclass(frozen=True)
class HalfLife:
    """The half-life in `rounds`, with its interval; or None and the `reason`.

    - `plateau`: the limit of the exponential, with its interval; None without a half-life.
    - `windows`: half-lives fitted to parts of the rounds, as (first round, last round, half-life).
    - `laws`: the exponential to a plateau, the power law, and the power law to a plateau.
    - `best`: "exponential" or "power law" if it is better by AICc and in the held-out rounds, and also in at least half
      of the `resamples`, namely in `agree` of them; else None.
    - `exponent`: that of the better power law, with its interval, if power laws are `best`.
    - `refused`: the number of `resamples` without a half-life by the same rules, which the interval leaves out.
    """

    rounds: Estimate | None
    plateau: Estimate | None
    windows: tuple[tuple[int, int, float], ...] = ()
    laws: tuple[Law, ...] = ()
    best: str | None = None
    agree: int = 0
    exponent: Estimate | None = None
    refused: int = 0
    resamples: int = 0
    reason: str = ""


def half_life(rounds: Sequence[int] | np.ndarray, curves: np.ndarray, *, level: float = 0.95) -> HalfLife:
    """The half-life of a mean curve that falls to a plateau: first + (plateau - first)·(1 - 2^(-t/half-life)).

    `curves` (1 + R,T) are similarities to the start minus those of unrelated chains, so that 0 is chance: the mean
    curve and R resamples of it, as `Resamples` returns them; a single curve (T,) gives no interval. Leave out round 0,
    which would be compared with itself. Neither fall nor plateau can be negative.

    There is no half-life, and `reason` says why, if

    - fewer than six rounds have values,
    - the curve is not significantly above chance in its first round, or does not fall significantly,
    - the exponential explains less than 0.8 of the variance, or its half-life is below a tenth of a round or above ten
      times the number of rounds,
    - half-lives fitted to all rounds, the first half, the first seven tenths and those after the first fifth differ by
      more than a factor of 1.5,
    - a power law is as good, by AICc (the lead must be 2) or in the held-out last three tenths of the rounds, or
    - more than half of the resamples have no half-life.
    Raises DataError for rounds that are not in ascending order or do not fit the curves.

    >>> rounds = np.arange(1, 11)
    >>> found = half_life(rounds, 0.2 + 0.6 * 2.0 ** (-rounds / 3))
    >>> round(float(found.rounds.value), 3), round(float(found.plateau.value), 3)
    (3.0, 0.2)
    """
    numbers, curves = np.asarray(rounds, dtype=float), np.atleast_2d(np.asarray(curves, dtype=float))
    if curves.ndim != 2 or curves.shape[1:] != numbers.shape or (np.diff(numbers) <= 0).any():
        raise DataError(
            f"Curves of shape {curves.shape} and {len(numbers)} rounds were given. Needed: curves × rounds, and round "
            "numbers in ascending order."
        )
    known = ~np.isnan(curves[0])
    numbers, curves = numbers[known], curves[:, known]
    if len(numbers) < LEAST_ROUNDS:
        return HalfLife(None, None, reason=f"values in {len(numbers)} of the rounds; {LEAST_ROUNDS} are needed")
    resamples = len(curves) - 1
    curves = curves[~np.isnan(curves).any(axis=1)]
    judged = _Judged.joined([_Judged.of(numbers, curves[i : i + _BATCH]) for i in range(0, len(curves), _BATCH)])
    return _answer(judged, curves, resamples, level)


# ------------------------------------------------------------------------------------------------------------- fits


@dataclass(frozen=True)
class Family:
    """Curves plateau + fall·basis(t, shape); `basis` is 1 in the first round."""

    name: str
    basis: Callable[[np.ndarray, np.ndarray], np.ndarray]
    has_plateau: bool
    bounds: Callable[[np.ndarray], tuple[float, float]]

    @property
    def parameters(self) -> int:
        return 2 + self.has_plateau


def halvings(rounds: np.ndarray, lives: np.ndarray) -> np.ndarray:
    """Exponentials of these half-lives, 1 in the first round: (…,T)."""
    return 2.0 ** (-(rounds - rounds[0]) / lives[..., None])


def powers(rounds: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """Powers of these exponents, 1 in the first round: (…,T)."""
    return (rounds / rounds[0]) ** -exponents[..., None]


def half_lives(rounds: np.ndarray) -> tuple[float, float]:
    """The shortest and the longest half-life that these rounds can show."""
    return float(np.diff(rounds).min()) / 10, 10 * float(rounds[-1] - rounds[0])


_EXPONENTIAL = Family("exponential to a plateau", halvings, True, half_lives)
_POWERS = (
    Family("power law", powers, False, lambda rounds: (0.01, 10.0)),
    Family("power law to a plateau", powers, True, lambda rounds: (0.01, 10.0)),
)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Fits of one family to R curves; all arrays are (R,)."""

    family: Family
    first_round: float
    shape: np.ndarray
    fall: np.ndarray
    plateau: np.ndarray
    squares: np.ndarray

    def at(self, rounds: np.ndarray) -> np.ndarray:
        """The fitted curves in these rounds: (R,T)."""
        whole = np.concatenate([[self.first_round], rounds])
        return self.plateau[:, None] + self.fall[:, None] * self.family.basis(whole, self.shape)[:, 1:]


def fitted(family: Family, rounds: np.ndarray, curves: np.ndarray) -> _Fit:
    """Fit a family to `curves` (R,T): the shape by grid search, then fall and plateau, which are linear."""
    shortest, longest = np.log(family.bounds(rounds))
    lows, highs = (np.full(len(curves), end) for end in (shortest, longest))
    for _ in range(_ZOOMS):
        grid = np.linspace(lows, highs, _GRID, axis=1)
        found = _linear_fits(family.basis(rounds, np.exp(grid)), curves, family.has_plateau)
        best = np.argmin(found[2], axis=1)[:, None]
        centre, step = np.take_along_axis(grid, best, axis=1)[:, 0], (highs - lows) / (_GRID - 1)
        lows, highs = np.maximum(centre - step, shortest), np.minimum(centre + step, longest)
    picked = (np.take_along_axis(values, best, axis=1)[:, 0] for values in found)
    return _Fit(family, float(rounds[0]), np.exp(centre), *picked)


def _linear_fits(basis: np.ndarray, curves: np.ndarray, has_plateau: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fall, plateau (neither negative) and squared error (R,G) of each curve (R,T) for each basis (R,G,T)."""
    y = curves[:, None, :]
    fall = np.maximum((basis * y).sum(-1), 0) / (basis**2).sum(-1)
    plateau = np.zeros_like(fall)
    if has_plateau:
        centred = basis - basis.mean(-1, keepdims=True)
        free_fall = (centred * y).sum(-1) / np.maximum((centred**2).sum(-1), 1e-300)
        free_plateau = y.mean(-1) - free_fall * basis.mean(-1)
        level = np.broadcast_to(np.maximum(y.mean(-1), 0), fall.shape)
        plateau = np.where(free_fall < 0, level, np.where(free_plateau < 0, 0.0, free_plateau))
        fall = np.where(free_fall < 0, 0.0, np.where(free_plateau < 0, fall, free_fall))
    # Computed from the residuals: the shortcut through sums of squares can be negative, and R² above 1.
    return fall, plateau, ((y - plateau[..., None] - fall[..., None] * basis) ** 2).sum(-1)


# ---------------------------------------------------------------------------------------------------------- judging


@dataclass(frozen=True, eq=False)
class _Judged:
    """The half-lives of R curves, one row each, and everything by which they are judged."""

    rounds: np.ndarray
    half_life: np.ndarray
    plateau: np.ndarray
    falls: np.ndarray  # whether the curve falls, neither at once nor too slowly to measure
    windows: np.ndarray  # (R,W) half-lives
    shapes: np.ndarray  # (R,3), by law, like the next three
    plateaus: np.ndarray
    aicc: np.ndarray
    held_out: np.ndarray
    r2: np.ndarray

    @classmethod
    def of(cls, rounds: np.ndarray, curves: np.ndarray) -> _Judged:
        families = (_EXPONENTIAL, *_POWERS)
        fits = [fitted(family, rounds, curves) for family in families]
        windows = [fitted(_EXPONENTIAL, rounds[part], curves[:, part]).shape for part in _windows(len(rounds))]
        seen = _seen(len(rounds))
        early = [fitted(family, rounds[:seen], curves[:, :seen]) for family in families]
        scale = np.abs(curves).max(axis=1)
        errors = [np.sqrt(((fit.at(rounds[seen:]) - curves[:, seen:]) ** 2).mean(axis=1)) for fit in early]
        deviations = ((curves - curves.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        shortest, longest = half_lives(rounds)
        exponential = fits[0]
        return cls(
            rounds=rounds,
            half_life=exponential.shape,
            plateau=exponential.plateau,
            falls=(exponential.shape > 1.001 * shortest)
            & (exponential.shape < 0.999 * longest)
            & (exponential.fall > 1e-6 * scale),
            windows=np.stack(windows, axis=1),
            shapes=np.stack([fit.shape for fit in fits], axis=1),
            plateaus=np.stack([fit.plateau for fit in fits], axis=1),
            aicc=np.stack([aicc(fit.squares, fit.family.parameters, len(rounds), scale) for fit in fits], axis=1),
            held_out=np.stack([np.maximum(error, _EXACT * scale) for error in errors], axis=1),
            r2=np.stack([explained(fit.squares, deviations, scale) for fit in fits], axis=1),
        )

    @classmethod
    def joined(cls, parts: Sequence[_Judged]) -> _Judged:
        names = [name for name in vars(parts[0]) if name != "rounds"]
        together = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(parts[0].rounds, **together)

    @property
    def power(self) -> np.ndarray:
        """The power law that describes each curve better, by AICc: 1 or 2."""
        return 1 + np.argmin(self.aicc[:, 1:], axis=1)

    def lead(self, of: int) -> np.ndarray:
        """Whether the exponential (0) or a power law (1) leads by AICc and in the held-out rounds."""
        rows = np.arange(len(self.aicc))
        aicc = self.aicc[:, 0] - self.aicc[rows, self.power]
        held_out = self.held_out[:, 0] - self.held_out[rows, self.power]
        return (aicc <= -LEAST_LEAD) & (held_out < 0) if of == 0 else (aicc >= LEAST_LEAD) & (held_out > 0)

    @property
    def change(self) -> np.ndarray:
        """The ratio of the largest to the smallest half-life of all windows."""
        every = np.concatenate([self.windows, self.half_life[:, None]], axis=1)
        return every.max(axis=1) / every.min(axis=1)

    @property
    def accepted(self) -> np.ndarray:
        return self.falls & (self.r2[:, 0] >= LEAST_R2) & (self.change <= MOST_CHANGE) & self.lead(0)


def _answer(judged: _Judged, curves: np.ndarray, resamples: int, level: float) -> HalfLife:
    lawful = judged.r2.max(axis=1) >= LEAST_R2
    leads = {"exponential": judged.lead(0) & lawful, "power law": judged.lead(1) & lawful}
    agree = {name: int(is_best[1:].sum()) for name, is_best in leads.items()}
    best = next((name for name in leads if leads[name][0] and agree[name] >= resamples / 2), None)
    accepted = np.flatnonzero(judged.accepted[1:]) + 1
    told = {
        "windows": _told_windows(judged),
        "laws": tuple(_law(judged, i) for i in range(3)),
        "best": best,
        "agree": agree[best] if best else 0,
        "refused": resamples - len(accepted),
        "resamples": resamples,
    }
    if best == "power law":
        told["exponent"] = _estimate(judged.shapes[:, judged.power[0]], slice(1, None), level)
    reason = _doubt(curves, level) or _objection(judged)
    if not reason and told["refused"] > _MOST_REFUSED * resamples:
        reason = f"{told['refused']} of {resamples} resamples have no half-life"
    if reason:
        return HalfLife(None, None, **told, reason=reason)
    return HalfLife(_estimate(judged.half_life, accepted, level), _estimate(judged.plateau, accepted, level), **told)


def _doubt(curves: np.ndarray, level: float) -> str:
    """A message if the curve is not significantly above chance or does not fall significantly, by the resamples."""
    if _lowest(curves[:, 0], level) <= 0:
        return "the curve is not significantly above chance in its first round"
    if _lowest(curves[:, 0] - curves[:, -1], level) <= _EXACT * np.abs(curves[0]).max():
        return "the curve does not fall significantly"
    return ""


def _objection(judged: _Judged) -> str:
    """The first rule that the mean curve, row 0, breaks, in words."""
    power = _POWERS[judged.power[0] - 1].name
    if judged.r2[0, 0] < LEAST_R2:
        return f"the exponential explains {max(judged.r2[0, 0], 0):.2f} of the variance; {LEAST_R2} is required"
    if not judged.falls[0]:
        return "the curve falls too fast or too slowly for a half-life in these rounds"
    if judged.lead(1)[0]:
        return f"a {power} describes the curve better than an exponential, and has no half-life"
    if judged.change[0] > MOST_CHANGE:
        windows = ", ".join(f"{value:.1f} over rounds {first}–{last}" for first, last, value in _told_windows(judged))
        return f"it depends on the rounds fitted: {windows}"
    if not judged.lead(0)[0]:
        return f"a {power} describes the curve as well as an exponential, and has no half-life"
    return ""


def _windows(count: int) -> tuple[slice, ...]:
    """Windows besides all rounds: the first half, the first seven tenths, and those after the first fifth."""
    return slice(0, max(4, count // 2)), slice(0, _seen(count)), slice(max(1, count // 5), count)


def _seen(count: int) -> int:
    """The number of rounds fitted when the last three tenths, at least two, are held out."""
    return count - max(2, round(0.3 * count))


def _told_windows(judged: _Judged) -> tuple[tuple[int, int, float], ...]:
    numbers = judged.rounds
    parts = [*_windows(len(numbers)), slice(0, len(numbers))]
    values = [*judged.windows[0], judged.half_life[0]]
    return tuple(
        (int(numbers[part][0]), int(numbers[part][-1]), float(value)) for part, value in zip(parts, values, strict=True)
    )


def _law(judged: _Judged, place: int) -> Law:
    columns = (judged.aicc, judged.held_out, judged.r2, judged.shapes, judged.plateaus)
    name = (_EXPONENTIAL, *_POWERS)[place].name
    return Law(name, *(float(column[0, place]) for column in columns))


def aicc(squares: np.ndarray, parameters: int, count: int, scale: np.ndarray) -> np.ndarray:
    """Akaike's criterion for few points, of squared errors (R,) in `count` rounds of curves as high as `scale` (R,)."""
    parameters += 1  # including the variance of the errors
    variance = np.maximum(squares / count, np.maximum(_EXACT * scale, 1e-150) ** 2)
    if count - parameters - 1 <= 0:
        return np.full(len(variance), math.inf)
    return count * np.log(variance) + 2 * parameters * (1 + (parameters + 1) / (count - parameters - 1))


def explained(squares: np.ndarray, deviations: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The share of the variance that squared errors (R,) leave explained, of squared deviations (R,) from the mean."""
    varies = deviations > (_EXACT * np.maximum(scale, 1e-150)) ** 2
    return np.where(varies, 1 - squares / np.where(varies, deviations, 1.0), 0.0)


def _estimate(values: np.ndarray, rows: np.ndarray | slice, level: float) -> Estimate:
    drawn = values[rows]
    low, high = percentile_interval(drawn, level) if len(drawn) else (math.nan, math.nan)
    return Estimate(float(values[0]), float(low), float(high))


def _lowest(values: np.ndarray, level: float) -> float:
    """The lower bound of the first value, or the value itself without resamples."""
    return float(values[0]) if len(values) == 1 else float(percentile_interval(values[1:], level)[0])
