"""Pictures as PNG files, and an image widget that shows them without flicker."""

from __future__ import annotations

import ipywidgets
from PIL import Image, ImageDraw, ImageOps
from traitlets import Unicode

from telephonegan.files import png_bytes
from telephonegan.strips import CARD, FAINT, INK, PAPER, font, wrapped

SIDE = 256
_SIZE, _LINE, _MARGIN = 18, 25, 20


def picture_png(image: Image.Image, side: int = SIDE) -> bytes:
    """The whole picture in a square of `side` pixels, padded if it is not square."""
    return png_bytes(ImageOps.pad(image, (side, side), Image.Resampling.LANCZOS, color=PAPER))


def card_png(text: str, side: int = SIDE) -> bytes:
    """A square with a message, in place of a missing picture."""
    sheet = Image.new("RGB", (side, side), CARD)
    draw = ImageDraw.Draw(sheet)
    draw.rectangle([0, 0, side - 1, side - 1], outline=FAINT)
    lines = wrapped(text, font(_SIZE), side - 2 * _MARGIN, max(1, (side - 2 * _MARGIN) // _LINE))
    for i, line in enumerate(lines):
        middle = side / 2 + _LINE * (i - (len(lines) - 1) / 2)
        draw.text((side / 2, middle), line, INK, font(_SIZE), anchor="mm")
    return png_bytes(sheet)


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
