"""A picture that changes without flicker and tells in words what it shows."""

from __future__ import annotations

import ipywidgets
from traitlets import Unicode


class DescribedImage(ipywidgets.Image):
    """An image of `width` × `height` pixels; `show` changes it.

    It is one `<img>` that stays where it is: its source changes, and the old picture is seen until the new one is
    decoded. HTML with a new `<img alt>` for each state would flicker. ipywidgets knows no alt text; its tooltip becomes
    the `title`, which is the name of an image without alt text.
    """

    # The tooltip is shown only where the description is an empty text, and an Image has none.
    description = Unicode("").tag(sync=True)

    def __init__(self, width: int, height: int) -> None:
        fixed = {"width": f"{width}px", "height": f"{height}px", "flex": "0 0 auto"}
        super().__init__(format="png", layout=ipywidgets.Layout(**fixed))

    def show(self, png: bytes, words: str) -> None:
        """Show a PNG file, and give it this description."""
        with self.hold_sync():
            self.value, self.tooltip = png, words
