"""Measuring matching models (DAMSM and judges) on photographs: R-precision, retrieval recall and training losses."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from telephonegan.data.photos import CaptionedPhotos
from telephonegan.evaluation.inputs import all_texts, photographs, read_split
from telephonegan.evaluation.matching import RPrecision, check_draw, r_precision, recall_at_k
from telephonegan.matcher import Matcher
from telephonegan.networks.damsm import damsm_loss, sentence_scores

_LOSS_BATCH = 100  # as in training: the loss grows with the number of pictures a text is compared with
_KS = (1, 5, 10)


def matcher_scores(
    name: str,
    data: str | Path,
    *,
    split: str = "test",
    limit: int | None = None,
    candidates: int = 100,
    folds: int = 10,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """How well a matching model, the DAMSM `name` or judge/NAME, matches the photographs of `data` and their captions.

    R-precision is the share of photographs whose first caption scores best among `candidates`, the others of which are
    sampled with `seed`; its standard deviation is over `folds` parts. Recall uses all captions and all photographs. The
    losses are means over batches of 100 photographs, or of all if there are fewer, with their first captions. `limit`
    restricts the `split` to a sample of that many photographs.

    Raises UnknownModelError, WeightsError, DataError, or SettingsError for arguments that do not fit the data. Xu et
    al., "AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative Adversarial Networks", CVPR 2018.

    >>> matcher_scores("flickr8k", "flickr8k")["r_precision"]  # doctest: +SKIP
    0.334
    """
    photos = read_split(data, split, limit)
    groups, drawn = mismatches(photos, range(len(photos)), candidates)
    check_draw(groups, candidates, folds)
    judge = Matcher.load(name if "/" in name else f"damsm/{name}", device)
    codes, losses = _codes_and_losses(judge, photos)
    texts = all_texts(photos)
    sentences = judge.read([text.words for text in texts])
    ks = [k for k in _KS if k <= len(photos)]
    recall = recall_at_k(sentence_scores(codes, sentences), ks, owners=[text.photo for text in texts])
    precision = r_precision(
        codes, sentences[: len(photos)], candidates=candidates, seed=seed, folds=folds, groups=groups
    )
    return {
        "sha256": judge.sha256,
        "n": len(photos),
        "n_captions": len(texts),
        "picture_size": judge.picture_size,
        **described("r_precision", precision, drawn),
        **{f"image_to_text_recall_{k}": value for k, value in recall.image_to_text.items()},
        **{f"text_to_image_recall_{k}": value for k, value in recall.text_to_image.items()},
        **losses,
    }


def mismatches(photos: CaptionedPhotos, rows: Sequence[int], candidates: int) -> tuple[list[Hashable], str]:
    """The group of each photograph, outside which mismatched captions are sampled, and this rule in words."""
    if photos.classes is None:
        return list(rows), f"{candidates - 1} captions of other photographs"
    return [photos.classes[row] for row in rows], f"{candidates - 1} captions of other classes"


def described(name: str, found: RPrecision, drawn: str) -> dict[str, Any]:
    """An R-precision and its protocol as fields of a record."""
    return {
        name: found.mean,
        f"{name}_std": found.std,
        f"{name}_folds": found.folds,
        f"{name}_candidates": found.candidates,
        f"{name}_chance": found.chance,
        f"{name}_mismatches": drawn,
    }


@torch.no_grad()
def _codes_and_losses(judge: Matcher, photos: CaptionedPhotos) -> tuple[Tensor, dict[str, Any]]:
    """Codes (N,D) of all photographs, and the mean losses of complete batches."""
    size = min(_LOSS_BATCH, len(photos))
    codes, losses = [], []
    for start in range(0, len(photos), size):
        part = photos[start : start + size]
        seen = [judge.see(batch) for batch in photographs(part, judge.picture_size)]
        codes.append(torch.cat([each.codes for each in seen]))
        if len(part) == size:  # an incomplete batch would have lower losses
            regions = torch.cat([each.regions for each in seen])
            words, sentences, lengths = judge.read_words([captions[0] for captions in part.captions])
            losses.append(damsm_loss(regions, codes[-1], words, sentences, lengths))
    word_loss, sentence_loss = torch.tensor(losses).mean(0).tolist()
    return torch.cat(codes).cpu(), {
        "word_loss": word_loss,
        "sentence_loss": sentence_loss,
        "loss_batch": size,
        "loss_chance": 2 * math.log(size),
    }
