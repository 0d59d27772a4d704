"""Measuring captioners: against human captions, a nearest neighbour, and the texts of painted pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.captioning import Captioner
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import DataError
from telephonegan.evaluation.captions import CiderD, caption_scores
from telephonegan.evaluation.inputs import choose_texts, image_batches, paintings, photographs, read_split
from telephonegan.evaluation.meteor import meteor
from telephonegan.generation import Generator
from telephonegan.images import to_images
from telephonegan.inference import resolve_device, shared_backbone
from telephonegan.networks.damsm import pooled_features

_NEAREST_PIXELS = 208, 256  # photographs are brought to the first size and enlarged to the second
WordLists = Sequence[Sequence[str]]


def captioner_scores(options: argparse.Namespace) -> dict[str, Any]:
    """BLEU, METEOR, ROUGE-L and CIDEr of free-running captions against the human ones."""
    photos = read_split(options)
    captioner = Captioner.load(options.name, options.device)
    said = _described(captioner, photos, options.beam_width)
    return {
        "sha256": captioner.sha256,
        "n": len(said),
        "beam": options.beam_width or captioner.beam_width,
        **_scores(said, photos),
    }


def nearest_scores(options: argparse.Namespace) -> dict[str, Any]:
    """The same scores for the first caption of the training photograph with the nearest pooled Lite0 features."""
    photos, train = read_split(options), read_split(options, "train")
    similarity = _pooled(photos, options.device) @ _pooled(train, options.device).T
    said = [train.captions[row][0] for row in similarity.argmax(1).tolist()]
    return {"n": len(photos), "n_train": len(train), **_scores(said, photos)}


def cycle_scores(options: argparse.Namespace) -> dict[str, Any]:
    """CIDEr-D of the captions of painted pictures, against all captions of the photograph that the text belongs to.

    The floor takes the captions of other texts' pictures; the photographs show what the captioner says of those.
    """
    photos = read_split(options)
    captioner = Captioner.load(options.captioner, options.device)
    generator = Generator.load(options.generator, options.device)
    texts, left_out = choose_texts(photos, options.samples, generator.knows)
    rows = [text.photo for text in texts]
    painted = _caption_painted(
        captioner, generator, [text.words for text in texts], options.seed, beam_width=options.beam_width
    )
    photographed = _described(captioner, photos, options.beam_width)
    scorer = CiderD(photos.captions)
    return {
        "sha256": generator.sha256,
        "captioner": options.captioner,
        "captioner_sha256": captioner.sha256,
        "n": len(texts),
        "captions_left_out": left_out,
        "beam": options.beam_width or captioner.beam_width,
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
