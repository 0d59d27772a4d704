"""Training one model with several processes on one or more machines: `torchrun … -m telephonegan train …`.

Every process draws the same random numbers for the whole batch and takes its share of the rows. Gradients are averaged
before each update, and batch norm uses the joint batch, so N processes compute what one would on the same batch. The
recipes have several networks in one graph, so gradients are averaged here and not by a wrapper around each network.
Outside torchrun these functions do nothing.
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
    """Join the other processes of torchrun, if there are any. Yields this process's device: its own GPU of several."""
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
    """The number of processes that train together."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _joined() else 0


def is_main() -> bool:
    """Whether this is the process that writes files and messages."""
    return rank() == 0


@contextmanager
def main_first() -> Iterator[None]:
    """Run the block in the main process first, so that the others find what it cached."""
    if size() > 1 and not is_main():
        dist.barrier()
    yield
    if size() > 1 and is_main():
        dist.barrier()


def check_batch(batch: int) -> None:
    """Raise SettingsError for a batch that cannot be divided equally."""
    if batch % size():
        raise SettingsError(f"batch_size must be a multiple of the {size()} processes; {batch} was given.")


def share(batch: Tensor) -> Tensor:
    """This process's rows (B/size,…) of a batch (B,…) that all processes have."""
    rows = len(batch) // size()
    return batch[rank() * rows : (rank() + 1) * rows]


def gather(rows: Tensor) -> Tensor:
    """The whole batch (B,…) from the rows of each process; gradients flow back to the process that computed them."""
    return torch.cat(all_gather(rows.contiguous())) if size() > 1 else rows


def total(number: float) -> float:
    """The sum of a number over the processes."""
    if size() == 1:
        return number
    summed = torch.tensor(float(number), dtype=torch.float64, device=_device())
    dist.all_reduce(summed)
    return summed.item()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes, in a single transfer."""
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
