"""A button that takes a picture from the reader's computer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from telephonegan.errors import ImageError
from telephonegan.images import PICTURE_SUFFIXES, working_image
from telephonegan.widgets.view import View

LARGEST_UPLOAD = 9_000_000  # bytes; a notebook server silently drops messages of more than 10 MiB


class Upload(View):
    """A button with this label; `take` gets the name, the size and the bytes of a file, which are not kept.

    The browser sends no bytes of a file that is too large.
    """

    def __init__(self, label: str, take: Callable[[str, int, bytes], None]) -> None:
        super().__init__(
            {"kind": "upload", "label": label, "accept": ",".join(PICTURE_SUFFIXES), "most": LARGEST_UPLOAD}
        )
        self._take = take

    @property
    def disabled(self) -> bool:
        """Whether the button cannot be pressed."""
        return self.data.get("disabled", False)

    @disabled.setter
    def disabled(self, value: bool) -> None:
        self.data = {**self.data, "disabled": value}

    @property
    def label(self) -> str:
        """What the button says."""
        return self.data["label"]

    @label.setter
    def label(self, value: str) -> None:
        self.data = {**self.data, "label": value}

    def still(self) -> None:
        """Nothing: a button is of no use without a kernel."""

    def _heard(self, widget: Any, message: Mapping[str, Any], buffers: list[Any]) -> None:
        super()._heard(widget, message, buffers)
        if "file" in message:
            self._take(message["file"], message["size"], bytes(buffers[0]) if buffers else b"")


def uploaded_image(name: str, size: int, content: bytes) -> Image.Image:
    """The picture in a file, at most 1024 pixels wide and high. Raises ImageError."""
    if size > LARGEST_UPLOAD:
        raise ImageError(
            f"{name!r} is {size / 1e6:.1f} MB; at most {LARGEST_UPLOAD / 1e6:.0f} MB are allowed. "
            "Shrink the picture first."
        )
    try:
        return working_image(content)
    except ImageError as error:
        raise ImageError(f"{name!r} cannot be used. {error}") from error
