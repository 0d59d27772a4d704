"""Which pixels each word of a caption depends on, by gradients: for captioners with and without attention.

Simonyan et al., "Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps", 2014.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.captioning import Captioner
from telephonegan.errors import SettingsError
from telephonegan.networks.decoding import log_probabilities
from telephonegan.results import Caption

CELLS = 32  # rows and columns of a map: single pixels of a gradient look like noise


def saliency(captioner: Captioner, caption: Caption) -> np.ndarray:
    """Maps (L,H,W) of how much each word's log-probability depends on each part of the picture, each summing to 1.

    The largest absolute gradient among a pixel's colours (section 3 of the paper), averaged over the cells of a grid of
    at most 32 × 32. Shaped like `Caption.attention`, for `AttentionViewer(caption, maps=…)`. Raises SettingsError for a
    caption without words or picture, or with a word that the captioner does not know.

    >>> saliency(captioner, captioner([image])[0]).sum((1, 2))  # doctest: +SKIP
    """
    sizes = word_gradients(captioner, caption).abs().amax(1)
    cells = F.adaptive_avg_pool2d(sizes, tuple(min(CELLS, side) for side in sizes.shape[1:]))
    return (cells / cells.sum((1, 2), keepdim=True).clamp_min(1e-12)).cpu().numpy()


def word_gradients(captioner: Captioner, caption: Caption) -> Tensor:
    """d log p(word | words before it, picture) / d input of the vision network, for each word: (L,3,S,S) float32.

    The input is the picture squashed to the captioner's S × S and normalised for the network. Raises SettingsError like
    `saliency`.
    """
    ids, vision = _checked_ids(captioner, caption), captioner.vision
    # cuDNN's LSTMs compute gradients in training mode only.
    with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        pixels = vision.pixels([caption.image]).requires_grad_()
        state = vision.decoder.start(vision.features(pixels))
        said = torch.tensor([ids], device=pixels.device)
        scores = log_probabilities(vision.decoder, state, said, captioner.markers)[0]
        return torch.stack([torch.autograd.grad(score, pixels, retain_graph=True)[0][0] for score in scores]).float()


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
