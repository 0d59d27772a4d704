"""Pictures in rows with captions below: a chain as a film strip, many chains as a grid.

Positions are in points from the upper left corner of the figure.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from PIL import Image

from telephonegan.drift.tracks import Track
from telephonegan.errors import SettingsError
from telephonegan.figures.style import FAINT, column_width, lines_of, new_figure, styled, width_of
from telephonegan.strips import Tile

GAP = 5.0
_NARROWEST = 0.75  # inches
_DOTS_PER_INCH = 300
_LINE, _MOST_LINES = 1.2, 6


@styled
def film_strip(
    track: Track, figure: Figure | SubFigure | None = None, *, rounds: Sequence[int] | None = None, columns: int = 0
) -> Figure | SubFigure:
    """The pictures of a chain with round and caption below, in reading order; returns the figure.

    `rounds` selects some (default: all); a row has at most `columns` pictures (0: as many as fit at 0.75 inches each).
    A round without a picture shows its words instead. Raises SettingsError for rounds that the chain does not have, and
    for a given figure that is not high enough.

    >>> film_strip(track, rounds=[0, 1, 2, 8])  # doctest: +SKIP
    """
    turns = {turn.round: turn for turn in track.turns}
    wanted = list(turns) if rounds is None else list(rounds)
    if not wanted or not set(wanted) <= set(turns):
        raise SettingsError(f"Rounds {wanted} were requested. The chain {track.chain} has {sorted(turns)}.")
    width = column_width() if figure is None else figure.bbox.width / figure.dpi
    most = columns if columns > 0 else max(1, int(width / _NARROWEST))
    columns = -(-len(wanted) // -(-len(wanted) // most))  # rows as even as can be
    tiles = [Tile(turns[i].picture, " ".join(turns[i].words), str(i)) for i in wanted]
    return draw_tiles([tiles[i : i + columns] for i in range(0, len(tiles), columns)], figure)


@styled
def chain_strips(tracks: Sequence[Track]) -> Figure:
    """All rounds of several chains, every chain in rows of its own, as `film_strip` draws one."""
    most = max(1, int(column_width() / _NARROWEST))
    longest = max(len(track.turns) for track in tracks)
    columns = -(-longest // -(-longest // most))
    rows = []
    for track in tracks:
        tiles = [Tile(turn.picture, " ".join(turn.words), str(turn.round)) for turn in track.turns]
        rows += [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    return draw_tiles(rows)


@styled
def image_grid(
    tracks: Sequence[Track], figure: Figure | SubFigure | None = None, *, pairs: int = 2
) -> Figure | SubFigure:
    """The first and the last round of each chain side by side, `pairs` of them in a row; returns the figure.

    Captions are below, the last one after its round number. Raises SettingsError for no chains.
    """
    if not tracks or pairs < 1:
        raise SettingsError(
            f"{len(tracks)} chains and {pairs} pairs in a row were given. Needed: at least one of each."
        )
    tiles = [
        tile
        for track in tracks
        for tile in (
            Tile(track.turns[0].picture, " ".join(track.turns[0].words)),
            Tile(track.turns[-1].picture, " ".join(track.turns[-1].words), str(track.turns[-1].round), arrow=True),
        )
    ]
    width = 2 * min(pairs, len(tracks))
    return draw_tiles([tiles[i : i + width] for i in range(0, len(tiles), width)], figure)


def draw_tiles(rows: Sequence[Sequence[Tile]], figure: Figure | SubFigure | None = None) -> Figure | SubFigure:
    """Draw rows of tiles, sized for the longest row; captions end in an ellipsis after six lines.

    A given figure keeps its size. Raises SettingsError if it is not high enough, with the height needed.
    """
    width = 72 * (column_width() if figure is None else figure.bbox.width / figure.dpi)
    size = _tile_size(rows, width)
    texts = [[_lines(tile, size) for tile in row] for row in rows]
    sizes = [max(_height(tile, size) for tile in row) for row in rows]
    heights = [high + _row_text_height(row) + GAP for high, row in zip(sizes, texts, strict=True)]
    needed = sum(heights) - GAP + 2
    if figure is None:
        figure = new_figure(needed / 72)
    height = 72 * figure.bbox.height / figure.dpi
    if height < needed - 0.01:
        raise SettingsError(
            f"The figure is {height / 72:.2f} inches high; these pictures and captions need {needed / 72:.2f}. "
            "Give a higher one or fewer pictures, or leave the figure out."
        )
    axes = _canvas(figure, width, height)
    top = 1.0
    for row, row_texts, high, row_height in zip(rows, texts, sizes, heights, strict=True):
        for i, (tile, text) in enumerate(zip(row, row_texts, strict=True)):
            _draw_tile(axes, tile, text, i * (size + _gap(rows)), top + high, size, _gap(rows))
        top += row_height
    return figure


def _gap(rows: Sequence[Sequence[Tile]]) -> float:
    return 11.0 if any(tile.arrow for row in rows for tile in row) else GAP


def _tile_size(rows: Sequence[Sequence[Tile]], width: float) -> float:
    longest = max(map(len, rows))
    return (width - (longest - 1) * _gap(rows)) / longest


def _height(tile: Tile, size: float) -> float:
    return size if tile.image is None else size * tile.image.height / max(tile.image.size)


def _font_size() -> float:
    return 0.8 * matplotlib.rcParams["font.size"]


def _lines(tile: Tile, size: float) -> list[str]:
    words = f"{tile.head} {tile.text}".strip() if tile.image is not None else tile.head
    return lines_of(words, size, _font_size(), _MOST_LINES, weight="bold" if tile.head else "normal")


def _row_text_height(texts: Sequence[Sequence[str]]) -> float:
    return 3 + max(map(len, texts)) * _LINE * _font_size()


def _canvas(figure: Figure | SubFigure, width: float, height: float) -> Axes:
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    return axes


def _draw_tile(
    axes: Axes, tile: Tile, text: Sequence[str], left: float, bottom: float, size: float, gap: float
) -> None:
    if tile.image is None:
        _draw_words(axes, tile.text, left, bottom - size, size)
    else:
        _draw_picture(axes, tile.image, left, bottom, size)
    if tile.arrow:
        middle = bottom - size / 2
        ends = {"xy": (left - 1.5, middle), "xytext": (left - gap + 1.5, middle)}
        arrow = {"arrowstyle": "-|>,head_length=0.25,head_width=0.14", "color": FAINT, "lw": 0.7, "shrinkA": 0}
        axes.annotate("", **ends, arrowprops=arrow | {"shrinkB": 0})
    for i, line in enumerate(text):
        _draw_line(axes, line, tile.head if i == 0 else "", left, bottom + 2 + i * _LINE * _font_size())


def _draw_line(axes: Axes, line: str, head: str, left: float, top: float) -> None:
    place = {"ha": "left", "va": "top", "fontsize": _font_size()}
    if not head:
        axes.text(left, top, line, **place)
        return
    axes.text(left, top, head, **place, fontweight="bold")
    # On screen, hinting widens letters by up to one space.
    axes.text(left + width_of(f"{head}  ", _font_size(), weight="bold"), top, line[len(head) :].lstrip(), **place)


def _draw_picture(axes: Axes, picture: Image.Image, left: float, bottom: float, size: float) -> None:
    """Draw the whole picture, its longer side `size`, with no more pixels than print needs."""
    most = max(1, round(size / 72 * _DOTS_PER_INCH))
    shown = picture.convert("RGB")
    shown.thumbnail((most, most), Image.Resampling.LANCZOS)
    width, height = size * picture.width / max(picture.size), _height(Tile(picture, ""), size)
    x, y = left + (size - width) / 2, bottom - height
    image = axes.imshow(
        np.asarray(shown), extent=(x, x + width, y + height, y), aspect="auto", interpolation="antialiased"
    )
    image.set_clip_on(False)


def _draw_words(axes: Axes, words: str, left: float, top: float, size: float) -> None:
    axes.add_patch(Rectangle((left + 0.4, top + 0.4), size - 0.8, size - 0.8, fill=False, ec=FAINT, lw=0.6))
    font_size, lines = _fitted(f"“{words}”", size - 8)
    top += (size - len(lines) * _LINE * font_size) / 2
    for i, line in enumerate(lines):
        y = top + i * _LINE * font_size
        axes.text(left + size / 2, y, line, ha="center", va="top", fontsize=font_size)


def _fitted(words: str, side: float) -> tuple[float, list[str]]:
    """The font size and lines that fill a square: smaller for long texts, cut with an ellipsis for longer ones."""
    for font_size in (share * _font_size() for share in (1.0, 0.9, 0.8, 0.7)):
        limit = max(1, int(side / (_LINE * font_size)))
        lines = lines_of(words, side, font_size, limit + 1)
        if len(lines) <= limit:
            return font_size, lines
    return font_size, lines_of(words, side, font_size, limit)
