"""The style of figures: one set of sizes, fonts and colours, readable in print, in grey and by colour-blind eyes.

Text is broken into lines by its width in the font it will be drawn in.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.rcsetup import cycler
from PIL import ImageFont

from telephonegan.errors import OutputError, SettingsError
from telephonegan.files import expanded, write_new
from telephonegan.strips import wrapped

COLUMN, SERIF, SANS = 3.25, "serif", "sans"
# Widths of one column and of the whole text in inches, as the venues' style files set them.
VENUES = {
    "acl": (3.03, 6.3),
    "cvpr": (3.25, 6.875),
    "icml": (3.25, 6.75),
    "ieee": (3.5, 7.16),
    "neurips": (5.5, 5.5),
}
# Okabe and Ito's colours, without yellow (invisible on white), ordered so that neighbours differ in grey.
BLUE, VERMILION, SKY, GREEN, ORANGE, PURPLE, BLACK = (
    "#0072B2",
    "#D55E00",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#000000",
)
LINES = tuple(
    {"color": color, "linestyle": linestyle, "marker": marker}
    for color, linestyle, marker in zip(
        (BLUE, VERMILION, BLACK, SKY, GREEN, ORANGE, PURPLE),
        ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1))),
        "osDv^PX",
        strict=True,
    )
)
_WIDE = 0.8  # of the figure: a legend that extends beyond the axes makes them narrower
INK, FAINT = "#222222", "#767676"
_EM = 100  # letters are measured large, where no hinting rounds the widths
_SAFE = 0.97  # on a screen hinting makes letters a little wider

_FONTS = {SERIF: ["STIXGeneral", "DejaVu Serif"], SANS: ["DejaVu Sans"]}  # bundled with matplotlib: the same everywhere
_SUFFIXES = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}
# TrueType fonts, because publishers refuse Type 3; letters of an SVG as paths, so that no font can be missing.
_EMBEDDING = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "telephonegan"}
_active: ContextVar[bool] = ContextVar("style", default=False)

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def style(family: Literal["serif", "sans"] = SERIF, size: float = 8, column: float = COLUMN) -> Iterator[None]:
    """A context in which figures use this font family and size (points), and new ones are `column` inches wide.

    Raises SettingsError.

    >>> with style(size=9, column=5.5):
    ...     axes = similarity_curves([1, 2], {"words": [0.9, 0.4]})  # doctest: +SKIP
    """
    if family not in _FONTS:
        raise SettingsError(f"The font family {family!r} is unknown. Allowed: {SERIF}, {SANS}.")
    if not 4 <= size <= 24 or not 1 <= column <= 20:
        raise SettingsError(
            f"A size of {size} points and a column of {column} inches were given. "
            "Allowed: sizes from 4 to 24, columns from 1 to 20."
        )
    token = _active.set(True)
    try:
        with matplotlib.rc_context(_settings(family, size, column)):
            yield
    finally:
        _active.reset(token)


def size(venue: str, *, columns: int = 1) -> dict[str, Any]:
    """The options of `style` for a venue: the width of its column, or of both, and the family and size of its text.

    Figures are set a little smaller than the text. Raises SettingsError for a venue that is not known here.

    >>> size("acl")
    {'family': 'serif', 'size': 8, 'column': 3.03}
    """
    if venue not in VENUES:
        raise SettingsError(f"The venue {venue!r} is unknown. Allowed: {', '.join(VENUES)}; or give style a width.")
    if columns not in (1, 2):
        raise SettingsError(f"A figure is 1 or 2 columns wide; {columns!r} was given.")
    return {"family": SERIF, "size": 8, "column": VENUES[venue][columns - 1]}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the default style unless another is active, and fix the layout before the style ends."""

    @functools.wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if _active.get():
            return _settled(draw(*args, **kwargs))
        with style():
            return _settled(draw(*args, **kwargs))

    return wrapped


def column_width() -> float:
    """The width of a new figure, in inches."""
    return float(matplotlib.rcParams["figure.figsize"][0])


def new_axes(height: float, axes: Axes | None = None) -> Axes:
    """The axes given, or those of a new figure: a column wide, `height` inches high, not registered with pyplot."""
    if axes is not None:
        return axes
    return new_figure(height, layout="constrained").add_subplot()


def new_figure(height: float, *, layout: str | None = None) -> Figure:
    """An empty figure, a column wide and `height` inches high."""
    figure = Figure(figsize=(column_width(), height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def legend_above(axes: Axes, **options: Any) -> int:
    """Draw the legend above the axes in as few rows as fit the width, and return their number."""
    count = len(options.get("handles") or axes.get_legend_handles_labels()[0])
    cell = axes.get_subplotspec()
    share = 1.0 if cell is None else len(cell.colspan) / cell.get_gridspec().ncols  # of the figure's width
    for columns in sorted({-(-count // rows) for rows in range(1, count + 1)}, reverse=True):
        legend = axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns, columnspacing=1.2, **options)
        if legend.get_window_extent().width <= _WIDE * share * axes.figure.bbox.width:
            break
    return -(-count // columns)


def lines_of(text: str, width: float, size: float, limit: int, *, weight: str = "normal") -> list[str]:
    """At most `limit` lines no wider than `width` points at font size `size`; cut text ends in an ellipsis."""
    return [line for line in wrapped(text, _font(weight), _SAFE * width * _EM / size, limit) if line]


def width_of(text: str, size: float, *, weight: str = "normal") -> float:
    """The width of a text in points."""
    return _font(weight).getlength(text) * size / _EM


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure to a new PDF, SVG or PNG file, at its own size and byte-identical every time.

    Raises OutputError for another suffix, or if the file already exists.
    """
    path = expanded(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise OutputError(f"{path} does not end in a figure suffix. Allowed: {', '.join(_SUFFIXES)}.")
    return write_new(path, file_of(figure, suffix))


def file_of(figure: Figure, suffix: str) -> bytes:
    """The bytes of a figure's file: `suffix` is .pdf, .svg or .png."""
    buffer = BytesIO()
    with matplotlib.rc_context(_EMBEDDING):
        figure.savefig(buffer, format=suffix[1:], metadata=_SUFFIXES[suffix], dpi=300)
    return buffer.getvalue()


def _settings(family: str, size: float, column: float) -> dict[str, Any]:
    small = 0.875 * size
    return {
        **_EMBEDDING,
        "font.family": _FONTS[family],
        "mathtext.fontset": "stix" if family == SERIF else "dejavusans",
        "text.parse_math": False,  # a dollar sign in a caption is not maths
        "font.size": size,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "xtick.labelsize": small,
        "ytick.labelsize": small,
        "legend.fontsize": small,
        "figure.figsize": (column, 0.66 * column),
        "figure.dpi": 100,
        "savefig.bbox": None,  # "tight" would change the width
        "figure.constrained_layout.h_pad": 0.04,
        "figure.constrained_layout.w_pad": 0.04,
        "axes.prop_cycle": cycler(color=[line["color"] for line in LINES]),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "lines.linewidth": 1.2,
        "lines.markersize": 3.2,
        "legend.frameon": False,
        "legend.handlelength": 2.6,
        "legend.borderaxespad": 0.2,
        "hatch.linewidth": 0.6,
    }


def _settled(drawn: Any) -> Any:
    # Ticks are created when drawn, and would take the style of that moment.
    drawn.figure.figure.draw_without_rendering()  # a subfigure's figure is the whole figure
    return drawn


def _font(weight: str) -> ImageFont.FreeTypeFont:
    return _opened(findfont(FontProperties(weight=weight)))


@cache
def _opened(file: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, _EM)
