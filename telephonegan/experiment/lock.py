"""One process at a time for one part of an experiment: a file that only one can create, which says who did."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from telephonegan.errors import OutputError


@contextmanager
def locked(path: Path, *, wait_s: float = 0.0, **told: Any) -> Iterator[None]:
    """Hold the lock `path` for the block; one that a dead process of this machine left is taken over.

    `told` is written into it for others to read. Raises OutputError when another holds it for longer than `wait_s`.
    """
    content = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), **told}).encode()
    deadline = time.monotonic() + wait_s
    while not _taken(path, content):
        if time.monotonic() > deadline:
            raise OutputError(_busy(path))
        time.sleep(0.05)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def refuse_others(folder: Path, pattern: str, processes: int) -> None:
    """Raise OutputError when a living process in this folder counts on another number of processes."""
    for path in folder.glob(pattern):
        owner = _owner(_content(path))
        if owner.get("processes", processes) != processes and _lives(owner):
            raise OutputError(_busy(path))


def _taken(path: Path, content: bytes) -> bool:
    if _created(path, content):
        return True
    found = _content(path)
    if found is None or _lives(_owner(found)):
        return False
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    with suppress(FileNotFoundError):  # another may be as quick
        os.rename(path, aside)
        if _content(aside) != found:  # another was quicker, and this is its lock
            os.rename(aside, path)
            return False
        aside.unlink()
    return _created(path, content)


def _created(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. Choose a place you may write to."
        ) from error
    return True


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _owner(content: bytes | None) -> dict[str, Any]:
    try:
        owner = json.loads(content or b"{}")
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _lives(owner: dict[str, Any]) -> bool:
    """Whether the owner may be at work: of another machine nothing is known."""
    pid = owner.get("pid")
    if os.name != "posix" or owner.get("host") != socket.gethostname() or not isinstance(pid, int):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _busy(path: Path) -> str:
    owner = _owner(_content(path))
    return (
        f"Process {owner.get('pid', '?')} on {owner.get('host', 'an unknown machine')} is at work in {path.parent}. "
        f"Wait for it; if it is none of this experiment's and none runs there any more, delete {path} and try again."
    )
