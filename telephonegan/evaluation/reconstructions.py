"""Measuring code models: how much of a photograph is left when it is painted again from its code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from telephonegan.data.joined import JoinedPhotos, join_photographs
from telephonegan.evaluation.inputs import sampled
from telephonegan.evaluation.pictures import kernel_distance
from telephonegan.files import png_bytes, replace
from telephonegan.images import contact_sheet, to_tensor
from telephonegan.inference import BATCH, check_whole, resolve_device, shared_backbone
from telephonegan.latent.codes import CodeModel
from telephonegan.networks.damsm import matching_features
from telephonegan.networks.ppgn import INPUT_SIZE
from telephonegan.zoo import catalogue

_LITE2_INPUT = 160
_SHOWN = 16  # photographs of the grid


def reconstruction_scores(
    name: str,
    data: str | Path | Sequence[str | Path],
    *,
    split: str = "test",
    limit: int | None = None,
    neighbours: int | None = None,
    grid: Path | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """How well the model ppgn/`name` paints photographs of `split` again from their codes.

    `data` is a folder, or several whose photographs are joined. PSNR is over all pixels in dB, `lite2_cosine` that of
    pooled EfficientNet-Lite2 features, which the model was not trained on, and `kid_lite2` the kernel distance of these
    features from those of the photographs. The floor, `…_nearest`, shows for each photograph the training photograph
    with the nearest code; `neighbours` samples so many of them. `limit` samples photographs. `grid` is a PNG file for
    photographs, their reconstructions and their neighbours.

    Raises UnknownModelError, WeightsError, DataError, or SettingsError.

    >>> reconstruction_scores("photos", "flickr8k", limit=100)["psnr"]  # doctest: +SKIP
    17.2
    """
    own = resolve_device(device)
    entry = catalogue.find("ppgn", name)
    model = CodeModel.of(entry, own)
    folders = [data] if isinstance(data, str | Path) else list(data)
    test, train = (join_photographs(folders, each) for each in (split, "train"))
    rows, known_rows = _sampled(test, limit, "limit"), _sampled(train, neighbours, "neighbours")
    photographed = torch.cat(list(_read(test, rows)))
    codes = _codes(model, photographed.split(BATCH))
    known = _codes(model, _read(train, known_rows))
    nearest = torch.cdist(codes, known).argmin(1)
    neighbouring = torch.cat(list(_read(train, [known_rows[row] for row in nearest.tolist()])))
    painted = torch.cat([_levels(model.paint(batch.to(own))).cpu() for batch in codes.split(BATCH)])
    real, copied = (_reduced(pictures, model.size) for pictures in (photographed, neighbouring))
    features = [_features(pictures, own) for pictures in (real, painted, copied)]
    if grid is not None:
        shown = torch.cat([pictures[:_SHOWN] for pictures in (real, painted, copied)])
        replace(grid, png_bytes(contact_sheet(shown, columns=min(_SHOWN, len(real)))))
    again = _codes(model, painted.split(BATCH))
    return {
        "sha256": entry.sha256,
        "n": len(real),
        "n_train": len(known_rows),
        "pixels": model.size,
        "psnr": _psnr(painted, real),
        "psnr_nearest": _psnr(copied, real),
        "lite2_cosine": _cosine(features[1], features[0]),
        "lite2_cosine_nearest": _cosine(features[2], features[0]),
        "code_cosine": _cosine(again, codes),
        "code_cosine_nearest": _cosine(known[nearest], codes),
        "kid_lite2": kernel_distance(features[1], features[0]).mean,
        "kid_lite2_nearest": kernel_distance(features[2], features[0]).mean,
    }


def _sampled(photos: JoinedPhotos, most: int | None, name: str) -> list[int]:
    return sampled(len(photos), len(photos) if most is None else check_whole(most, name, 1, 10**9))


def _read(photos: JoinedPhotos, rows: Sequence[int]) -> Iterator[Tensor]:
    """Batches (B,3,128,128) of these photographs, in half precision: a thousand take 100 MB."""
    for start in range(0, len(rows), BATCH):
        images = [photos.image(row) for row in rows[start : start + BATCH]]
        yield to_tensor(images, INPUT_SIZE, resample=Image.Resampling.BICUBIC).half()


@torch.no_grad()
def _codes(model: CodeModel, batches: Iterable[Tensor]) -> Tensor:
    return torch.cat([model.encode(batch.to(model.device).float()).cpu() for batch in batches])


@torch.no_grad()
def _features(pictures: Tensor, device: torch.device) -> Tensor:
    """Pooled features of EfficientNet-Lite2."""
    backbone = shared_backbone("lite2", device)
    batches = (batch.to(device).float() for batch in pictures.split(BATCH))
    return torch.cat([matching_features(backbone, batch, _LITE2_INPUT)[1].cpu() for batch in batches])


def _reduced(pictures: Tensor, size: int) -> Tensor:
    return F.interpolate(pictures.float(), size=(size, size), mode="area")


def _levels(pictures: Tensor) -> Tensor:
    """Rounded to 256 levels, as in files."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def _psnr(pictures: Tensor, real: Tensor) -> float:
    """Peak signal-to-noise ratio of all pixels in dB, from the mean squared error of pictures in [-1,1]."""
    return float(10 * torch.log10(4 / F.mse_loss(pictures, real)))


def _cosine(x: Tensor, y: Tensor) -> float:
    return float(F.cosine_similarity(x, y).mean())
