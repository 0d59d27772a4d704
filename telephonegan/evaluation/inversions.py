"""Measuring inversion: how near the pictures are that a generator has for photographs it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from telephonegan.data.layouts import open_photographs
from telephonegan.errors import DataError
from telephonegan.evaluation.inputs import image_batches, paintings, sampled
from telephonegan.generation import Generator
from telephonegan.images import to_tensor
from telephonegan.inference import check_seed, check_whole, derived_seed, shared_backbone
from telephonegan.latent.invert import TRIED, invert
from telephonegan.latent.search import loaded
from telephonegan.networks.damsm import matching_features

_LITE2_INPUT = 160


def inversion_scores(
    name: str,
    data: str | Path,
    *,
    split: str = "test",
    limit: int | None = None,
    starts: int = 8,
    steps: int = 200,
    text: str = "",
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """Invert the photographs of a split, or a sample of `limit` of them, which need no captions.

    - `rmse`: the mean root mean square difference of pixels in [0,1]; `lite2_cosine`: the mean cosine of EfficientNet-
      Lite2 features, which inversion does not look at; `poor`: the share that is, see `latent.Inversion`.
    - `rmse_nearest` and `lite2_nearest`, floors: the same of the nearest, in this respect, of as many random pictures
      as one inversion paints.

    Raises DataError, SettingsError, UnknownModelError, WeightsError.

    >>> inversion_scores("faces", "faces", limit=50)["rmse"]  # doctest: +SKIP
    """
    generator = loaded(name, device)
    if limit is not None:
        check_whole(limit, "limit", 1, 10**9)
    folder = open_photographs(data)
    photos = folder.rows(folder.splits.get(split, []))
    if not len(photos):
        raise DataError(f"{data} has no photograph in its split {split!r}. It has {', '.join(folder.splits)}.")
    photos = photos if limit is None else photos.take(sampled(len(photos), limit))
    images = [image for batch in image_batches(photos) for image in batch]
    how = {"text": text, "starts": starts, "steps": steps, "device": device, "progress": False}
    found = [
        invert(generator, image, seed=derived_seed(check_seed(seed), "inversion", row), **how)
        for row, image in enumerate(tqdm(images, desc="inverting", mininterval=2))
    ]
    targets = torch.stack([each.target for each in found])
    painted = to_tensor([each.picture.image for each in found], generator.size)
    random = _random_pictures(generator, text, TRIED + starts * steps, seed)
    return {
        "n": len(found),
        "sha256": generator.sha256,
        "painted_each": len(random),
        "rmse": _rmse(painted, targets).diagonal().mean().item(),
        "rmse_nearest": _rmse(random, targets).amin(0).mean().item(),
        "lite2_cosine": _cosines(painted, targets, generator.device).diagonal().mean().item(),
        "lite2_nearest": _cosines(random, targets, generator.device).amax(0).mean().item(),
        "poor": sum(each.is_poor for each in found) / len(found),
    }


def _random_pictures(generator: Generator, text: str, count: int, seed: int) -> Tensor:
    seeds: Sequence[int] = [derived_seed(seed, "random", number) for number in range(count)]
    return torch.cat(list(paintings(generator, [[text]] * count, seeds)))


def _rmse(images: Tensor, targets: Tensor) -> Tensor:
    """(N,3,S,S) and (M,3,S,S) in [-1,1] → (N,M), each from 0 to 1."""
    differences = torch.cdist(images.flatten(1), targets.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
    return differences / 2 / images[0].numel() ** 0.5


@torch.inference_mode()
def _cosines(images: Tensor, targets: Tensor, device: torch.device) -> Tensor:
    backbone = shared_backbone("lite2", device)
    seen = [
        F.normalize(
            torch.cat([matching_features(backbone, part.to(device), _LITE2_INPUT)[1] for part in each.split(32)])
        )
        for each in (images, targets)
    ]
    return seen[0] @ seen[1].T
