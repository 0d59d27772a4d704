"""Batch norm over the whole batch, also if several processes share it."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class _Synchronised(nn.modules.batchnorm._BatchNorm):
    """Uses mean and variance of the joint batch of all processes that train together.

    torch's SyncBatchNorm does this only on GPUs.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        self._check_input_dim(x)
        over = [0, *range(2, x.ndim)]
        number = x.numel() // x.shape[1] * dist.get_world_size()
        mean = all_reduce(x.float().sum(over)) / number
        centred = x.float() - _along_channels(mean, x)
        variance = all_reduce(centred.pow(2).sum(over)) / number
        self._remember(mean.detach(), variance.detach() * (number / max(number - 1, 1)))
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centred * _along_channels(scale, x) + _along_channels(self.bias, x)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)


class BatchNorm1d(_Synchronised, nn.BatchNorm1d):
    """Batch norm of (B,C), see `_Synchronised`."""


class BatchNorm2d(_Synchronised, nn.BatchNorm2d):
    """Batch norm of (B,C,H,W), see `_Synchronised`."""


def _along_channels(values: Tensor, x: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (x.ndim - 2))
