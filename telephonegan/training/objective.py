"""AttnGAN's published objective (Xu et al. 2018, sections 3.1 and 3.2): losses of its discriminators and generator.

The matching losses are DAMSM's own, see `telephonegan.networks.damsm.damsm_loss`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.networks.attngan import Discriminator


def discriminator_loss(discriminator: Discriminator, real: Tensor, fake: Tensor, sentences: Tensor) -> Tensor:
    """A discriminator's loss on photographs (B,3,S,S), painted pictures, and photographs with the wrong sentence (B,D).

    The wrong sentence is that of the next photograph in the batch; the last one has none, as in the published code.
    """
    photographed, painted = discriminator(real), discriminator(fake.detach())
    conditional, alone = discriminator.COND_DNET, discriminator.UNCOND_DNET
    matching = _is_real(conditional(photographed, sentences))
    forged = _is_fake(conditional(painted, sentences))
    mismatched = _is_fake(conditional(photographed[:-1], sentences[1:])) if len(real) > 1 else forged.new_zeros(())
    if alone is None:
        return matching + (forged + mismatched) / 2
    return (_is_real(alone(photographed)) + matching) / 2 + (_is_fake(alone(painted)) + forged + mismatched) / 3


def adversarial_loss(discriminator: Discriminator, fake: Tensor, sentences: Tensor) -> Tensor:
    """The generator's loss: cross-entropy of the discriminator taking pictures (B,3,S,S) of sentences (B,D) as real."""
    features = discriminator(fake)
    loss = _is_real(discriminator.COND_DNET(features, sentences))
    return loss if discriminator.UNCOND_DNET is None else loss + _is_real(discriminator.UNCOND_DNET(features))


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of N(mu, exp(logvar)) from N(0, 1), averaged over pictures and dimensions; at least 0."""
    return -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).float().mean()


def _is_real(probabilities: Tensor) -> Tensor:
    return _cross_entropy(probabilities, torch.ones_like(probabilities, dtype=torch.float32))


def _is_fake(probabilities: Tensor) -> Tensor:
    return _cross_entropy(probabilities, torch.zeros_like(probabilities, dtype=torch.float32))


def _cross_entropy(probabilities: Tensor, target: Tensor) -> Tensor:
    # Autocast forbids this loss on GPUs.
    with torch.autocast(probabilities.device.type, enabled=False):
        return F.binary_cross_entropy(probabilities.float(), target)
