"""Measuring captioners: against human captions, a nearest neighbour, and the captions behind painted pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.captioning import Captioner
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import DataError
from telephonegan.evaluation.captions import CiderD, caption_scores, meteor
from telephonegan.evaluation.inputs import choose_texts, image_batches, paintings, photographs, read_split
from telephonegan.generation import Generator
from telephonegan.images import to_images
from telephonegan.inference import resolve_device, shared_backbone
from telephonegan.networks.damsm import pooled_features

_NEAREST_PIXELS = 208, 256  # photographs are resized to the first size, then enlarged to the second
WordLists = Sequence[Sequence[str]]


def captioner_scores(
    name: str,
    data: str | Path,
    *,
    split: str = "test",
    limit: int | None = None,
    beam_width: int | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """BLEU, METEOR, ROUGE-L, CIDEr and CIDEr-D of the captioner `name` on photographs with human captions.

    The photographs are those of the data folder's `split`, or a sample of `limit` of them. `beam_width` is the width of
    the beam search (default: the model's own). For the scores see `caption_scores`. Without WordNet, METEOR is None and
    METEOR_absent says why.

    Raises UnknownModelError, WeightsError, DataError or SettingsError.

    >>> captioner_scores("flickr8k", "flickr8k")["CIDEr-D"]  # doctest: +SKIP
    0.557
    """
    photos = read_split(data, split, limit)
    captioner = Captioner.load(name, device)
    said = _described(captioner, photos, beam_width)
    return {
        "sha256": captioner.sha256,
        "n": len(said),
        "beam": beam_width or captioner.beam_width,
        **_scores(said, photos),
    }


def nearest_scores(
    data: str | Path, *, split: str = "test", limit: int | None = None, device: str = "cpu"
) -> dict[str, Any]:
    """A baseline for `captioner_scores`: the same scores for captions of the nearest neighbour.

    Each photograph gets the first caption of the training photograph with the most similar pooled Lite0 features.
    Raises DataError or SettingsError.

    >>> nearest_scores("flickr8k")["CIDEr-D"]  # doctest: +SKIP
    0.2416
    """
    photos, train = read_split(data, split, limit), read_split(data, "train", limit)
    similarity = _pooled(photos, device) @ _pooled(train, device).T
    said = [train.captions[row][0] for row in similarity.argmax(1).tolist()]
    return {"n": len(photos), "n_train": len(train), **_scores(said, photos)}


def cycle_scores(
    data: str | Path,
    *,
    captioner: str = "flickr8k",
    generator: str = "flickr8k",
    split: str = "test",
    limit: int | None = None,
    samples: int | None = None,
    beam_width: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """CIDEr-D of text → picture → text: captions are painted, and the captions of the pictures are scored.

    `samples` captions are painted (default: the first of every photograph), with the seeds `seed`, `seed` + 1, and so
    on. References are all human captions of the photograph. CIDEr-D_shuffled, the floor, scores captions of pictures of
    other texts; CIDEr-D_photographs scores captions of the photographs themselves.

    Raises UnknownModelError, WeightsError, DataError or SettingsError.

    >>> cycle_scores("flickr8k")["CIDEr-D"]  # doctest: +SKIP
    0.3764
    """
    photos = read_split(data, split, limit)
    speaker = Captioner.load(captioner, device)
    painting = Generator.load(generator, device)
    texts, left_out = choose_texts(photos, samples, painting.knows)
    rows = [text.photo for text in texts]
    painted = _caption_painted(speaker, painting, [text.words for text in texts], seed, beam_width=beam_width)
    photographed = _described(speaker, photos, beam_width)
    scorer = CiderD(photos.captions)
    return {
        "sha256": painting.sha256,
        "captioner": captioner,
        "captioner_sha256": speaker.sha256,
        "n": len(texts),
        "captions_left_out": left_out,
        "beam": beam_width or speaker.beam_width,
        "CIDEr-D": float(scorer.score(painted, rows).mean()),
        "CIDEr-D_shuffled": float(scorer.score(painted[1:] + painted[:1], rows).mean()),
        "CIDEr-D_photographs": float(scorer.score(photographed).mean()),
    }


def _scores(said: WordLists, photos: CaptionedPhotos) -> dict[str, Any]:
    scores: dict[str, Any] = dict(caption_scores(said, photos.captions))
    try:
        scores["METEOR"] = meteor(said, photos.captions)
    except DataError as error:
        scores |= {"METEOR": None, "METEOR_absent": str(error)}
    return scores


def _described(captioner: Captioner, photos: CaptionedPhotos, beam_width: int | None) -> list[list[str]]:
    batches = image_batches(photos)
    return [caption.words for images in batches for caption in captioner(images, beam_width=beam_width)]


def _caption_painted(
    captioner: Captioner, generator: Generator, texts: WordLists, seed: int, *, beam_width: int | None
) -> list[list[str]]:
    batches = paintings(generator, texts, range(seed, seed + len(texts)))
    return [caption.words for batch in batches for caption in captioner(to_images(batch), beam_width=beam_width)]


@torch.no_grad()
def _pooled(photos: CaptionedPhotos, device: str) -> Tensor:
    """Pooled Lite0 features of unit length."""
    stored, enlarged = _NEAREST_PIXELS
    backbone = shared_backbone("lite0", resolve_device(device))
    parts = []
    for pixels in photographs(photos, stored):
        pixels = F.interpolate(pixels.to(resolve_device(device)), size=(enlarged, enlarged), mode="bilinear")
        parts.append(pooled_features(backbone.grid(pixels.contiguous(memory_format=torch.channels_last))).cpu())
    return F.normalize(torch.cat(parts), dim=1)
