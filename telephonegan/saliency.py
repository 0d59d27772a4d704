"""Which pixels a word of a caption depends on: gradients, for captioners with and without attention.

Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps", 2014.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan.captioning import Captioner
from telephonegan.errors import SettingsError
from telephonegan.networks.decoding import word_log_probabilities
from telephonegan.results import Caption

CELLS = 32  # rows and columns of a map: single pixels of a gradient are noise to the eye


def saliency(captioner: Captioner, caption: Caption) -> np.ndarray:
    """Maps (L,H,W) of how much each word's log-probability depends on each part of the picture, each summing to 1.

    The largest size of the gradient among the colours of a pixel (section 3 of the paper), averaged over the cells of a
    grid of at most 32 × 32 over the picture. Shaped as `Caption.attention`, for `AttentionViewer(caption, maps=…)`.
    Raises SettingsError for a caption without words or picture, or with a word that the captioner does not know.

    >>> saliency(captioner, captioner([image])[0]).sum((1, 2))  # doctest: +SKIP
    """
    sizes = word_gradients(captioner, caption).abs().amax(1)
    cells = F.adaptive_avg_pool2d(sizes, tuple(min(CELLS, side) for side in sizes.shape[1:]))
    return (cells / cells.sum((1, 2), keepdim=True).clamp_min(1e-12)).cpu().numpy()


def word_gradients(captioner: Captioner, caption: Caption) -> Tensor:
    """d log p(word | words before it, picture) / d input of the vision network, for each word: (L,3,S,S) float32.

    The input is the picture squashed to the captioner's S × S and normalised as the network wants it. Raises
    SettingsError as `saliency`.
    """
    ids = _checked_ids(captioner, caption)
    sight = captioner.sight
    # Gradients are on in a block without inference mode; those of cudnn's LSTMs exist in training mode only.
    with torch.inference_mode(False), torch.backends.cudnn.flags(enabled=False):
        with _inputs_of(_first_network(captioner)) as inputs:
            features, _ = sight.see([caption.image])
        scores = _log_probabilities(captioner, features, ids)
        return torch.stack([torch.autograd.grad(score, inputs, retain_graph=True)[0][0] for score in scores]).float()


def _log_probabilities(captioner: Captioner, features: Tensor, ids: list[int]) -> list[Tensor]:
    """The log-probability that the decoder gives each of these words, after those before it."""
    decoder, markers = captioner.sight.decoder, captioner.markers
    state = decoder.start(features)
    scores = []
    for before, word in zip([markers.start, *ids], ids, strict=False):
        logits, state, _ = decoder.step(torch.tensor([before], device=features.device), state)
        scores.append(word_log_probabilities(logits, markers)[0, word])
    return scores


def _checked_ids(captioner: Captioner, caption: Caption) -> list[int]:
    if caption.image is None or not caption.words:
        raise SettingsError("Saliency needs a caption with words and its picture. Caption a picture first.")
    unknown = [word for word in caption.words if word not in captioner.vocabulary]
    if unknown:
        raise SettingsError(
            f"{captioner.name!r} does not know {unknown[0]!r}. Use the captioner that wrote the caption"
            + (f", {caption.model!r}." if caption.model else ".")
        )
    return [captioner.vocabulary.ids[word] for word in caption.words]


def _first_network(captioner: Captioner) -> nn.Module:
    """The network that pixels go into first."""
    sight = captioner.sight
    return sight.backbone.stem if hasattr(sight, "backbone") else sight.encoder


@contextmanager
def _inputs_of(network: nn.Module) -> Iterator[list[Tensor]]:
    """What goes into a network within the block, made the leaves that gradients are taken towards."""
    leaves: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        leaves.append(inputs[0].detach().requires_grad_())
        return (leaves[-1], *inputs[1:])

    hook = network.register_forward_pre_hook(keep)
    try:
        yield leaves
    finally:
        hook.remove()
