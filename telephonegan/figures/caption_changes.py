"""Which words a chain kept, lost and found, round by round."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from telephonegan.errors import SettingsError
from telephonegan.figures.style import BLUE, FAINT, INK, ORANGE, legend_above, new_axes, styled

_ROW, _MARGIN = 0.145, 0.62


@styled
def caption_changes(captions: Sequence[Sequence[str]], axes: Axes | None = None) -> Axes:
    """A matrix of words (down, in order of their first coming) and rounds (across), each kept, new or lost.

    `captions[t]` are the words of round t; content words alone make the clearer figure. A word is new where the round
    before had it not, and lost in the round that no longer has it. Raises SettingsError for captions without a word.

    >>> caption_changes([["dog", "grass"], ["dog", "snow"]])  # doctest: +SKIP
    """
    words = list(dict.fromkeys(word for caption in captions for word in caption))
    if not words:
        raise SettingsError(f"{len(captions)} captions without a word were given; there is nothing to draw.")
    axes = new_axes(_MARGIN + _ROW * len(words), axes)
    for row, word in enumerate(words):
        _draw_word(axes, row, [word in caption for caption in captions])
    axes.set(xlim=(-0.5, len(captions) - 0.5), ylim=(len(words) - 0.5, -0.5), xlabel="round")
    axes.set_yticks(range(len(words)), words)
    step = -(-len(captions) // 20)
    axes.set_xticks(range(0, len(captions), step))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    legend_above(axes, handles=_keys(), handlelength=1)
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
