"""Figures of similarity: curves over rounds with bands and reference levels; word survival; meaning against looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from telephonegan.drift.statistics import Estimate, bootstrap, rank_correlation
from telephonegan.errors import DataError, SettingsError
from telephonegan.figures.style import BLUE, FAINT, LINES, column_width, legend_above, new_axes, styled

_HEIGHT, _SCATTER_HEIGHT = 0.72, 0.85  # of the width
_LEGEND_ROW = 1.3 / 72  # inches for each point of the font size
# The same kind looks the same in every figure, whichever others are drawn.
KIND_LINES = dict(zip(("object", "action", "all", "colour", "number", "other"), LINES, strict=False))
_DASHES = ((0, (1, 1.5)), (0, (4, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (10, 3)))  # of levels


@styled
def similarity_curves(
    rounds: Sequence[int] | np.ndarray,
    curves: Mapping[str, Estimate | Sequence[float] | np.ndarray],
    axes: Axes | None = None,
    *,
    levels: Mapping[str, Any] | None = None,
    ylabel: str = "similarity to round 0",
    lines: Sequence[Mapping[str, Any]] | None = None,
) -> Axes:
    """One line per label over `rounds` (T,), with a band if it is an `Estimate` of arrays (T,).

    `levels` are at most four reference values by name, numbers or arrays (T,), drawn as grey lines. `lines`
    are matplotlib's settings of each line (default: `style.LINES` in turn). Raises
    SettingsError for no lines, for more than can be distinguished, and for a line whose length differs from `rounds`.

    >>> similarity_curves([1, 2, 3], {"tf-idf cosine": [0.6, 0.4, 0.3]}, levels={"chance": 0.05})  # doctest: +SKIP
    """
    if not 1 <= len(curves) <= len(LINES):
        raise SettingsError(f"{len(curves)} curves were given. Allowed: 1 to {len(LINES)}; draw several figures.")
    for label, curve in curves.items():
        value = curve.value if isinstance(curve, Estimate) else curve
        if np.shape(value) != np.shape(rounds):
            raise SettingsError(f"{label!r} has {np.size(value)} values for {np.size(rounds)} rounds.")
    levels = levels or {}
    if len(levels) > len(_DASHES):
        raise SettingsError(f"{len(levels)} levels were given. Allowed: at most {len(_DASHES)}.")
    is_new = axes is None
    axes = new_axes(_HEIGHT * column_width(), axes)
    for (label, curve), line in zip(curves.items(), lines or LINES, strict=False):
        _draw_curve(axes, rounds, label, curve, line, shade=0.2 if len(curves) < 3 else 0.1)
    for (name, level), dashes in zip(levels.items(), _DASHES, strict=False):
        height = np.broadcast_to(np.asarray(level, dtype=float), np.shape(rounds))
        axes.plot(rounds, height, label=name, color=FAINT, linestyle=dashes, linewidth=0.9, zorder=1)
    axes.set(xlabel="round", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    rows = legend_above(axes)
    if is_new:  # the curves keep their height, whatever is written above
        axes.figure.set_figheight(
            _HEIGHT * column_width() + (rows - 1) * _LEGEND_ROW * matplotlib.rcParams["font.size"]
        )
    return axes


@styled
def survival_curves(
    rounds: Sequence[int] | np.ndarray,
    shares: Mapping[str, Any],
    axes: Axes | None = None,
    *,
    levels: Mapping[str, Any] | None = None,
) -> Axes:
    """One line per kind of word: the share (0 to 1) of the words of round 0 that round t still says.

    `shares` gives for each kind an `Estimate` of arrays (T,), or one array (T,); see `drift.survival`. A kind,
    the first word of its label, has the same colour in every figure. `levels` as in `similarity_curves`.
    """
    lines = [KIND_LINES.get(label.split()[0], LINES[-1]) for label in shares]
    axes = similarity_curves(rounds, shares, axes, levels=levels, ylabel="share of words still said", lines=lines)
    axes.set_ylim(0, 1.02)
    return axes


@styled
def meaning_and_looks(
    visual: np.ndarray,
    semantic: np.ndarray,
    axes: Axes | None = None,
    *,
    sources: Sequence[str],
    xlabel: str = "visual similarity",
    ylabel: str = "semantic similarity",
    resamples: int = 2000,
    seed: int = 0,
) -> Axes:
    """One dot for each chain (N,), headed by Spearman's ρ with its 95 % bootstrap interval over sources.

    A ρ near 0 means that meaning changes independently of looks. Raises DataError if no chain has both values.
    """
    visual, semantic = np.asarray(visual, dtype=float), np.asarray(semantic, dtype=float)
    count = int((~np.isnan(visual + semantic)).sum())
    if not count:
        raise DataError("No chain has both similarities; there is nothing to draw.")
    found = bootstrap(rank_correlation, visual, semantic, sources=sources, resamples=resamples, seed=seed)
    axes = new_axes(_SCATTER_HEIGHT * column_width(), axes)
    axes.plot(visual, semantic, linestyle="none", marker="o", markersize=3, color=BLUE, alpha=0.35, markeredgewidth=0)
    interval = f" [{_signed(found.low)}, {_signed(found.high)}]" if np.isfinite(found.low) else ""
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.locator_params(nbins=6)
    axes.set_title(f"ρ = {_signed(found.value)}{interval}, n = {count}", loc="left")
    return axes


def _draw_curve(axes: Axes, rounds: Any, label: str, curve: Any, line: Mapping[str, Any], shade: float) -> None:
    value = curve.value if isinstance(curve, Estimate) else curve
    axes.plot(rounds, value, label=label, **line, markeredgewidth=0)
    if isinstance(curve, Estimate):
        axes.fill_between(rounds, curve.low, curve.high, color=line["color"], alpha=shade, linewidth=0)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
