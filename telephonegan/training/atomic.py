"""Large files of a run or its cache: written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from telephonegan.files import writing


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a partial file, which takes the place of `path` at the end of the block, or goes if that fails.

    The folder is made. Raises OutputError when the disk refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
