"""Maximum mean discrepancy (MMD) between painted pictures and photographs, as a loss over queues of recent features.

A discriminator judges single pictures; this loss compares distributions, so it notices too few faces or too much
grass. Li, Swersky and Zemel, "Generative Moment Matching Networks" (2015), with the cubic kernel of Bińkowski et al.,
"Demystifying MMD GANs" (2018), on pooled features of a frozen network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class MomentMatching(nn.Module):
    """Queues of the features of the last `capacity` photographs and painted pictures, and the loss of new ones.

    The queues are buffers, so a checkpoint contains them and a resumed run continues exactly.

    >>> matching = MomentMatching(width=1280, capacity=1024)
    >>> loss = matching(torch.randn(32, 1280), torch.randn(32, 1280))
    """

    def __init__(self, width: int, capacity: int) -> None:
        super().__init__()
        self.register_buffer("painted", torch.zeros(capacity, width))
        self.register_buffer("photographed", torch.zeros(capacity, width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self._count: int | None = None  # `seen` on the CPU, so that no step waits for the GPU

    def forward(self, painted: Tensor, photographed: Tensor) -> Tensor:
        """New features (B,F) of both → a loss with the gradient of the squared MMD; 0 until the queues are full.

        Its value is the mean of the witness function over the new pictures: how much more they resemble other painted
        pictures than photographs. It may be negative.
        """
        painted, photographed = painted.float(), photographed.float()
        if self._count is None:
            self._count = int(self.seen)
        full = self._count >= len(self.painted)
        # A small difference of large sums: half precision would lose it.
        with torch.autocast(painted.device.type, enabled=False):
            loss = self._witness(painted).mean() if full else painted.new_zeros(())
        self._remember(painted.detach(), photographed)
        return loss

    def _witness(self, features: Tensor) -> Tensor:
        scale = self.photographed.square().mean()
        resemblance = [((features @ queue.T) / (features.shape[1] * scale) + 1) ** 3 for queue in self._queues()]
        return resemblance[0].mean(1) - resemblance[1].mean(1)

    @torch.no_grad()
    def _remember(self, painted: Tensor, photographed: Tensor) -> None:
        places = (self.seen + torch.arange(len(painted), device=painted.device)) % len(self.painted)
        # New tensors: the loss still needs the queues as they were.
        self.painted = self.painted.index_copy(0, places, painted)
        self.photographed = self.photographed.index_copy(0, places, photographed)
        self.seen += len(painted)
        self._count += len(painted)

    def _load_from_state_dict(self, *given: Any, **named: Any) -> None:
        super()._load_from_state_dict(*given, **named)
        self._count = None

    def _queues(self) -> tuple[Tensor, Tensor]:
        return self.painted, self.photographed
