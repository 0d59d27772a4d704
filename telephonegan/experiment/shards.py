"""The share of one process in an experiment played by several, started by `torchrun` or with RANK and WORLD_SIZE."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from telephonegan import files, inference
from telephonegan.errors import SettingsError

T = TypeVar("T")
_WAIT_S = 1.0  # other processes hold a lock only for a moment while they check it


@dataclass(frozen=True)
class Shard:
    """Process `rank` of `processes`; `local` is its number on this machine."""

    rank: int = 0
    processes: int = 1
    local: int = 0

    @classmethod
    def of_environment(cls) -> Shard:
        """The process given by RANK, WORLD_SIZE and LOCAL_RANK; without them, the only one. Raises SettingsError."""
        rank, processes = _whole("RANK", 0), _whole("WORLD_SIZE", 1)
        if not 0 <= rank < processes:
            raise SettingsError(
                f"RANK must be from 0 to WORLD_SIZE - 1; RANK={rank} and WORLD_SIZE={processes} were given."
            )
        return cls(rank, processes, _whole("LOCAL_RANK", rank))

    @property
    def is_main(self) -> bool:
        """Whether this process creates the folder and lists the sources."""
        return self.rank == 0

    def share(self, blocks: Sequence[T]) -> Sequence[T]:
        """This process's blocks: every n-th.

        >>> Shard(1, 2).share("abcde")
        'bd'
        """
        return blocks[self.rank :: self.processes]

    @contextmanager
    def alone_in(self, folder: Path) -> Iterator[None]:
        """Lock this share for the block, against other processes and against another number of processes.

        Raises OutputError if such a process is already working.
        """
        with files.locked(folder / f".rounds-{self.rank:05}-of-{self.processes:05}.lock", wait_s=_WAIT_S):
            for path in folder.glob(".rounds-*.lock"):
                if not path.name.endswith(f"-of-{self.processes:05}.lock"):
                    with files.locked(path):
                        pass
            yield

    def device(self, name: str) -> torch.device:
        """The device of that name. Each process on a machine gets its own GPU of several. Raises SettingsError."""
        device = inference.resolve_device(name)
        if device.type == "cuda" and device.index is None and self.processes > 1:
            return torch.device("cuda", self.local % torch.cuda.device_count())
        return device


def _whole(variable: str, default: int) -> int:
    given = os.environ.get(variable, "")
    if given and not given.isdecimal():
        raise SettingsError(f"{variable} must be a whole number; {given!r} was given. Use torchrun, or unset it.")
    return int(given or default)
