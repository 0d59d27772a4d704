"""A walk in latent space as plain data for `knobs.js`: the picture, its features, and what is honest to say of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from telephonegan.latent.axes import AxisSet
from telephonegan.latent.walk import MOST, State, Walk
from telephonegan.results import Picture
from telephonegan.viewer.data import picture_url

KNOBS_SCRIPT, KNOBS_STYLE = (Path(__file__).parent / name for name in ("knobs.js", "knobs.css"))
REACH = 4.0  # σ to either side that a slider has; more can be typed
_GRADES = {"good": 0.5, "fair": 0.1, "poor": -1e9}  # from which R² on


def knobs_data(
    walk: Walk,
    picture: Picture,
    start: Picture,
    *,
    names: Sequence[str],
    state: State | None = None,
    changes: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The knobs of these features, the `picture` of a state (default: the walk's own), and the one it began with.

    `changes` are how far the scores have moved, in standard deviations, or None if they are not measured.

    >>> knobs_data(walk, walk.picture(), walk.start(), names=["age"])["values"]  # doctest: +SKIP
    {'age': 0.0}
    """
    state = walk.state if state is None else state
    return {
        "kind": "knobs",
        "features": [_feature(walk.axes, name) for name in names],
        "reach": REACH,
        "most": MOST,
        "values": {name: state.total(name) for name in names},
        "locked": [name for name in names if name in state.locked],
        "disabled": {name: reason for name, reason in walk.disabled().items() if name in names},
        "picture": picture_url(picture.image),
        "start": picture_url(start.image),
        "alt": described(walk, state),
        "dropped": list(picture.dropped_words),
        "text": state.text if walk.generator.painter.takes_text else None,
        "share": walk.share(state),
        "moved": bool(state.steps),
        "can_undo": walk.can_undo,
        "can_redo": walk.can_redo,
        "changes": None if changes is None else dict(changes),
    }


def described(walk: Walk, state: State) -> str:
    """A state in words, such as “seed 3 · age +2 σ”."""
    start = f"“{state.text}”, " if state.text else ""
    start += f"seed {state.seed}" if state.start is None else "latents that were given"
    moves = [f"{name} {state.total(name):+.3g} σ" for name in walk.axes.names if state.total(name)]
    return " · ".join([start, *moves])


def _feature(axes: AxisSet, name: str) -> dict[str, Any]:
    low, high = axes.ends.get(name, ("less", "more"))
    errors = axes.errors
    error = None if errors is None else float(errors[axes.index(name)])
    return {"name": name, "low": low, "high": high, "error": error, **_honesty(axes, name)}


def _honesty(axes: AxisSet, name: str) -> dict[str, str]:
    """How far the axis can be trusted: a short badge, its grade, and the same in whole sentences."""
    found = axes.measured.get(name)
    if axes.r2 is None:
        return {"badge": "found without scores", "grade": "fair", "told": "What it does was never measured: look."}
    r2 = float(axes.r2[axes.index(name)])
    badge = f"R² {r2:.2f}"
    told = f"The axis explains {max(0.0, r2):.0%} of this score's variance on held-out pictures. "
    if found is None:
        return {"badge": badge, "grade": _grade(r2), "told": f"{told}What it does to other scores was not measured."}
    leaks = f"leaks {found.leakage:.2f}, locked {found.locked_leakage:.2f}"
    told += (
        f"One σ changes it by {found.slope:.2f} standard deviations and each other score by {found.leakage:.2f}; "
        f"with all others locked, by {found.locked_slope:.2f} and {found.locked_leakage:.2f}."
    )
    return {"badge": f"{badge} · {leaks}", "grade": _grade(r2), "told": told}


def _grade(r2: float) -> str:
    return next(grade for grade, least in _GRADES.items() if r2 >= least)
