"""Generators without text: noise to a picture.

`FreeGenerator` is the first stage of AttnGAN's generator grown to full size, like G_DCGAN of Xu et al. (2018) without a
condition; the noise modulates every batch norm (Brock et al., "Large Scale GAN Training for High Fidelity Natural Image
Synthesis", 2019, call this a hierarchical latent space).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from telephonegan.errors import SettingsError
from telephonegan.networks.attngan import FirstStage, ToImage, folded


class FreeGenerator(nn.Module):
    """Noise (B,Z) to pictures of `size` pixels. Raises SettingsError for a size that doubling never reaches from 4.

    >>> FreeGenerator(channels=4, size=16).eval()(torch.randn(2, 100)).shape
    torch.Size([2, 3, 16, 16])
    """

    def __init__(self, *, channels: int = 32, size: int = 64, noise_width: int = 100) -> None:
        super().__init__()
        if size < 4 or size.bit_count() != 1:
            raise SettingsError(f"size must be 4, 8, 16 or a further doubling; {size} was given.")
        self.noise_width, self.size = noise_width, size
        self.h_net1 = FirstStage(noise_width, channels, size, noise_width)
        self.img_net1 = ToImage(channels)

    def forward(self, noise: Tensor) -> Tensor:
        """noise (B,Z) → pictures (B,3,S,S) in [-1,1]."""
        return self.img_net1(self.h_net1(noise, noise))

    def folded(self) -> FreeGenerator:
        """Turn it, in place, into one that paints faster and can no longer be trained, see `attngan.folded`."""
        return folded(self)


class DcganGenerator(nn.Module):
    """The 64-pixel generator of Radford et al. (2016), with the layer names of PyTorch's tutorial.

    >>> DcganGenerator(channels=4).eval()(torch.randn(2, 100)).shape
    torch.Size([2, 3, 64, 64])
    """

    size = 64

    def __init__(self, *, channels: int = 64, noise_width: int = 100) -> None:
        super().__init__()
        self.noise_width = noise_width
        widths = [noise_width, 8 * channels, 4 * channels, 2 * channels, channels]
        layers: list[nn.Module] = []
        for step, (before, after) in enumerate(pairwise(widths)):
            up = (4, 2, 1) if step else (4, 1, 0)
            layers += [nn.ConvTranspose2d(before, after, *up, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(channels, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, noise: Tensor) -> Tensor:
        """noise (B,Z) → pictures (B,3,64,64) in [-1,1]."""
        return self.main(noise[:, :, None, None])

    def first_linear(self) -> Tensor:
        """The first linear map (out,Z), with its batch norm folded in."""
        weight, norm = self.main[0].weight, self.main[1]
        return (weight * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None]).flatten(1).T

    @property
    def first(self) -> nn.Module:
        """The layer of the first activations."""
        return self.main[2]
