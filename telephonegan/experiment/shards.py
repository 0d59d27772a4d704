"""The share of one process: `torchrun`, or whoever sets RANK and WORLD_SIZE, starts several for one experiment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from telephonegan import inference
from telephonegan.errors import SettingsError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Process `rank` of `processes`; `local` is its number among those on this machine."""

    rank: int = 0
    processes: int = 1
    local: int = 0

    @classmethod
    def of_environment(cls) -> Shard:
        """What RANK, WORLD_SIZE and LOCAL_RANK say; without them, the only process. Raises SettingsError."""
        rank, processes = _whole("RANK", 0), _whole("WORLD_SIZE", 1)
        if not 0 <= rank < processes:
            raise SettingsError(
                f"RANK is counted from 0 to WORLD_SIZE - 1; RANK={rank}, WORLD_SIZE={processes} is set."
            )
        return cls(rank, processes, _whole("LOCAL_RANK", rank))

    @property
    def is_main(self) -> bool:
        """Whether this process makes the folder and lists the sources."""
        return self.rank == 0

    def share(self, blocks: Sequence[T]) -> Sequence[T]:
        """The blocks that are this process's: every n-th.

        >>> Shard(1, 2).share("abcde")
        'bd'
        """
        return blocks[self.rank :: self.processes]

    def device(self, name: str) -> torch.device:
        """The device of that name; of several GPUs each process on a machine gets its own. Raises SettingsError."""
        device = inference.resolve_device(name)
        if device.type == "cuda" and device.index is None and self.processes > 1:
            return torch.device("cuda", self.local % torch.cuda.device_count())
        return device


def _whole(variable: str, default: int) -> int:
    given = os.environ.get(variable, "")
    if given and not given.isdecimal():
        raise SettingsError(f"{variable} must be a whole number; {given!r} is set. torchrun sets it, or unset it.")
    return int(given or default)
