"""A discriminator over frozen ImageNet features, conditional on the sentence.

Sauer et al., "Projected GANs Converge Faster" (2021); the conditional term is Miyato and Koyama's projection (2018).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class ProjectedHead(nn.Module):
    """Logits from one level of the pyramid: a fixed random mixing of channels, then convolutions down to 4×4 cells.

    The grid is 5×5 to 7×7 if halving does not lead to 4.
    """

    def __init__(self, channels: int, resolution: int, embedding_width: int, width: int) -> None:
        super().__init__()
        self.mixing = nn.Conv2d(channels, width, 1, bias=False).requires_grad_(False)
        nn.init.kaiming_normal_(self.mixing.weight, a=1)
        layers: list[nn.Module] = []
        while resolution >= 8:
            layers += [spectral_norm(nn.Conv2d(width, width, 4, 2, 1)), nn.LeakyReLU(0.2)]
            resolution //= 2
        layers += [spectral_norm(nn.Conv2d(width, width, 3, 1, 1)), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.unconditional = spectral_norm(nn.Conv2d(width, 1, 3, 1, 1))
        self.conditional = spectral_norm(nn.Conv2d(width, width, 3, 1, 1))
        self.sentence = nn.Linear(embedding_width, width)

    def forward(self, features: Tensor, *sentences: Tensor) -> list[Tensor]:
        """(B,C,r,r) and any number of (B,D) sentence batches → logits for each: (B,16) where r is 4, 8, 16, …,
        (B,36) where it is 6, 12, 24, …"""
        # Sentence embeddings are small numbers; at unit scale the matching term has an effect from the first step.
        sentences = tuple(nn.functional.normalize(s, dim=1) * s.shape[1] ** 0.5 for s in sentences)
        h = self.trunk(self.mixing(features))
        alone, visual = self.unconditional(h).flatten(1), nn.functional.leaky_relu(self.conditional(h), 0.2).flatten(2)
        return [
            alone + torch.einsum("bcq,bc->bq", visual, self.sentence(s)) / visual.shape[1] ** 0.5 for s in sentences
        ]


class ProjectedDiscriminator(nn.Module):
    """A head on each level of a backbone's feature pyramid.

    `shapes` maps stride → (channels, resolution). The backbone is not part of it, so that one pass over a picture
    serves both the discriminator and the matching loss.
    """

    def __init__(self, shapes: Mapping[int, tuple[int, int]], *, embedding_width: int = 256, width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {
                str(stride): ProjectedHead(channels, resolution, embedding_width, width if stride == 4 else 2 * width)
                for stride, (channels, resolution) in shapes.items()
            }
        )

    def forward(self, pyramid: Mapping[int, Tensor], *sentences: Tensor) -> list[Tensor]:
        """Logits of all heads, concatenated, for each batch of sentences; positive means real and matching."""
        per_head = [head(pyramid[int(stride)], *sentences) for stride, head in self.heads.items()]
        return [torch.cat(parts, dim=1) for parts in zip(*per_head, strict=True)]
