"""Five laws race: which of them describes how similarity falls, and would it have foretold the rounds to come?

Exponential, exponential to a plateau, power law, power law to a plateau, and two exponentials. "No law" is an answer:
it is given where the leader depends on the criterion, on the photographs, or explains too little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from telephonegan.drift.decay import LEAST_LEAD, LEAST_R2, Family, aicc, explained, fitted, half_lives, halvings, powers
from telephonegan.errors import DataError

LEAST_ROUNDS = 8
TWO_EXPONENTIALS = "two exponentials"
_FAMILIES = (
    Family("exponential", halvings, False, half_lives),
    Family("exponential to a plateau", halvings, True, half_lives),
    Family("power law", powers, False, lambda rounds: (0.01, 10.0)),
    Family("power law to a plateau", powers, True, lambda rounds: (0.01, 10.0)),
)
LAWS = (*(family.name for family in _FAMILIES), TWO_EXPONENTIALS)
_PARAMETERS = (*(family.parameters for family in _FAMILIES), 4)
# What is a law and something more cannot lose to it by much: the simpler one is preferred where its AICc is lower.
_ADDITIONS = {
    "exponential": ("exponential to a plateau", TWO_EXPONENTIALS),
    "power law": ("power law to a plateau",),
}
_HELD_OUT = 0.3  # of the rounds
_AS_GOOD = 1.1  # of the smallest held-out error
_GRID, _ZOOMS, _BATCH = 14, 8, 100
_EXACT = 1e-6


@dataclass(frozen=True, eq=False)
class Contender:
    """One law of a race.

    - `aicc`: Akaike's criterion for few points, lower is better; `weight` (0 to 1): its share of the evidence among the
      laws. Both take the rounds' errors as independent, which those of one set of games are not: they rank laws.
    - `held_out`: root mean square error in the last three tenths of the rounds of the law fitted to those before.
    - `r2`: the share of the variance it explains; `curve` (T,): the fit to all rounds.
    - `shape`: half-life in rounds (of two exponentials the shorter), or exponent; `plateau`: where it ends.
    - `leads_in`: the share of resamples in which its AICc is lowest, NaN without resamples.
    - `windows` (W,): what fits to rounds up to each of `LawRace.windows` foretell for the last round.
    """

    name: str
    aicc: float
    weight: float
    held_out: float
    r2: float
    shape: float
    plateau: float
    leads_in: float
    curve: np.ndarray
    windows: np.ndarray


@dataclass(frozen=True, eq=False)
class LawRace:
    """The `laws`, best AICc first, and the one that is `best`; None and the `reason` where there is no law.

    `observed` (T,) is the curve in `rounds`, and `windows` are the last rounds of the windows all laws were fitted to.
    """

    rounds: np.ndarray
    observed: np.ndarray
    windows: tuple[int, ...]
    laws: tuple[Contender, ...]
    best: str | None
    reason: str


def law_race(rounds: Sequence[int] | np.ndarray, curves: np.ndarray) -> LawRace:
    """Fit five laws to a mean curve and to resamples of it, `curves` (1 + R,T), without round 0; see `decay.half_life`.

    A law is best if its AICc leads all others by 2 (Burnham and Anderson, "Model Selection", 2002), except those that
    only add a plateau or an exponential to it; if no other law foretells the held-out rounds better by more than a
    tenth; if it leads in half of the resamples, such additions counted with it; and if it explains 0.8 of the curve. No
    law rises, and none falls below 0. Raises DataError for fewer than eight rounds with values.

    >>> rounds = np.arange(1, 21)
    >>> law_race(rounds, 0.8 * rounds**-0.5).best
    'power law'
    """
    numbers, curves = np.asarray(rounds, dtype=float), np.atleast_2d(np.asarray(curves, dtype=float))
    if curves.shape[1:] != numbers.shape or (np.diff(numbers) <= 0).any() or (numbers < 1).any():
        raise DataError(
            f"Curves of shape {curves.shape} in {numbers.size} rounds were given. Needed: curves × rounds, and rounds "
            "from 1 on that rise."
        )
    known = ~np.isnan(curves[0])
    numbers, curves = numbers[known], curves[:, known]
    if len(numbers) < LEAST_ROUNDS:
        raise DataError(f"A race of laws needs values in {LEAST_ROUNDS} rounds; {len(numbers)} were given.")
    curves = curves[~np.isnan(curves).any(axis=1)]
    seen = len(numbers) - max(2, round(_HELD_OUT * len(numbers)))
    scale = np.abs(curves).max(axis=1)
    fits = _fit_all(numbers, curves, numbers)
    scores = np.stack([aicc(fit.squares, k, len(numbers), scale) for fit, k in zip(fits, _PARAMETERS, strict=True)])
    early = _fit_all(numbers[:seen], curves[:1, :seen], numbers[seen:])
    held_out = [float(np.sqrt(((fit.curves[0] - curves[0, seen:]) ** 2).mean())) for fit in early]
    deviations = ((curves - curves.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    ends = _window_ends(len(numbers))
    foretold = [_fit_all(numbers[:end], curves[:1, :end], numbers[-1:]) for end in ends]
    lead = np.argmin(scores[:, 1:], axis=0)
    weights = np.exp(-(scores[:, 0] - scores[:, 0].min()) / 2)
    laws = [
        Contender(
            name=name,
            aicc=float(scores[i, 0]),
            weight=float(weights[i] / weights.sum()),
            held_out=held_out[i],
            r2=float(explained(fits[i].squares, deviations, scale)[0]),
            shape=float(fits[i].shape[0]),
            plateau=float(fits[i].plateau[0]),
            leads_in=float((lead == i).mean()) if len(lead) else float("nan"),
            curve=fits[i].curves[0],
            windows=np.array([fit[i].curves[0, 0] for fit in foretold]),
        )
        for i, name in enumerate(LAWS)
    ]
    laws.sort(key=lambda law: law.aicc)
    reason = _objection(laws, _EXACT * float(scale[0]))
    windows = tuple(int(numbers[end - 1]) for end in ends)
    return LawRace(numbers, curves[0], windows, tuple(laws), None if reason else laws[0].name, reason)


@dataclass(frozen=True, eq=False)
class _Fits:
    """One law fitted to R curves: `curves` (R,N) in the rounds asked for, squared errors, first shape and plateau."""

    curves: np.ndarray
    squares: np.ndarray
    shape: np.ndarray
    plateau: np.ndarray


def _fit_all(rounds: np.ndarray, curves: np.ndarray, at: np.ndarray) -> list[_Fits]:
    found = []
    for family in _FAMILIES:
        fit = fitted(family, rounds, curves)
        found.append(_Fits(fit.at(at), fit.squares, fit.shape, fit.plateau))
    parts = [_two_exponentials(rounds, curves[i : i + _BATCH], at) for i in range(0, len(curves), _BATCH)]
    fields = ("curves", "squares", "shape", "plateau")
    return [*found, _Fits(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))]


def _two_exponentials(rounds: np.ndarray, curves: np.ndarray, at: np.ndarray) -> _Fits:
    """Search both half-lives on ever finer grids; the two falls, neither negative, are linear given them."""
    count, (shortest, longest) = len(curves), np.log(half_lives(rounds))
    lows, highs = np.full((count, 2), shortest), np.full((count, 2), longest)
    for _ in range(_ZOOMS):
        grids = np.linspace(lows, highs, _GRID, axis=2)  # (R,2,G)
        bases = [halvings(rounds, np.exp(grids[:, side])) for side in (0, 1)]  # (R,G,T)
        falls, squares = _two_falls(bases[0], bases[1], curves)
        best = np.argmin(squares.reshape(count, -1), axis=1)
        places = np.stack(np.unravel_index(best, (_GRID, _GRID)), axis=1)
        centre = np.take_along_axis(grids, places[:, :, None], axis=2)[..., 0]
        step = (highs - lows) / (_GRID - 1) * 2
        lows, highs = np.maximum(centre - step, shortest), np.minimum(centre + step, longest)
    rows = np.arange(count)
    fall = falls[rows, :, places[:, 0], places[:, 1]]  # (R,2)
    lives = np.exp(centre)

    def curve(when: np.ndarray) -> np.ndarray:
        return (fall[..., None] * 2.0 ** (-(when - rounds[0]) / lives[..., None])).sum(axis=1)

    return _Fits(curve(at), ((curve(rounds) - curves) ** 2).sum(axis=1), lives.min(axis=1), np.zeros(count))


def _two_falls(first: np.ndarray, second: np.ndarray, curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The falls (R,2,G,G) by each pair of bases (R,G,T), neither negative, and their squared errors (R,G,G)."""
    a = (first**2).sum(-1)[:, :, None]
    c = (second**2).sum(-1)[:, None, :]
    b = np.einsum("rgt,rht->rgh", first, second)
    p = np.einsum("rgt,rt->rg", first, curves)[:, :, None]
    q = np.einsum("rht,rt->rh", second, curves)[:, None, :]
    room = np.maximum(a * c - b**2, 1e-12 * a * c)
    u, v = (p * c - q * b) / room, (q * a - p * b) / room
    alone = np.maximum(p, 0) / a, np.maximum(q, 0) / c
    prefers_first = alone[0] * p >= alone[1] * q  # of the two, what explains more
    is_inside = (u >= 0) & (v >= 0)
    u = np.where(is_inside, u, np.where(prefers_first, alone[0], 0))
    v = np.where(is_inside, v, np.where(prefers_first, 0, alone[1]))
    total = (curves**2).sum(-1)[:, None, None]
    return np.stack([u, v], axis=1), total - 2 * (u * p + v * q) + u**2 * a + 2 * u * v * b + v**2 * c


def _window_ends(count: int) -> list[int]:
    """Six windows that begin with the first round and end ever later, the last one with all rounds."""
    return sorted({*np.linspace(max(5, count // 4), count, 6).round().astype(int).tolist()})


def _objection(laws: list[Contender], least: float) -> str:
    """Why the law with the lowest AICc is not the law of the curve; empty if it is."""
    first = laws[0]
    additions = _ADDITIONS.get(first.name, ())
    second = next(law for law in laws[1:] if law.name not in additions)
    agree = sum(law.leads_in for law in laws if law is first or law.name in additions)
    if first.r2 < LEAST_R2:
        return f"the best law, {first.name}, explains {max(first.r2, 0):.2f} of the curve; {LEAST_R2} is asked for"
    if second.aicc - first.aicc < LEAST_LEAD:
        return f"{first.name} and {second.name} describe the curve equally well by AICc"
    seer = min(laws, key=lambda law: law.held_out)
    if first.held_out > _AS_GOOD * seer.held_out + least:
        return f"{first.name} leads by AICc, but {seer.name} foretells the held-out rounds better"
    if agree < 0.5:
        return f"{first.name} leads in {agree:.0%} of the resamples only"
    return ""
