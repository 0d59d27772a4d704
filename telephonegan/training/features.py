"""Features of photographs from a frozen network, computed once and cached on disk, so that a CPU can train on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from telephonegan.files import make_folder, replacing


def cached(path: str | Path, batches: Callable[[], Sequence[Tensor]], compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `compute` of all batches, joined, in half precision; read from `path` (.npy) if it exists.

    `batches` is called only if the file is missing; `compute` may run on any device. The file is written atomically
    and memory-mapped: rows are read when they are used, and a caller's changes do not reach the file.
    """
    path = Path(path)
    if not path.exists():
        with torch.no_grad():
            parts = [compute(batch).half().cpu().numpy() for batch in tqdm(batches(), desc=path.stem, mininterval=2)]
        make_folder(path.parent)
        with replacing(path) as partial, open(partial, "wb") as file:
            np.save(file, np.concatenate(parts))
    return torch.from_numpy(np.load(path, mmap_mode="c"))
