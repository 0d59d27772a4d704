"""The rounds of an experiment on disk: a line of JSON for each, appended when it has been played, and its picture.

Each share of an experiment appends to its own file. When all chains have ended, these are merged into one file, which
does not depend on the number of shares.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, BinaryIO

import numpy as np

from telephonegan import files
from telephonegan.chains import MOST_ROUNDS, Round
from telephonegan.errors import DataError
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.sources import PlannedChain
from telephonegan.records import Count, FileName, Range, Seed, checked

Record = dict[str, Any]
ROUNDS = "rounds.jsonl"
PACKED = "rounds.jsonl.gz"  # results to be handed on, made with gzip -9n
PARTS, MARKS = "rounds-*.jsonl", ".rounds-*.done"
PICTURES = "pictures"
Known = dict[tuple[str, int], Record]

_WAIT_S = 600.0
_MOST_UNPACKED = 256 << 20


@dataclass(frozen=True)
class _Line:
    chain: str
    source: str
    seed: Seed
    round: Annotated[int, Range(0, MOST_ROUNDS)]
    caption: str
    words: list[str]
    log_probability: float | None
    dropped: list[str]
    truncated: Count
    picture: FileName | None


def part(folder: Path, number: int) -> Path:
    """The file that a share appends to."""
    return folder / f"rounds-{number:05}.jsonl"


def line(record: Record) -> bytes:
    """A record as a line of ASCII; equal records give equal bytes."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def read(path: Path) -> Iterator[Record]:
    """The records of a file, except for an incomplete last line. Raises DataError."""
    for number, text in enumerate(_lines(path), 1):
        yield _record(text, path, number)


def _lines(path: Path) -> Iterator[bytes]:
    """The complete lines of a file, read one by one. Raises DataError."""
    try:
        with io.BytesIO(_unpacked(path)) if path.suffix == ".gz" else path.open("rb") as file:
            yield from (text for text in file if text.endswith(b"\n"))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _unpacked(path: Path) -> bytes:
    with gzip.open(path) as file:
        content = file.read(_MOST_UNPACKED + 1)
    if len(content) > _MOST_UNPACKED:
        raise DataError(f"{path} holds more than {_MOST_UNPACKED >> 20} MiB. Unpack it with gunzip.")
    return content


def read_parts(folder: Path, chains: Container[str] | None = None) -> Known:
    """All rounds of these chains, or of all, that any share has played so far, by chain and round. Raises DataError."""
    wanted = (record for record in read_all(folder) if chains is None or record["chain"] in chains)
    return {(record["chain"], record["round"]): record for record in wanted}


def read_all(folder: Path) -> Iterator[Record]:
    """The records of all shares, one by one; some may occur more than once. Raises DataError."""
    for path in sorted(folder.glob(PARTS)):
        yield from read(path)


class RoundsFile:
    """Appends records to the file of one share, after removing an incomplete last line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with files.writing(path):
            self.file = path.open("ab")
            self.file.truncate(_whole_lines(path))

    def __enter__(self) -> RoundsFile:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()

    def append(self, records: Iterable[Record]) -> None:
        """Append lines, which are kept even if this process is killed. Raises OutputError."""
        with files.writing(self.path):
            self.file.write(b"".join(map(line, records)))
            self.file.flush()

    def settle(self) -> None:
        """Wait for the disk, so that the lines are kept even after a power failure. Raises OutputError."""
        with files.writing(self.path):
            os.fsync(self.file.fileno())


@dataclass(frozen=True)
class Keeper:
    """Writes rounds to disk: pictures first, then their lines, so that a line never lacks its picture.

    `knows` says whether a caption has a word that can be painted; a caption without one is the last of its chain.
    """

    folder: Path
    plan: Plan
    knows: Callable[[str], bool]
    file: RoundsFile

    def __call__(
        self, chains: Sequence[PlannedChain], rounds: Sequence[Round | Record], known: Sequence[Record | None]
    ) -> list[Record]:
        """Write the rounds that are not known yet, and return the records of all."""
        found = [
            record or (round_ if isinstance(round_, dict) else self._record(chain, round_))
            for chain, round_, record in zip(chains, rounds, known, strict=True)
        ]
        self.file.append([record for record, before in zip(found, known, strict=True) if before is None])
        return found

    def _record(self, chain: PlannedChain, round_: Round) -> Record:
        caption, picture = round_.caption, round_.picture
        return {
            "chain": chain.id,
            "source": chain.source.id,
            "seed": chain.seed,
            "round": round_.index,
            "caption": caption.text,
            "words": caption.words,
            "log_probability": caption.log_probability,
            "dropped": picture.dropped_words if picture else [],
            "truncated": picture.truncated if picture else 0,
            "picture": self._kept_picture(chain, round_),
        }

    def _kept_picture(self, chain: PlannedChain, round_: Round) -> str | None:
        ends = round_.index in (0, self.plan.rounds) or not self.knows(round_.caption.text)
        if round_.picture is None or self.plan.pictures == "none" or (self.plan.pictures == "ends" and not ends):
            return None
        # The picture of round 0 is stored once for all seeds.
        name = f"{chain.id}/{round_.index:04}.png" if round_.index else f"{chain.source.id}.png"
        path = self.folder / PICTURES / name
        files.make_folder(path.parent)
        files.replace(path, files.png_bytes(round_.picture.image))
        return path.relative_to(self.folder).as_posix()


def known_rounds(folder: Path, chains: Container[str]) -> Known | None:
    """All rounds of these chains played so far; None if they have been merged. Raises DataError or OutputError."""
    with files.locked(folder / ".merge.lock", wait_s=_WAIT_S):
        return None if (folder / ROUNDS).exists() else read_parts(folder, chains)


def merge(folder: Path, chains: Sequence[PlannedChain], rounds: int, knows: Callable[[str], bool]) -> None:
    """Merge the lines of all shares in the order of the plan: source, seed, round.

    Memory holds where each line is, not the lines. Raises DataError if a chain has not ended, or OutputError.
    """
    with files.locked(folder / ".merge.lock", wait_s=_WAIT_S):
        if not (folder / ROUNDS).exists():
            played = _PlayedLines.of(folder, chains, rounds)
            with files.replacing(folder / ROUNDS) as partial, partial.open("wb") as merged:
                for number, chain in enumerate(chains):
                    lines = list(played.of_chain(number))
                    if len(lines) <= rounds and not (lines and not knows(json.loads(lines[-1])["caption"])):
                        raise DataError(
                            f"{folder} lacks rounds of {chain.id}, though all shares were played. Resume it."
                        )
                    merged.write(b"".join(lines))
        remove_parts(folder)


@dataclass(frozen=True)
class _PlayedLines:
    """Where the lines of all shares are: the file and the place in it, -1 where there is none, by chain and round."""

    paths: list[Path]
    file: np.ndarray
    offset: np.ndarray

    @classmethod
    def of(cls, folder: Path, chains: Sequence[PlannedChain], rounds: int) -> _PlayedLines:
        """Those of the shares in a folder. Raises DataError for a damaged line."""
        numbers = {chain.id: number for number, chain in enumerate(chains)}
        shape = (len(chains), rounds + 1)
        found = cls(sorted(folder.glob(PARTS)), np.full(shape, -1, np.int32), np.full(shape, -1, np.int64))
        for file, path in enumerate(found.paths):
            offset = 0
            for line_number, text in enumerate(_lines(path), 1):
                record = _record(text, path, line_number)
                where = numbers.get(record["chain"]), record["round"]
                if where[0] is not None and where[1] <= rounds:
                    found.file[where], found.offset[where] = file, offset
                offset += len(text)
        return found

    def of_chain(self, number: int) -> Iterator[bytes]:
        """The lines of a chain, from round 0 to the first that has not been played."""
        with ExitStack() as stack:
            opened: dict[int, BinaryIO] = {}  # of one chain only: there may be more shares than files may be open
            for file, offset in zip(self.file[number].tolist(), self.offset[number].tolist(), strict=True):
                if file < 0:
                    return
                if file not in opened:
                    opened[file] = stack.enter_context(self.paths[file].open("rb"))
                opened[file].seek(offset)
                yield opened[file].readline()


def remove_parts(folder: Path) -> None:
    """Delete the files that have been merged, and the marks beside them."""
    for pattern in (PARTS, MARKS):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _whole_lines(path: Path) -> int:
    """The number of bytes in a file's complete lines."""
    return path.read_bytes().rfind(b"\n") + 1


def _record(text: bytes, path: Path, number: int) -> Record:
    where, remedy = f"{path}, line {number}", "Delete this line and those after it, then resume."
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}, is damaged. {remedy}") from error
    checked(record, _Line, where, remedy=remedy)
    return record
