"""Where chains end: the captions that most of them come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from telephonegan.errors import SettingsError
from telephonegan.figures.style import BLUE, new_axes, styled
from telephonegan.figures.wrapping import lines_of

_ROW, _MARGIN = 0.3, 0.5


@styled
def attractor_histogram(captions: Sequence[Sequence[str]], axes: Axes | None = None, *, top: int = 8) -> Axes:
    """How many chains end in each of the `top` commonest last captions, each written over its bar.

    `captions` holds the words of every chain's end, one for each chain; what is left out is told beneath. Raises
    SettingsError for none.

    >>> attractor_histogram([["a", "dog"], ["a", "dog"], ["a", "man"]])  # doctest: +SKIP
    """
    counts = Counter(" ".join(words) for words in captions)
    if not counts or top < 1:
        raise SettingsError(f"{len(counts)} captions and top={top} were given. Needed: at least one, and top from 1.")
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]
    axes = new_axes(_MARGIN + _ROW * len(shown), axes)
    axes.barh(np.arange(len(shown)), [count for _, count in shown], height=0.36, align="edge", color=BLUE)
    axes.set(ylim=(len(shown) - 0.4, -0.6), yticks=[], xlabel=_told(counts, len(shown)))
    axes.margins(x=0.1)  # room for the numbers
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.figure.figure.draw_without_rendering()  # only now is it known how wide the axes are
    width, size = 72 * axes.bbox.width / axes.figure.dpi - 2, 0.83 * matplotlib.rcParams["font.size"]
    near = {"textcoords": "offset points", "fontsize": size}
    for row, (caption, count) in enumerate(shown):
        line = lines_of(caption, width, size, 1)
        axes.annotate("".join(line), (0, row), xytext=(2, 2), va="bottom", **near)
        axes.annotate(f"{count}", (count, row + 0.18), xytext=(2, 0), va="center", **near)
    return axes


def _told(counts: Counter[str], shown: int) -> str:
    chains, rest = sum(counts.values()), len(counts) - shown
    return f"chains, of {chains} in all" + (f" ({rest} other endings not shown)" if rest else "")
