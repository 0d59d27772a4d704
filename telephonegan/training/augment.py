"""Differentiable augmentation of what the discriminator sees, the same for photographs and painted pictures.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (2020): colour and translation.
Colours change less than in the paper: hours on a CPU are only a few epochs, and colours must be learned in them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.training.devices import sent
from telephonegan.training.distributed import share, size


def augment(images: Tensor) -> Tensor:
    """Random brightness, saturation and contrast per picture, one random shift per batch: (B,3,H,W) in about [-1,1]."""
    return shift(contrast(saturation(brightness(images))))


def brightness(images: Tensor) -> Tensor:
    return images + 0.4 * _per_picture(images) - 0.2


def saturation(images: Tensor) -> Tensor:
    grey = images.mean(1, keepdim=True)
    return (images - grey) * (0.6 + 0.8 * _per_picture(images)) + grey


def contrast(images: Tensor) -> Tensor:
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (0.75 + 0.5 * _per_picture(images)) + mean


def shift(images: Tensor, share: float = 0.125) -> Tensor:
    """Move the batch by up to `share` of its height and width, mirrored at the border."""
    height, width = images.shape[-2:]
    down, across = int(height * share), int(width * share)
    padded = F.pad(images, (across, across, down, down), mode="reflect")
    top, left = (torch.randint(2 * reach + 1, ()).item() for reach in (down, across))
    return padded[:, :, top : top + height, left : left + width]


def _per_picture(images: Tensor) -> Tensor:
    return sent(share(torch.rand(len(images) * size(), 1, 1, 1)), images.device)
