"""Measuring matching models (DAMSM, judges) on real photographs: R-precision, retrieval recall and training losses."""

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

_LOSS_BATCH = 100  # what training measures: the loss grows with the number of pictures a text is told apart from
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
    """How well a matching model, the DAMSM `name` or judge/NAME, matches photographs of `data` and their captions.

    R-precision takes the first caption of every photograph: the share of photographs whose own caption scores best
    among `candidates`, the others sampled with `seed`; `folds` parts give its standard deviation. Recall is over all
    captions among all photographs, and the losses over batches of 100 photographs (fewer where there are fewer), each
    with its first caption. Of the `split` only a sample of `limit` photographs is used, where one is given.

    Raises UnknownModelError, WeightsError, DataError, or SettingsError for numbers that do not fit the data. Xu et al.,
    "AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative Adversarial Networks", CVPR 2018.

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
    """A group for each of these photographs, outside which mismatched captions are drawn, and that rule in words."""
    if photos.classes is None:
        return list(rows), f"{candidates - 1} captions of other photographs"
    return [photos.classes[row] for row in rows], f"{candidates - 1} captions of other classes"


def described(name: str, found: RPrecision, drawn: str) -> dict[str, Any]:
    """An R-precision with its protocol, for the record."""
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
    """Codes (N,D) of all photographs, and the mean losses of whole batches."""
    size = min(_LOSS_BATCH, len(photos))
    codes, losses = [], []
    for start in range(0, len(photos), size):
        part = photos[start : start + size]
        seen = [judge.see(batch) for batch in photographs(part, judge.picture_size)]
        codes.append(torch.cat([each.codes for each in seen]))
        if len(part) == size:  # the rest would be told apart from fewer
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
