"""The lines an experiment consists of: one JSON object for each round of each chain, appended as it is played."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from telephonegan.errors import DataError
from telephonegan.files import writing

Record = dict[str, Any]
ROUNDS = "rounds.jsonl"
PARTS = "rounds-*.jsonl"

_FIELDS = {
    "chain": str,
    "source": str,
    "seed": int,
    "round": int,
    "caption": str,
    "words": list,
    "log_probability": float | int | None,
    "dropped": list,
    "truncated": int,
    "picture": str | None,
}


def part(folder: Path, rank: int) -> Path:
    """The file one process appends to."""
    return folder / f"rounds-{rank:05}.jsonl"


def line(record: Record) -> bytes:
    """A record as it stands in a file, in ASCII: equal records are equal bytes."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def read(path: Path) -> Iterator[Record]:
    """The records of a file; a last line that was cut off in the writing is left out. Raises DataError."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    for number, text in enumerate(lines[:-1], 1):
        yield _record(text, path, number)


def read_parts(folder: Path) -> dict[tuple[str, int], Record]:
    """By chain and round all that the processes of an experiment have played so far. Raises DataError."""
    records = (record for path in sorted(folder.glob(PARTS)) for record in read(path))
    return {(record["chain"], record["round"]): record for record in records}


class Journal:
    """Appends records to the part of one process; a line that an earlier one left cut off is removed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            self.file = path.open("ab")
            self.file.truncate(_whole_lines(path))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()

    def append(self, records: Iterable[Record]) -> None:
        """Add lines; they outlive this process, whatever becomes of it. Raises OutputError."""
        with writing(self.path):
            self.file.write(b"".join(map(line, records)))
            self.file.flush()

    def settle(self) -> None:
        """Wait for the disk: from here on the lines outlive a loss of power too. Raises OutputError."""
        with writing(self.path):
            os.fsync(self.file.fileno())


def _whole_lines(path: Path) -> int:
    """How many bytes of a file are whole lines."""
    return path.read_bytes().rfind(b"\n") + 1


def _record(text: bytes, path: Path, number: int) -> Record:
    try:
        record = json.loads(text)
        fits = isinstance(record, dict) and all(isinstance(record[name], kind) for name, kind in _FIELDS.items())
    except (ValueError, KeyError, RecursionError):
        fits = False
    if not fits:
        raise DataError(f"{path}, line {number}, is damaged. Delete this line and those after it, then resume.")
    return record
