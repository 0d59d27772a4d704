"""Same meaning, other looks? Similarity of captions against similarity of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from telephonegan.drift.statistics import bootstrap, rank_correlation
from telephonegan.errors import DataError
from telephonegan.figures.style import BLUE, column_width, new_axes, styled

_HEIGHT = 0.85  # of the width


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
    """One dot for each chain (N,), and Spearman's ρ with its 95 % bootstrap interval over sources above.

    A ρ near 0 says that meaning stays or goes whatever becomes of the looks. Raises DataError where no pair is known.
    """
    visual, semantic = np.asarray(visual, dtype=float), np.asarray(semantic, dtype=float)
    count = int((~np.isnan(visual + semantic)).sum())
    if not count:
        raise DataError("No chain has both similarities; there is nothing to draw.")
    found = bootstrap(rank_correlation, visual, semantic, sources=sources, resamples=resamples, seed=seed)
    axes = new_axes(_HEIGHT * column_width(), axes)
    axes.plot(visual, semantic, linestyle="none", marker="o", markersize=3, color=BLUE, alpha=0.35, markeredgewidth=0)
    interval = f" [{_signed(found.low)}, {_signed(found.high)}]" if np.isfinite(found.low) else ""
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.locator_params(nbins=6)
    axes.set_title(f"ρ = {_signed(found.value)}{interval}, n = {count}", loc="left")
    return axes


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
