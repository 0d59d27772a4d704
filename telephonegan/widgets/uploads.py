"""A file that a person uploads in the browser, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image

from telephonegan.captioning import working_size
from telephonegan.errors import ImageError
from telephonegan.images import as_image

LARGEST = 9_000_000  # bytes; a notebook server drops messages of more than 10 MiB without a word
SUFFIXES = ".jpg,.jpeg,.png,.webp,.gif,.bmp,.tif,.tiff"


def uploaded_image(file: Mapping[str, Any]) -> Image.Image:
    """The picture in one entry of `FileUpload.value`, at most 1024 pixels wide and high. Raises ImageError."""
    name, size = file["name"], file["size"]
    if size > LARGEST:
        raise ImageError(
            f"{name!r} has {size / 1e6:.1f} MB; at most {LARGEST / 1e6:.0f} MB are taken. Shrink the picture first."
        )
    try:
        return working_size(as_image(file["content"]))
    except ImageError as error:
        raise ImageError(f"{name!r} cannot be used. {error}") from error
