"""Writing without loss: whole files or none, nothing of the user's overwritten, errors that say where."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from telephonegan.errors import OutputError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn whatever the disk answers into an `OutputError` that names `path`."""
    try:
        yield
    except FileExistsError as error:
        raise OutputError(f"{path} is there already, and nothing is overwritten. Choose another name.") from error
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. Free some space, or choose a place you may write to."
        ) from error


def write_new(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file that must not be there yet; its folder is made. Raises `OutputError`."""
    path = Path(path).expanduser()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(exist_ok=False)  # from here on the name is ours
        try:
            replace(path, content)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a partial file, which takes the place of `path` at the end of the block, or goes if that fails.

    A reader sees the old or the new file, never a part. Raises `OutputError` when the disk refuses.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    with writing(path):
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def replace(path: Path, content: bytes) -> None:
    """Write one of our own files at once. Raises `OutputError`."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def make_folder(path: Path) -> None:
    """Make a folder and its parents unless they are there. Raises `OutputError`."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def new_folder(path: Path) -> Path:
    """Make a folder that must not be there yet, and its parents. Raises `OutputError`."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    return path


def json_bytes(value: Any) -> bytes:
    """A value as readable JSON in UTF-8. A stray byte of a command line, a lone surrogate to Python, is escaped."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def png_bytes(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
