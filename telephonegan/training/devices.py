"""Transfers between CPU and GPU that do not make either wait for the other, and where features are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from telephonegan.inference import has_bfloat16, keep_all_memory


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Send a CPU tensor to the device; a GPU copies it while the CPU goes on."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def fetched(numbers: Mapping[str, Tensor]) -> dict[str, float]:
    """Scalars on the device as Python numbers, in one transfer.

    >>> fetched({"loss": torch.tensor(0.5)})
    {'loss': 0.5}
    """
    values = torch.stack([number.detach().float() for number in numbers.values()]).tolist()
    return dict(zip(numbers, values, strict=True))


def kept_on(device: torch.device, parts: list[Tensor]) -> Tensor | None:
    """CPU tensors (N,…) of one shape stacked on a GPU (P,N,…), if they fit into half of its free memory.

    None on a CPU, which needs no copy, and if they are too large.
    """
    if device.type != "cuda":
        return None
    wanted = sum(part.numel() * part.element_size() for part in parts)
    if wanted > torch.cuda.mem_get_info(device)[0] / 2:
        return None
    stacked = torch.empty((len(parts), *parts[0].shape), dtype=parts[0].dtype, device=device)
    for place, part in zip(stacked, parts, strict=True):
        place.copy_(part)
    return stacked


def taken(parts: list[Tensor], near: Tensor | None, index: tuple[Tensor, Tensor], device: torch.device) -> Tensor:
    """Rows (B,…) of several tensors, on the device. `index` is which tensor (B,), and which of its rows (B,).

    `near` is what `kept_on` returned for these tensors.
    """
    if near is not None:
        return near[sent(index[0], device), sent(index[1], device)]
    rows = torch.stack([parts[part][row] for part, row in zip(*(each.tolist() for each in index), strict=True)])
    return rows.to(device)


def autocast(device: torch.device, *, wanted: bool = True, recurrent: bool = False, **options: Any) -> torch.autocast:
    """Arithmetic in bfloat16 where that is faster on the device, else in float32.

    `recurrent` is for recurrent networks: on a GPU autocast would run them in float16, where small gradients vanish, so
    they stay in float32 there. `options` go to `torch.autocast`.
    """
    enabled = wanted and has_bfloat16(device) and not (recurrent and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled, **options)


def tune(device: torch.device) -> None:
    """Settings for many equal steps: a training sees the same shapes again and again.

    cuDNN tries its convolutions once and keeps the fastest. On a CPU with glibc this process keeps the memory it frees:
    layers above 32 MB would otherwise go back to the system and be fetched anew, page by page, in every step.
    """
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    else:
        keep_all_memory()
