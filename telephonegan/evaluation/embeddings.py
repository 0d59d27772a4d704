"""Measuring text embeddings on photographs of classes that they did not learn from."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from telephonegan.data.layouts import open_data
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import DataError
from telephonegan.evaluation.inputs import all_texts, of_classes, photographs, read_split, sampled
from telephonegan.evaluation.matching import recall_at_k
from telephonegan.evaluation.zero_shot import class_scores
from telephonegan.inference import check_whole
from telephonegan.matcher import Matcher

_KS = (1, 5, 10, 50)


def embedding_scores(
    name: str,
    data: str | Path,
    *,
    split: str = "all",
    classes: Collection[int] | None = None,
    captions_per_class: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """How well the embedding `name`, or any matcher by KIND/NAME, describes photographs of `classes` (default: all).

    Top-1 accuracy, by inner products as in the paper and by cosines, and AP@k, the share of a class among the k
    photographs that fit its sentences best, each class being the mean of all its sentences, or of `captions_per_class`
    sampled with `seed`. Retrieval is of single photographs by single sentences and the other way round. `split` "all"
    takes every photograph of the folder, because classes that are held out are held out of all splits; give `classes`
    the numbers that training left out.

    Raises UnknownModelError, WeightsError, DataError without class numbers, or SettingsError. Reed et al., "Learning
    Deep Representations of Fine-Grained Visual Descriptions", CVPR 2016.

    >>> embedding_scores("flowers", "flowers", classes=[10, 15, 23])["top1"]  # doctest: +SKIP
    0.72
    """
    photos = _photos(data, split)
    if photos.classes is None:
        raise DataError(f"{data} has no class numbers. A plain folder has them in labels.csv (image, class_id).")
    if classes is not None:
        photos = of_classes(photos, classes)
    if limit is not None:
        photos = photos.take(sampled(len(photos), check_whole(limit, "limit", 1, 10**9)))
    matcher = Matcher.load(name if "/" in name else f"embedding/{name}", device)
    codes = matcher.look(photographs(photos, matcher.picture_size))
    texts = all_texts(photos)
    sentences = matcher.read([text.words for text in texts])
    owners = torch.tensor([text.photo for text in texts])
    labels = torch.tensor(photos.classes)
    chosen = _chosen(labels[owners], captions_per_class, seed)
    ks = [k for k in _KS if k <= len(photos)]
    found = class_scores(codes, labels, sentences[chosen], labels[owners][chosen], ks=ks)
    shares = labels.unique(return_counts=True)[1] / len(labels)
    recall = recall_at_k(codes @ sentences.T, [k for k in ks if k <= 10], owners=owners.tolist())
    return {
        "sha256": matcher.sha256,
        "n": len(photos),
        "n_captions": len(chosen),
        "n_classes": found.classes,
        "top1": found.top1,
        "top1_cosine": found.top1_cosine,
        "top1_chance": found.chance,
        **{f"ap_{k}": value for k, value in found.precision.items()},
        "ap_chance": float(shares.mean()),
        **{f"image_to_text_recall_{k}": value for k, value in recall.image_to_text.items()},
        **{f"text_to_image_recall_{k}": value for k, value in recall.text_to_image.items()},
    }


def _photos(data: str | Path, split: str) -> CaptionedPhotos:
    """The captioned photographs of a split, or of all of them."""
    if split != "all":
        return read_split(data, split)
    folder = open_data(data)
    return folder.rows([name for names in folder.splits.values() for name in names if name in folder.captions])


def _chosen(labels: Tensor, count: int | None, seed: int) -> Tensor:
    """The rows of `count` sentences of each class (M,), fewer where it has fewer; all of them for None."""
    if count is None:
        return torch.arange(len(labels))
    check_whole(count, "captions_per_class", 1, 10**9)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return torch.cat([order[labels[order] == number][:count] for number in labels.unique()])
