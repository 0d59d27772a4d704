"""Figures of captions: the words a chain kept, lost and gained, and the captions that chains end in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from telephonegan.errors import SettingsError
from telephonegan.figures.style import BLUE, FAINT, INK, ORANGE, legend_above, lines_of, new_axes, styled

_WORD_ROW, _WORD_MARGIN = 0.145, 0.62  # inches
_BAR_ROW, _BAR_MARGIN = 0.3, 0.5


@styled
def caption_changes(captions: Sequence[Sequence[str]], axes: Axes | None = None) -> Axes:
    """A matrix of words (rows, in order of first appearance) and rounds (columns), each kept, new or lost.

    `captions[t]` are the words of round t; content words only make a clearer figure. A word is new if the round before
    did not have it, and lost in the first round without it. Raises SettingsError for captions without any word.

    >>> caption_changes([["dog", "grass"], ["dog", "snow"]])  # doctest: +SKIP
    """
    words = list(dict.fromkeys(word for caption in captions for word in caption))
    if not words:
        raise SettingsError(f"{len(captions)} captions without any word were given; there is nothing to draw.")
    axes = new_axes(_WORD_MARGIN + _WORD_ROW * len(words), axes)
    for row, word in enumerate(words):
        _draw_word(axes, row, [word in caption for caption in captions])
    axes.set(xlim=(-0.5, len(captions) - 0.5), ylim=(len(words) - 0.5, -0.5), xlabel="round")
    axes.set_yticks(range(len(words)), words)
    every = -(-len(captions) // 20)
    axes.set_xticks(range(0, len(captions), every))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    legend_above(axes, handles=_keys(), handlelength=1)
    return axes


@styled
def attractor_histogram(captions: Sequence[Sequence[str]], axes: Axes | None = None, *, top: int = 8) -> Axes:
    """How many chains end in each of the `top` most common last captions, each written above its bar.

    `captions` holds the words of each chain's last caption; the remaining chains are counted below. Raises
    SettingsError for an empty list.

    >>> attractor_histogram([["a", "dog"], ["a", "dog"], ["a", "man"]])  # doctest: +SKIP
    """
    counts = Counter(" ".join(words) for words in captions)
    if not counts or top < 1:
        raise SettingsError(f"{len(counts)} captions and top={top} were given. Needed: at least one, and top from 1.")
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]
    axes = new_axes(_BAR_MARGIN + _BAR_ROW * len(shown), axes)
    axes.barh(np.arange(len(shown)), [count for _, count in shown], height=0.36, align="edge", color=BLUE)
    axes.set(ylim=(len(shown) - 0.4, -0.6), yticks=[], xlabel=_bar_label(counts, len(shown)))
    axes.margins(x=0.1)  # room for the numbers
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.figure.figure.draw_without_rendering()  # the width of the axes is known only now
    width, size = 72 * axes.bbox.width / axes.figure.dpi - 2, 0.83 * matplotlib.rcParams["font.size"]
    near = {"textcoords": "offset points", "fontsize": size}
    for row, (caption, count) in enumerate(shown):
        line = lines_of(caption, width, size, 1)
        axes.annotate("".join(line), (0, row), xytext=(2, 2), va="bottom", **near)
        axes.annotate(f"{count}", (count, row + 0.18), xytext=(2, 0), va="center", **near)
    return axes


def _draw_word(axes: Axes, row: int, said: Sequence[bool]) -> None:
    for number, here in enumerate(said):
        before = said[number - 1] if number else here
        axes.add_patch(Rectangle((number - 0.5, row - 0.5), 1, 1, fc="none", ec="#dddddd", lw=0.4))
        if here:
            cell = {"fc": BLUE if before else ORANGE, "ec": "none"}
            axes.add_patch(Rectangle((number - 0.42, row - 0.4), 0.84, 0.8, **cell))
        if here and not before:
            axes.plot(number, row, marker="+", ms=4, color=INK, mew=0.8)
        if before and not here:
            axes.plot(number, row, marker="x", ms=3.2, color=FAINT, mew=0.8)


def _keys() -> list[Line2D]:
    square = {"linestyle": "none", "marker": "s", "markersize": 5.5}
    return [
        Line2D([], [], **square, color=BLUE, label="kept"),
        Line2D([], [], **square, color=ORANGE, label="new"),
        Line2D([], [], linestyle="none", marker="x", markersize=3.6, mew=0.8, color=FAINT, label="lost"),
    ]


def _bar_label(counts: Counter[str], shown: int) -> str:
    chains, rest = sum(counts.values()), len(counts) - shown
    return f"chains, of {chains} in all" + (f" ({rest} other endings not shown)" if rest else "")
