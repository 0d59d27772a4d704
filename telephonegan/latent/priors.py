"""What codes are likely: the gradient of log p(code), or an estimate of it, for the sampler.

Nguyen et al., "Plug & Play Generative Networks: Conditional Iterative Generation of Images in Latent Space" (2017).
Each prior is a function of codes (B,W) and the pictures (B,3,S,S) in [-1,1] that were made of them, and returns (B,W)
without a path for gradients: the result is the estimate itself, not something to differentiate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Prior(Protocol):
    """From codes (B,W) and their pictures to the direction (B,W) in which codes are likelier."""

    name: str

    def __call__(self, codes: Tensor, images: Tensor) -> Tensor: ...


class NoPrior:
    """All codes are equally likely, as in Nguyen et al. (2016), DGN-AM without its decay."""

    name = "none"

    def __call__(self, codes: Tensor, images: Tensor) -> Tensor:
        return torch.zeros_like(codes)


class GaussianPrior:
    """Codes are drawn from N(mean, deviation²): the score (mean - code) / deviation².

    With its defaults it is exact for the latents of a GAN, and PPGN's L2 decay for other codes.

    >>> GaussianPrior()(torch.ones(1, 2), torch.zeros(1, 3, 4, 4))
    tensor([[-1., -1.]])
    """

    def __init__(self, mean: float = 0.0, deviation: float = 1.0, *, name: str = "gaussian") -> None:
        self.mean, self.deviation, self.name = mean, deviation, name

    @torch.no_grad()
    def __call__(self, codes: Tensor, images: Tensor) -> Tensor:
        return (self.mean - codes) / self.deviation**2


class LengthPrior:
    """The length that standard normal codes have: the gradient of log p(|code|) only.

    In W dimensions nearly all of them have a length near √W. The Gaussian prior is largest at 0 instead, and pulls a
    code there as soon as the condition holds and its gradient vanishes; this one leaves it among the usual ones.

    >>> LengthPrior()(torch.tensor([[0.1, 0.0, 0.0]]), torch.zeros(1, 3, 4, 4))[0, 0] > 0
    tensor(True)
    """

    name = "length"

    @torch.no_grad()
    def __call__(self, codes: Tensor, images: Tensor) -> Tensor:
        squared = codes.square().sum(1, keepdim=True).clamp_min(1e-12)
        return codes * ((codes.shape[1] - 1) / squared - 1)


class AutoencoderPrior:
    """A denoising autoencoder of codes, R(h) - h, which estimates σ² ∂ log p(h) / ∂h.

    Alain and Bengio, "What Regularized Auto-Encoders Learn from the Data-Generating Distribution" (2014).
    """

    name = "dae"

    def __init__(self, autoencoder: Callable[[Tensor], Tensor]) -> None:
        self.autoencoder = autoencoder

    @torch.no_grad()
    def __call__(self, codes: Tensor, images: Tensor) -> Tensor:
        return self.autoencoder(codes) - codes


class JointPrior:
    """The picture encoded again, E(G(h)) - h: pictures and codes share one autoencoder (section 3.5 of the paper)."""

    name = "joint"

    def __init__(self, encode: Callable[[Tensor], Tensor]) -> None:
        self.encode = encode

    @torch.no_grad()
    def __call__(self, codes: Tensor, images: Tensor) -> Tensor:
        return self.encode(images.detach()) - codes
