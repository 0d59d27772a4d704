"""A bounded folder of pictures that are kept for a day. Several servers may share one."""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path

from telephonegan import files

_NAME = re.compile(r"[0-9a-f]{32}\.png")
_OURS = re.compile(r"[0-9a-f]{32}\.png|\.[0-9a-f]{32}\.png\.[0-9a-f]{8}\.partial")  # or what a killed server left
_SWEEPS = 16  # by which part of the limit the folder may grow between two sweeps
_SWEEP_S = 60.0


class PictureFolder:
    """PNG files under random names, which nobody can guess.

    It holds at most `most_bytes`, whoever else writes to it, as long as fewer than four servers do; files go when they
    are `seconds` old, or earlier, oldest first, when there is no room. A file is whole or absent, even after a kill.

    >>> folder = PictureFolder(Path("pictures"))  # doctest: +SKIP
    >>> folder.read(folder.add(png))  # doctest: +SKIP
    """

    def __init__(self, path: Path, *, most_bytes: int = 1_000_000_000, seconds: float = 24 * 3600) -> None:
        self.path, self._most, self._seconds = path.expanduser().absolute(), most_bytes, seconds
        self._lock = threading.Lock()
        self._grown, self._swept = 0, 0.0
        files.make_folder(self.path)
        self.sweep()

    def add(self, png: bytes) -> str:
        """Keep a picture and return its name. Raises OutputError."""
        name = f"{secrets.token_hex(16)}.png"
        with self._lock:
            self._grown += len(png)
            due = self._grown > self._most / _SWEEPS or time.monotonic() - self._swept > _SWEEP_S
        if due:
            self.sweep()
        files.replace(self.path / name, png)
        return name

    def read(self, name: str) -> bytes | None:
        """The picture of that name; None if there is none, or none any more."""
        if not _NAME.fullmatch(name):
            return None
        path = self.path / name
        try:
            if time.time() - path.stat().st_mtime > self._seconds:
                return None
            return path.read_bytes()
        except OSError:
            return None

    def sweep(self) -> int:
        """Delete what is too old or too much, and return the bytes that are left."""
        with self._lock:
            self._grown, self._swept = 0, time.monotonic()
            found = sorted(self._found(), reverse=True)  # newest first
            oldest, left = time.time() - self._seconds, 0
            for modified, size, path in found:
                if modified < oldest or left + size > self._most * (1 - 4 / _SWEEPS):
                    with suppress(OSError):  # another server was faster
                        os.unlink(path)
                else:
                    left += size
            return left

    def _found(self) -> list[tuple[float, int, str]]:
        """Our own files, whatever else is there: (time of change, bytes, path)."""
        found = []
        with suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                if _OURS.fullmatch(entry.name):
                    with suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        found.append((status.st_mtime, status.st_size, entry.path))
        return found
