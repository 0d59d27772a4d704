"""Pictures of one state each, as the bytes of a PNG file: drawn with Pillow, all of one size."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from telephonegan.figures.wrapping import lines_of
from telephonegan.files import png_bytes
from telephonegan.strips import CARD, FAINT, INK, PAPER, font, overlay, scaled

SIDE = 256
# Every state of usual games; of a game of a thousand rounds not all, or the kernel would hold hundreds of megabytes.
kept = lru_cache(maxsize=512)

_SIZE, _LINE, _MARGIN = 18, 25, 20


def picture_png(image: Image.Image, side: int = SIDE) -> bytes:
    """The whole picture in a square of `side` pixels, on paper where it is not square itself."""
    return png_bytes(_squared(image, side))


def overlay_png(image: Image.Image, seen: np.ndarray, side: int = SIDE) -> bytes:
    """The same square, dimmed where the map `seen` (H,W) is low; no value of it is negative."""
    return png_bytes(_squared(overlay(scaled(image, side), seen), side))


def card_png(text: str, side: int = SIDE) -> bytes:
    """A square with words in it, where there is no picture."""
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
