"""Where a command's results go: exactly the folder that was named, or a new one in out/."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

from telephonegan.files import new_folder, writing


def place(out: str | None, title: str) -> Callable[[], Path]:
    """How to make the folder of this run: exactly `out`, or a new one in out/. A taken name is told at once."""
    from telephonegan.chain_folder import check_free

    if out is None:
        return lambda: dated_folder(Path("out"), title)
    path = Path(out).expanduser()
    check_free(path)
    return lambda: new_folder(path)


def dated_folder(parent: Path, title: str) -> Path:
    """A new folder named by the time and the title; where two runs want one name, the second gets a number."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()[:200]).strip("-")[:40].strip("-") or "game"
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}"
    for number in count(1):
        path = parent / (stem if number == 1 else f"{stem}-{number}")
        with writing(path):
            parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.mkdir()
                return path
