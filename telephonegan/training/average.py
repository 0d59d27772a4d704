"""A moving average of a network's weights, which is what ships."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, keep: float, *, statistics: bool = True) -> None:
    """Move parameters and batch-norm statistics of `average` to `net`, keeping the share `keep` (0–1) of their own.

    Without `statistics` those are taken over as they are, as the published AttnGAN did.
    """
    parameters = {name for name, _ in average.named_parameters()}
    moved: list[tuple[Tensor, Tensor]] = []
    for (name, mean), now in zip(average.state_dict().items(), net.state_dict().values(), strict=True):
        if mean.is_floating_point() and (statistics or name in parameters):
            moved.append((mean, now))
        else:
            mean.copy_(now)
    if moved:
        torch._foreach_lerp_(*map(list, zip(*moved, strict=True)), 1 - keep)  # on a GPU a few kernels for all
