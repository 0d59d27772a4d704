"""The drift of one chain as curves with a marker that goes along them: matplotlib draws once, Pillow marks."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from telephonegan.drift import MEASURES, Drift
from telephonegan.figures import similarity_curves, style
from telephonegan.figures.style import new_axes
from telephonegan.files import png_bytes
from telephonegan.strips import FAINT, INK
from telephonegan.widgets.frames import SIDE, card_png

WIDTH, HEIGHT = 368, SIDE
_INCH = 100  # points of the screen; drawn with twice as many, for screens that show them
_SHOWN = ("text→text", "image→image")  # likenesses of one kind; at most seven lines can be told apart


class DriftCurve:
    """Similarities to round 0 of all rounds, and where one round lies on them.

    >>> DriftCurve(chain.drift()).png(3)  # doctest: +SKIP
    """

    def __init__(self, drift: Drift) -> None:
        found = {name: drift.values(name) for name, measure in MEASURES.items() if measure.direction in _SHOWN}
        self._values = {name.replace("_", " "): values for name, values in found.items() if values}
        self._last = max((turn.round for turn in drift.track.turns), default=0)
        self._sheet, self._points = self._draw() if self._values else (None, [])

    def png(self, index: int) -> bytes:
        """The curves with a line at round `index`, and a ring around each of its values."""
        if self._sheet is None:
            return card_png("There is no later round to compare with round 0.")
        marked = self._sheet.copy()
        draw = ImageDraw.Draw(marked)
        (x, top), (_, bottom), *values = self._points[index]
        draw.line([(x, top), (x, bottom)], FAINT, 3)
        for _, y in values:
            draw.ellipse([x - 9, y - 9, x + 9, y + 9], outline=INK, width=3)
        return png_bytes(marked)

    def words(self, index: int) -> str:
        """The values at round `index`, for who cannot see the curves."""
        values = [f"{name} {row[index]:.2f}" for name, row in self._values.items() if index in row]
        return f"Similarity of round {index} to round 0: {', '.join(values) or 'not measured'}"

    def _draw(self) -> tuple[Image.Image, list[list[tuple[float, float]]]]:
        """The sheet, and for each round pixels on it: upper and lower end of its line, then its values."""
        rounds = np.arange(1, self._last + 1)
        lines = {name: [row.get(t, math.nan) for t in rounds.tolist()] for name, row in self._values.items()}
        with style("sans", 9, WIDTH / _INCH):
            axes = similarity_curves(rounds, lines, new_axes(HEIGHT / _INCH))
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
