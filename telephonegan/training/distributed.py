"""Several processes, on one machine or more, training one model: `torchrun … -m telephonegan train …`.

Every process draws the same random numbers for the whole batch and takes its share of the rows, gradients are averaged
before each update, and batch norm sees the joint batch; so N processes compute what one would on the same batch. The
recipes have several networks in one graph, which is why gradients are averaged here and not by a wrapper per network.
Outside torchrun every function does nothing, at no cost.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather

from telephonegan.errors import SettingsError


@contextmanager
def processes(device: torch.device) -> Iterator[torch.device]:
    """Join the other processes torchrun started, if it did; gives the device of this one: of several GPUs its own."""
    if "RANK" not in os.environ:
        yield device
        return
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if device.type == "cuda" else device
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield own
    finally:
        dist.destroy_process_group()


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _joined() else 0


def is_main() -> bool:
    """Whether this process writes files and talks; one does."""
    return rank() == 0


@contextmanager
def main_first() -> Iterator[None]:
    """Let the main process through the block before the others: what it puts into a cache, they find."""
    if size() > 1 and not is_main():
        dist.barrier()
    yield
    if size() > 1 and is_main():
        dist.barrier()


def check_batch(batch: int) -> None:
    """Raise SettingsError for a batch that cannot be shared equally."""
    if batch % size():
        raise SettingsError(f"batch_size must be a multiple of the {size()} processes; {batch} was given.")


def share(batch: Tensor) -> Tensor:
    """This process's rows of a batch (B,…) that all of them drew: (B/size,…)."""
    rows = len(batch) // size()
    return batch[rank() * rows : (rank() + 1) * rows]


def gather(rows: Tensor) -> Tensor:
    """The whole batch (B,…) of every process's rows; gradients flow back to whoever computed them."""
    return torch.cat(all_gather(rows.contiguous())) if size() > 1 else rows


def total(number: float) -> float:
    """The sum of a number over the processes."""
    if size() == 1:
        return number
    summed = torch.tensor(float(number), dtype=torch.float64, device=_device())
    dist.all_reduce(summed)
    return summed.item()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes, in one message."""
    if size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    joined = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(joined)
    joined /= size()
    for gradient, mean in zip(gradients, joined.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def _device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
