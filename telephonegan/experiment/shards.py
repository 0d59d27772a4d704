"""A share of an experiment: every n-th block, played by one process into a file of its own, and a mark when it is done.

Playing a share again does nothing where it is done, and goes on where it is not, so whoever schedules shares may repeat
them. The number of shares may change from one attempt to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from telephonegan import files, inference
from telephonegan.experiment import records
from telephonegan.records import read_json

T = TypeVar("T")
_WAIT_S = 1.0  # other processes hold a lock only for a moment while they check it


@dataclass(frozen=True)
class Shard:
    """Share `number`, counted from 0, `of` so many."""

    number: int = 0
    of: int = 1

    def share(self, blocks: Sequence[T]) -> Sequence[T]:
        """Its blocks: every n-th.

        >>> Shard(1, 2).share("abcde")
        'bd'
        """
        return blocks[self.number :: self.of]

    @contextmanager
    def alone_in(self, folder: Path) -> Iterator[None]:
        """Lock this share for the block, against other processes and against another number of shares.

        Raises OutputError if such a process is already working.
        """
        with files.locked(self._file(folder, "lock"), wait_s=_WAIT_S):
            for path in folder.glob(".rounds-*.lock"):
                if not path.name.endswith(f"-of-{self.of:05}.lock"):
                    with files.locked(path):
                        pass
            yield

    def is_done(self, folder: Path, manifest: bytes) -> bool:
        """Whether all of it has been played, for the experiment with this manifest, and its lines are still there."""
        path = self._file(folder, "done")
        return path.exists() and read_json(path) == self._mark(folder, manifest)

    def mark_done(self, folder: Path, manifest: bytes) -> None:
        """Say that all of it has been played. Raises OutputError."""
        files.replace(self._file(folder, "done"), files.json_bytes(self._mark(folder, manifest)))

    def device(self, name: str) -> torch.device:
        """The device of that name. Of several GPUs of a machine shares take turns. Raises SettingsError."""
        device = inference.resolve_device(name)
        if device.type == "cuda" and device.index is None and self.of > 1:
            return torch.device("cuda", self.number % torch.cuda.device_count())
        return device

    def _file(self, folder: Path, suffix: str) -> Path:
        return folder / f".rounds-{self.number:05}-of-{self.of:05}.{suffix}"

    def _mark(self, folder: Path, manifest: bytes) -> dict[str, Any]:
        part = records.part(folder, self.number)
        lines = part.read_bytes() if part.exists() else b""
        return {"manifest": hashlib.sha256(manifest).hexdigest(), "lines": hashlib.sha256(lines).hexdigest()}
