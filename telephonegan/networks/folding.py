"""Frozen networks computed in fewer passes over memory: batch norm becomes part of the layer before it."""

from __future__ import annotations

import itertools
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

Module = TypeVar("Module", bound=nn.Module)


def fold_batch_norm(net: Module) -> Module:
    """Fold every batch norm that follows a convolution or a linear layer into it, in place, and return the network.

    A norm with a method `rest` is replaced by what that returns, any other by nothing. The network must call neighbours
    in the order in which they were added, and computes the same function as before, in eval mode, up to rounding.

    >>> fold_batch_norm(nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)).eval())
    Sequential(
      (0): Conv2d(3, 4, kernel_size=(1, 1), stride=(1, 1))
      (1): Identity()
    )
    """
    for module in net.modules():
        for (_, layer), (name, norm) in itertools.pairwise(list(module.named_children())):
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and _fold(layer, norm):
                setattr(module, name, norm.rest() if hasattr(norm, "rest") else nn.Identity())
    return net


def _fold(layer: nn.Module, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> bool:
    """Fold a norm into a layer of a kind that can take it; whether it is one."""
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        return False
    fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
    options = {"transpose": True} if isinstance(layer, nn.ConvTranspose2d) else {}
    layer.weight, layer.bias = fuse(
        layer.weight,
        layer.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
        **options,
    )
    return True
