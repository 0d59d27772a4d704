"""Words in lines of a width, measured in the font they will be drawn in."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import FontProperties, findfont
from PIL import ImageFont

from telephonegan.strips import wrapped

_EM = 100  # measured large, where no hinting rounds the widths
_SAFE = 0.97  # on a screen hinting makes letters a little wider


def lines_of(text: str, width: float, size: float, limit: int, *, weight: str = "normal") -> list[str]:
    """At most `limit` lines no wider than `width` points at font size `size`; what is left out is an ellipsis."""
    return [line for line in wrapped(text, _font(weight), _SAFE * width * _EM / size, limit) if line]


def width_of(text: str, size: float, *, weight: str = "normal") -> float:
    """How wide a text is, in points."""
    return _font(weight).getlength(text) * size / _EM


def _font(weight: str) -> ImageFont.FreeTypeFont:
    return _opened(findfont(FontProperties(weight=weight)))


@cache
def _opened(file: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, _EM)
