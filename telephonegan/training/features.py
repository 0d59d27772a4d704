"""Frozen features of photographs, computed once and kept on disk, so that a CPU suffices for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from telephonegan.files import make_folder, replacing


def cached(path: str | Path, batches: Callable[[], Sequence[Tensor]], compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `compute` of every batch joined, in half precision; read from `path` (.npy) when it is there.

    `batches` is called only when the file is missing; `compute` may run on any device. The file is written atomically
    and mapped, not read: rows come from the disk as they are asked for, and what a caller writes to them stays its own.
    """
    path = Path(path)
    if not path.exists():
        with torch.no_grad():
            parts = [compute(batch).half().cpu().numpy() for batch in tqdm(batches(), desc=path.stem, mininterval=2)]
        make_folder(path.parent)
        with replacing(path) as partial, open(partial, "wb") as file:
            np.save(file, np.concatenate(parts))
    return torch.from_numpy(np.load(path, mmap_mode="c"))
