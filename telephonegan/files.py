"""Safe file handling: atomic writes, nothing of the user's is ever overwritten, errors name the path."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from PIL import Image

# ---------------------------------------------------------------------------------------------------- writing


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with the home folder in place of `~`. Raises `SettingsError` where that user has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SettingsError(f"{path} begins with ~, but there is no such home folder. Write the path out.") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn any OSError into an `OutputError` that names `path`."""
    try:
        yield
    except FileExistsError as error:
        if not os.path.lexists(path):  # a file stands where one of its folders should be
            raise OutputError(f"{path} cannot be written: {error.filename} is not a folder.") from error
        raise OutputError(_taken(path)) from error
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. Free some space, or choose a place you may write to."
        ) from error


def check_free(path: Path) -> None:
    """Raises `OutputError` if something of that name exists, even an empty folder."""
    if os.path.lexists(path):
        raise OutputError(_taken(path))


def _taken(path: Path) -> str:
    return f"{path} already exists; refusing to overwrite it. Choose another name."


def write_new(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file that must not exist yet; its folder is created. Raises `OutputError`."""
    path = expanded(path)
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
    """Yield the name of a temporary file, which replaces `path` at the end of the block or is deleted if that fails.

    A reader sees the old or the new file, never a partial one. Raises `OutputError` if writing fails.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    with writing(path):
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def replace(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write one of our own files atomically; a `durable` one survives a loss of power. Raises `OutputError`."""
    with replacing(path) as partial:
        partial.write_bytes(content)
        if durable:
            with partial.open("r+b") as file:
                os.fsync(file.fileno())


def append_line(path: Path, record: Any) -> None:
    """Append a value to a log as one line of JSON. Raises `OutputError`."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


# ---------------------------------------------------------------------------------------------------- folders


def make_folder(path: Path) -> None:
    """Create a folder and its parents if they do not exist. Raises `OutputError`."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def new_folder(path: Path) -> Path:
    """Create a folder that must not exist yet, and its parents. Raises `OutputError`."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    return path


def place(out: str | None, title: str) -> Callable[[], Path]:
    """A function that creates the folder for a command's results: exactly `out`, or a new one in out/.

    Raises `OutputError` at once if `out` already exists.
    """
    if out is None:
        return lambda: dated_folder(Path("out"), title)
    path = expanded(out)
    check_free(path)
    return lambda: new_folder(path)


def slug(title: str) -> str:
    """At most 40 of a title's letters a-z and digits, for names of files; empty if it has none.

    >>> slug("Two dogs run!"), slug("一只狗")
    ('two-dogs-run', '')
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()[:200]).strip("-")[:40].strip("-")


def dated_folder(parent: Path, title: str) -> Path:
    """A new folder named after the time and the title; if that name is taken, a number is added."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(title) or 'game'}"
    for number in count(1):
        path = parent / (stem if number == 1 else f"{stem}-{number}")
        with writing(path):
            parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.mkdir()
                return path


@contextmanager
def locked(path: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path` for the block: one process at a time.

    The kernel holds the lock and releases it when its owner ends, for whatever reason, so a lock file left behind by a
    killed process does no harm. Raises `OutputError` if another process holds it longer than `wait_s`.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        with writing(path):
            try:
                lock.acquire(timeout=wait_s, poll_interval=0.05)
            except Timeout as error:
                raise OutputError(
                    f"Another process is working in {path.parent}. Wait until it ends, or stop it, then try again."
                ) from error
    except NotImplementedError:  # some network and cloud drives
        warnings.warn(f"{path.parent} is on a disk without file locks: run one process at a time there.", stacklevel=3)
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # Windows keeps a file that is open
                path.unlink(missing_ok=True)
        lock.release()


# ---------------------------------------------------------------------------------------------------- contents


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes as 64 hexadecimal digits. The file is streamed, so its size does not matter."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def substitute(beginning: bytes) -> str | None:
    """What has come in place of a file, by its first bytes, and what to do; None if it may be the file itself.

    >>> substitute(b"<!DOCTYPE html><title>Sign in</title>")
    'it is a web page, so the download failed. Download the file again.'
    """
    start = beginning.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"version https://git-lfs"):
        return (
            "it is a pointer of Git LFS, not the file itself. Run `git lfs pull` in that clone, or download the file "
            "from its web page."
        )
    if re.match(rb"<(!doctype html|html)[\s>]", start, re.IGNORECASE):
        return "it is a web page, so the download failed. Download the file again."
    return None


def json_bytes(value: Any) -> bytes:
    """A value as readable JSON in UTF-8, with terminal control characters and lone surrogates escaped."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    return re.sub(r"[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text).encode(errors="backslashreplace")


def png_bytes(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
