"""The frames of a view, each rendered once as a PNG file, and an image widget that shows them without flicker."""

from __future__ import annotations

import math
from functools import lru_cache

import ipywidgets
import numpy as np
from PIL import Image, ImageDraw, ImageOps
from traitlets import Unicode

from telephonegan.drift import MEASURES, Drift
from telephonegan.figures import similarity_curves, style
from telephonegan.figures.style import lines_of, new_axes
from telephonegan.files import png_bytes
from telephonegan.strips import CARD, FAINT, INK, PAPER, font, overlay, scaled

SIDE, CURVE_WIDTH = 256, 368
# Enough for all states of usual chains; caching all of a thousand rounds would take hundreds of megabytes.
kept = lru_cache(maxsize=512)

_SIZE, _LINE, _MARGIN = 18, 25, 20
_INCH = 100  # screen pixels; drawn at twice that for high-resolution screens
_CURVES = ("text→text", "image→image")  # comparisons of like with like; at most seven lines can be distinguished


def picture_png(image: Image.Image, side: int = SIDE) -> bytes:
    """The whole picture in a square of `side` pixels, padded if it is not square."""
    return png_bytes(_squared(image, side))


def overlay_png(image: Image.Image, seen: np.ndarray, side: int = SIDE) -> bytes:
    """The same square, dimmed where the map `seen` (H,W), not negative, is low."""
    return png_bytes(_squared(overlay(scaled(image, side), seen), side))


def card_png(text: str, side: int = SIDE) -> bytes:
    """A square with a message, in place of a missing picture."""
    sheet = Image.new("RGB", (side, side), CARD)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle([0, 0, side - 1, side - 1], outline=FAINT)
    lines = lines_of(text, side - 2 * _MARGIN, _SIZE, max(1, (side - 2 * _MARGIN) // _LINE))
    for i, line in enumerate(lines):
        middle = side / 2 + _LINE * (i - (len(lines) - 1) / 2)
        draw.text((side / 2, middle), line, INK, font(_SIZE), anchor="mm")
    return png_bytes(sheet)


def _squared(image: Image.Image, side: int) -> Image.Image:
    return ImageOps.pad(image, (side, side), Image.Resampling.LANCZOS, color=PAPER)


class DescribedImage(ipywidgets.Image):
    """An image of `width` × `height` pixels with a text description; `show` changes both.

    It keeps one `<img>` and changes its source, so that the old picture stays visible until the new one is decoded;
    HTML with a new `<img alt>` for each state would flicker. ipywidgets has no alt text; its tooltip becomes the
    `title`, which serves as the name of an image without alt text.
    """

    # The tooltip is set only if the description is an empty string, which an Image lacks by default.
    description = Unicode("").tag(sync=True)

    def __init__(self, width: int, height: int) -> None:
        fixed = {"width": f"{width}px", "height": f"{height}px", "flex": "0 0 auto"}
        super().__init__(format="png", layout=ipywidgets.Layout(**fixed))

    def show(self, png: bytes, words: str) -> None:
        """Show a PNG file with this description."""
        with self.hold_sync():
            self.value, self.tooltip = png, words


class DriftCurve:
    """Curves of similarity to round 0 with a marker at one round: matplotlib draws once, Pillow adds the marker.

    >>> DriftCurve(chain.drift()).png(3)  # doctest: +SKIP
    """

    def __init__(self, drift: Drift) -> None:
        found = {name: drift.values(name) for name, measure in MEASURES.items() if measure.direction in _CURVES}
        self._values = {name.replace("_", " "): values for name, values in found.items() if values}
        self._last = max((turn.round for turn in drift.track.turns), default=0)
        self._sheet, self._points = self._draw() if self._values else (None, [])

    def png(self, index: int) -> bytes:
        """The curves with a line at round `index` and a ring around each of its values."""
        if self._sheet is None:
            return card_png("There are no later rounds to compare with round 0.")
        marked = self._sheet.copy()
        draw = ImageDraw.Draw(marked)
        (x, top), (_, bottom), *values = self._points[index]
        draw.line([(x, top), (x, bottom)], FAINT, 3)
        for _, y in values:
            draw.ellipse([x - 9, y - 9, x + 9, y + 9], outline=INK, width=3)
        return png_bytes(marked)

    def words(self, index: int) -> str:
        """The values at round `index`, as a description for people who cannot see the curves."""
        values = [f"{name} {row[index]:.2f}" for name, row in self._values.items() if index in row]
        return f"Similarity of round {index} to round 0: {', '.join(values) or 'not measured'}"

    def _draw(self) -> tuple[Image.Image, list[list[tuple[float, float]]]]:
        """The figure, and pixel positions for each round: upper and lower end of its line, then its values."""
        rounds = np.arange(1, self._last + 1)
        lines = {name: [row.get(t, math.nan) for t in rounds.tolist()] for name, row in self._values.items()}
        with style("sans", 9, CURVE_WIDTH / _INCH):
            axes = similarity_curves(rounds, lines, new_axes(SIDE / _INCH))
        axes.set_xlim(-0.02 * self._last, 1.02 * self._last)
        low = min(0.0, *(value for row in self._values.values() for value in row.values()))
        axes.set_ylim(1.05 * low - 0.02, 1.04)
        canvas = axes.figure.canvas
        axes.figure.set_dpi(2 * _INCH)
        canvas.draw()
        sheet = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        ends = axes.get_ylim()[::-1]
        points = [
            [(t, y) for y in (*ends, *(row[t] for row in self._values.values() if t in row))]
            for t in range(self._last + 1)
        ]
        return sheet, [[(x, sheet.height - y) for x, y in axes.transData.transform(of_round)] for of_round in points]
