"""How well captions fit pictures, text → image and image → text: one is from the earlier round, one from the later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from telephonegan.captioning import Captioner
from telephonegan.drift.statistics import cosines
from telephonegan.images import to_tensor, working_image
from telephonegan.inference import BATCH
from telephonegan.matcher import Matcher
from telephonegan.networks.decoding import log_probabilities
from telephonegan.text import UNKNOWN, pad, padding_mask

Captions = Sequence[Sequence[str]]

_READ_AT_ONCE = 256


def damsm_score(
    pictures: Sequence[Image.Image], captions: Captions, *, model: str = "damsm/flickr8k", device: str = "cpu"
) -> np.ndarray:
    """Cosine of the image and sentence codes of N pairs of a picture and a caption: (N,) in [-1, 1], 1 the best fit.

    About 0 for unrelated pairs; nan for a caption without a known word. The score of damsm/flickr8k is biased, because
    it guided the generator's training. Prefer judge/flickr8k, which did not guide any generator and uses another
    network (extra `judge`). Xu et al., "AttnGAN", 2018, section 3.2.

    >>> damsm_score([Image.open("dog.jpg")], [["a", "dog"]])  # doctest: +SKIP
    """
    matcher = Matcher.load(model, device)
    return cosines(picture_codes(pictures, matcher), caption_codes(captions, matcher))


def picture_codes(pictures: Sequence[Image.Image], matcher: Matcher) -> np.ndarray:
    """Codes (N,D) of pictures in the joint space with captions, computed in batches of at most 32."""
    starts = range(0, len(pictures), BATCH)
    return matcher.look(to_tensor(list(pictures[i : i + BATCH]), matcher.picture_size) for i in starts).numpy()


def caption_codes(captions: Captions, matcher: Matcher) -> np.ndarray:
    """Codes (N,D) of captions in the joint space with pictures; zeros for a caption without a known word."""
    codes = matcher.read(captions).numpy()
    is_read = [any(word in matcher.vocabulary for word in words) for words in captions]
    return np.where(np.array(is_read)[:, None], codes, 0)


def captioner_likelihood(
    pictures: Sequence[Image.Image], captions: Captions, *, captioner: str = "flickr8k", device: str = "cpu"
) -> np.ndarray:
    """How probable a caption of a picture is for the captioner, for N pairs: see `mean_log_probabilities`.

    Values in (-∞, 0]: the mean log-probability (nats) per word, including the end of the sentence; 0 means certainty.
    The captioner's own captions in a chain are naturally probable. Vinyals et al., "Show and Tell", 2015, equation 1.

    >>> captioner_likelihood([Image.open("dog.jpg")], [["a", "dog"]])  # doctest: +SKIP
    """
    seen = list({id(picture): picture for picture in pictures}.values())
    rows = {id(picture): row for row, picture in enumerate(seen)}
    pairs = [(rows[id(picture)], words) for picture, words in zip(pictures, captions, strict=True)]
    return mean_log_probabilities(Captioner.load(captioner, device), seen, pairs)


@torch.inference_mode()
def mean_log_probabilities(
    captioner: Captioner, pictures: Sequence[Image.Image], pairs: Sequence[tuple[int, Sequence[str]]]
) -> np.ndarray:
    """Mean log-probability per word of each pair (row of the picture, words): (N,) in (-∞, 0].

    Every picture is encoded once, however many pairs it is in. The end of the sentence counts as a word. Unknown words
    do not count, and a caption of unknown words only is nan. The captioner's own caption of a picture scores its
    `log_probability` divided by its length, unless it was cut off at the limit.
    """
    values = np.full(len(pairs), np.nan)
    for start in range(0, len(pictures), BATCH):
        batch = [working_image(picture) for picture in pictures[start : start + BATCH]]
        features = captioner.vision.features(captioner.vision.pixels(batch))
        state = captioner.vision.decoder.start(features)
        mine = [i for i, (row, _) in enumerate(pairs) if start <= row < start + BATCH]
        for part in (mine[i : i + _READ_AT_ONCE] for i in range(0, len(mine), _READ_AT_ONCE)):
            owners = torch.tensor([pairs[i][0] - start for i in part], device=features.device)
            values[part] = _read_out(captioner, tuple(x[owners] for x in state), [pairs[i][1] for i in part])
    return values


def _read_out(captioner: Captioner, state: tuple[Tensor, ...], captions: Captions) -> np.ndarray:
    """Mean log-probabilities of captions, one for each row of the decoder's state."""
    ids, markers, device = captioner.vocabulary.ids, captioner.markers, state[0].device
    said = [[ids.get(word, ids[UNKNOWN]) for word in words] + [markers.end] for words in captions]
    targets, lengths = pad(said)
    counted = ~padding_mask(lengths) & (targets != ids[UNKNOWN])
    known = counted.sum(1) > 1
    chosen = log_probabilities(captioner.vision.decoder, state, targets.to(device), markers).cpu()
    total = torch.zeros(len(said))
    for column in torch.where(counted, chosen, 0.0).unbind(1):  # one by one: another order of sums rounds differently
        total += column
    return torch.where(known, total / counted.sum(1), float("nan")).double().numpy()
