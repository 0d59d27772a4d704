"""Frozen features of photographs, computed once and kept on disk, so that a CPU suffices for training."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm


def cached(path: str | Path, batches: Callable[[], Sequence[Tensor]], compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `compute` of every batch joined, in half precision; read from `path` (.npy) when it is there.

    `batches` is called only when the file is missing. The file is written atomically and mapped, not read: rows
    come from the disk as they are asked for.
    """
    path = Path(path)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with torch.no_grad():
            parts = [compute(batch).half().numpy() for batch in tqdm(batches(), desc=path.stem, mininterval=2)]
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with open(temporary, "wb") as file:
            np.save(file, np.concatenate(parts))
        os.replace(temporary, path)
    return torch.from_numpy(np.load(path, mmap_mode="r+"))
