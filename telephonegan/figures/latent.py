"""Figures of axes in latent space: a grid of pictures, features by steps, and matrices of what goes together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from telephonegan.errors import SettingsError
from telephonegan.figures.style import column_width, new_axes, styled
from telephonegan.figures.tiles import draw_tiles
from telephonegan.latent.axes import AxisSet
from telephonegan.latent.walk import Walk
from telephonegan.strips import Tile

MATRICES = ("cosine", "correlation")


@styled
def axis_grid(
    walk: Walk,
    figure: Figure | SubFigure | None = None,
    *,
    names: Sequence[str] | None = None,
    sigmas: Sequence[float] = (-3, -2, -1, 0, 1, 2, 3),
) -> Figure | SubFigure:
    """One row of pictures per feature, moved by `sigmas` from where the walk started; returns the figure.

    `names` selects features (default: all that can move under the walk's locks). Raises SettingsError.

    >>> figures.axis_grid(Walk(generator, axes, seed=3), names=["age", "sex"])  # doctest: +SKIP
    """
    unable = {*walk.disabled(), *walk.state.locked}
    chosen = [name for name in walk.axes.names if name not in unable] if names is None else list(names)
    if not chosen or not len(sigmas):
        raise SettingsError(f"{len(chosen)} features and {len(sigmas)} steps were given; at least one each is needed.")
    rows = []
    for name in chosen:
        pictures = walk.frames(name, sigmas)
        heads = [f"{sigma:+g} σ" if sigma else "0" for sigma in sigmas] if name == chosen[0] else [""] * len(sigmas)
        texts = _ends(walk.axes, name, len(sigmas))
        rows.append([Tile(p.image, text, head) for p, text, head in zip(pictures, texts, heads, strict=True)])
    return draw_tiles(rows, figure)


def _ends(axes: AxisSet, name: str, count: int) -> list[str]:
    """What is written below a row: its name in the middle, and what its ends are called."""
    low, high = axes.ends.get(name, ("", ""))
    texts = [""] * count
    texts[0], texts[-1] = low, high
    texts[count // 2] = name
    return texts


@styled
def axis_matrix(axis_set: AxisSet, kind: str = "cosine", axes: Axes | None = None) -> Axes:
    """The cosine of each pair of axes, or the correlation of each pair of scores; returns the axes drawn on.

    Colours are symmetric around 0, and every cell has its number. Raises SettingsError.

    >>> figures.axis_matrix(AxisSet.load("faces"), "correlation")  # doctest: +SKIP
    """
    if kind not in MATRICES:
        raise SettingsError(f"kind is one of {', '.join(MATRICES)}; {kind!r} was given.")
    values = axis_set.cosines() if kind == "cosine" else axis_set.correlation
    if values is None:
        raise SettingsError("These axes were found without scores, so there are no correlations. Use kind='cosine'.")
    axes = new_axes(column_width(), axes)
    axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
    places = np.arange(len(axis_set))
    axes.set_xticks(places, axis_set.names, rotation=90)
    axes.set_yticks(places, axis_set.names)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    size = min(7.0, 60 / max(1, len(axis_set)))
    for row in places:
        for column in places:
            value = values[row, column]
            ink = "white" if abs(value) > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=size)
    axes.set_title("cosine of axes" if kind == "cosine" else "correlation of scores")
    return axes
