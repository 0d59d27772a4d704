"""GAN-CLS: a DCGAN that paints the embedding of a sentence, and the discriminator that judges pictures with it.

Reed et al., "Generative Adversarial Text to Image Synthesis" (ICML 2016). With `residual` the networks are those of the
authors' code; without, the smaller ones of the PyTorch versions of it.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from telephonegan.errors import SettingsError

_SLOPE = 0.2


class Generator(nn.Module):
    """Noise (B,Z) and a sentence embedding (B,D) to pictures (B,3,S,S) in [-1,1]; S is 4·2ⁿ pixels.

    `channels` is the width before the last layer, 64 in the small published network and 128 in the authors' own;
    `text_width` that of the projected sentence, which the authors did not normalise (`text_norm`).

    >>> Generator(channels=4)(torch.randn(2, 100), torch.randn(2, 1024)).shape
    torch.Size([2, 3, 64, 64])
    """

    def __init__(
        self,
        *,
        channels: int = 64,
        size: int = 64,
        noise_width: int = 100,
        embedding_width: int = 1024,
        text_width: int = 128,
        text_norm: bool = True,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.noise_width, self.embedding_width = size, noise_width, embedding_width
        widths = _widths(channels, size)
        self.text = _projection(embedding_width, text_width, norm=text_norm)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(text_width + noise_width, widths[0], 4, bias=False),
            nn.BatchNorm2d(widths[0]),
        ]
        for level, (width, narrower) in enumerate(zip(widths, [*widths[1:], 0], strict=True)):
            if residual and level < 2:
                layers.append(_Residual(width, nn.ReLU()))
            layers.append(nn.ReLU())
            if narrower:
                layers += [nn.ConvTranspose2d(width, narrower, 4, 2, 1, bias=False), nn.BatchNorm2d(narrower)]
        layers += [nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, noise: Tensor, sentences: Tensor) -> Tensor:
        """(B,Z) and (B,D) → (B,3,S,S)."""
        return self.layers(torch.cat([self.text(sentences), noise], 1)[:, :, None, None])

    def first_linear(self) -> Tensor:
        """The first linear map (out,Z) of the noise, with its batch norm folded in."""
        weight, norm = self.layers[0].weight[-self.noise_width :], self.layers[1]
        return (weight * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None]).flatten(1).T


class Discriminator(nn.Module):
    """Whether pictures are photographs, and of their sentences: (B,3,S,S) and (B,D) → logits (B,).

    With `minibatch_features` it also sees how much each picture resembles the others of its batch (Salimans et al.,
    "Improved Techniques for Training GANs", 2016).

    >>> Discriminator(channels=4)(torch.randn(2, 3, 64, 64), torch.randn(2, 1024))[0].shape
    torch.Size([2])
    """

    def __init__(
        self,
        *,
        channels: int = 64,
        size: int = 64,
        embedding_width: int = 1024,
        text_width: int = 128,
        residual: bool = False,
        minibatch_features: int = 0,
    ) -> None:
        super().__init__()
        widths = _widths(channels, size)[::-1]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 2, 1, bias=False), nn.LeakyReLU(_SLOPE)]
        for width, wider in itertools.pairwise(widths):
            layers += [nn.Conv2d(width, wider, 4, 2, 1, bias=False), nn.BatchNorm2d(wider), nn.LeakyReLU(_SLOPE)]
        widest = widths[-1]
        if residual:
            layers.insert(-1, _Residual(widest, nn.LeakyReLU(_SLOPE)))
        self.pictures = nn.Sequential(*layers)
        self.text = _projection(embedding_width, text_width, norm=True)
        self.minibatch = _MinibatchFeatures(widest * 16, minibatch_features) if minibatch_features else None
        joined = widest + text_width + minibatch_features
        last = nn.Conv2d(widest if residual else joined, 1, 4, bias=False)
        mixed = [nn.Conv2d(joined, widest, 1, bias=False), nn.BatchNorm2d(widest), nn.LeakyReLU(_SLOPE)]
        self.judge = nn.Sequential(*mixed, last) if residual else nn.Sequential(last)
        self.apply(_initialise)

    def forward(self, images: Tensor, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B,), positive for photographs of their sentence, and features (B,F,4,4) of the pictures."""
        features = self.pictures(images)
        told = [self.text(sentences)]
        if self.minibatch is not None:
            told.append(self.minibatch(features.flatten(1)))
        tiled = torch.cat(told, 1)[:, :, None, None].expand(-1, -1, *features.shape[2:])
        return self.judge(torch.cat([features, tiled], 1)).flatten(), features


class _Residual(nn.Module):
    """The input plus a bottleneck of a quarter of its channels."""

    def __init__(self, channels: int, activation: nn.Module) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            activation,
            nn.Conv2d(inner, inner, 3, padding=1, bias=False),
            nn.BatchNorm2d(inner),
            activation,
            nn.Conv2d(inner, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class _MinibatchFeatures(nn.Module):
    """How much each row resembles the others, by several learned measures: (B,F) → (B,count)."""

    def __init__(self, width: int, count: int, depth: int = 16) -> None:
        super().__init__()
        self.measures = nn.Linear(width, count * depth, bias=False)
        self.depth = depth

    def forward(self, features: Tensor) -> Tensor:
        measured = self.measures(features).float().unflatten(1, (-1, self.depth))
        distances = (measured[:, None] - measured[None]).abs().sum(3)
        return (-distances).exp().sum(1) - 1  # without the row itself


def _widths(channels: int, size: int) -> list[int]:
    """Channels at 4, 8, … pixels, up to half of the picture's size."""
    levels = size.bit_length() - 3
    if levels < 1 or size != 4 << levels:
        raise SettingsError(f"The size must be 8, 16, 32, … pixels; {size} was given.")
    return [channels << (levels - 1 - level) for level in range(levels)]


def _projection(embedding_width: int, text_width: int, *, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(embedding_width, text_width)]
    if norm:
        layers.append(nn.BatchNorm1d(text_width))
    return nn.Sequential(*layers, nn.LeakyReLU(_SLOPE))


def _initialise(module: nn.Module) -> None:
    """N(0, 0.02) for weights, N(1, 0.02) for the scales of batch norm, as in DCGAN (Radford et al. 2016)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)
