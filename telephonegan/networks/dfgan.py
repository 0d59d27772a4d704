"""DF-GAN's generator: a single stage, in which the sentence modulates every layer.

Tao et al., "DF-GAN: A Simple and Effective Baseline for Text-to-Image Synthesis" (2022), section 3. Layer names are
those of the code published with the paper; the first release, of 2020, differs, see `DeepFusionGenerator`.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Affine(nn.Module):
    """Multiplies each channel by a gain and adds a bias, both computed from a condition (B,C) by two layers."""

    def __init__(self, condition_width: int, hidden_width: int, channels: int) -> None:
        super().__init__()
        self.fc_gamma, self.fc_beta = (_two_layers(condition_width, hidden_width, channels) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return x * self.fc_gamma(condition)[:, :, None, None] + self.fc_beta(condition)[:, :, None, None]


class Fusion(nn.Module):
    """DFBLK: two affine layers, each followed by a leaky ReLU."""

    def __init__(self, condition_width: int, hidden_width: int, channels: int) -> None:
        super().__init__()
        self.affine0, self.affine1 = (Affine(condition_width, hidden_width, channels) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return _leaky(self.affine1(_leaky(self.affine0(x, condition)), condition))


class FusionBlock(nn.Module):
    """G_Block: fusion and convolution, twice, with a shortcut."""

    def __init__(self, condition_width: int, channels_in: int, channels_out: int, *, first_release: bool) -> None:
        super().__init__()
        hidden = [condition_width] * 2 if first_release else [channels_in, channels_out]
        self.c1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.c2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.fuse1 = Fusion(condition_width, hidden[0], channels_in)
        self.fuse2 = Fusion(condition_width, hidden[1], channels_out)
        self.c_sc = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()
        self.gamma = nn.Parameter(torch.zeros(1)) if first_release else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        residual = self.c2(self.fuse2(self.c1(self.fuse1(x, condition)), condition))
        return self.c_sc(x) + (residual if self.gamma is None else self.gamma * residual)


class DeepFusionGenerator(nn.Module):
    """NetG: from noise (B,Z) and a sentence (B,D) to a picture of 4·2ⁿ pixels, with n `blocks` that double the size.

    Published sizes: 32 channels, or 64 in the first release, and six blocks (256 px). Blocks are modulated by noise and
    sentence. The `first_release` has one more block, at 4 px; its blocks are modulated by the sentence only, and a
    learned factor scales each residual.

    >>> DeepFusionGenerator(channels=2, blocks=2)(torch.randn(3, 100), torch.randn(3, 256)).shape
    torch.Size([3, 3, 16, 16])
    """

    def __init__(
        self,
        *,
        channels: int = 32,
        blocks: int = 6,
        noise_width: int = 100,
        embedding_width: int = 256,
        first_release: bool = False,
    ) -> None:
        super().__init__()
        self.first_release, self.noise_width, self.embedding_width = first_release, noise_width, embedding_width
        self.size = 4 << blocks
        count = blocks + first_release
        widths = [channels * min(2**power, 8) for power in range(count, -1, -1)]
        condition_width = embedding_width if first_release else noise_width + embedding_width
        self.fc = nn.Linear(noise_width, widths[0] * 16)
        self.GBlocks = nn.ModuleList(
            FusionBlock(condition_width, *widths[i : i + 2], first_release=first_release) for i in range(count)
        )
        self.to_rgb = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(channels, 3, 3, padding=1), nn.Tanh())

    def forward(self, noise: Tensor, sentence: Tensor) -> Tensor:
        """noise (B,Z), sentence (B,D) → pictures (B,3,S,S) in [-1,1]."""
        condition = sentence if self.first_release else torch.cat([noise, sentence], dim=1)
        h = self.fc(noise).view(len(noise), -1, 4, 4)
        for number, block in enumerate(self.GBlocks):
            if number or not self.first_release:
                h = F.interpolate(h, scale_factor=2)
            h = block(h, condition)
        return self.to_rgb(h)


def _two_layers(width: int, hidden_width: int, channels: int) -> nn.Sequential:
    layers = [nn.Linear(width, hidden_width), nn.ReLU(), nn.Linear(hidden_width, channels)]
    return nn.Sequential(OrderedDict(zip(("linear1", "relu1", "linear2"), layers, strict=True)))


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)
