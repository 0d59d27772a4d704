"""Captioned photographs: reading a data folder, packing its pictures, cutting random crops."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from telephonegan.errors import DataError
from telephonegan.files import make_folder, replacing
from telephonegan.images import as_image
from telephonegan.text import tokenise


@dataclass(frozen=True)
class CaptionedPhotos:
    """One split: file names, and for each photograph its captions as word lists."""

    folder: Path
    names: list[str]
    captions: list[list[list[str]]]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: slice) -> CaptionedPhotos:
        return CaptionedPhotos(self.folder, self.names[rows], self.captions[rows])

    def fingerprint(self) -> str:
        """Eight hex digits of the file names and sizes: other photographs under the same names have others."""
        return fingerprint([f"{name} {_file_size(self.folder / name)}" for name in self.names])


def read_flickr8k(folder: str | Path, split: str) -> CaptionedPhotos:
    """Read one official split ("train", "dev", "test") of Flickr8k: images/, captions.txt, {split}.txt.

    Hodosh, Young and Hockenmaier, "Framing Image Description as a Ranking Task" (2013).
    Raises DataError when a file is missing, the split is empty or a photograph of it has no caption.
    """
    folder = Path(folder)
    for needed in ("images", "captions.txt", f"{split}.txt"):
        if not (folder / needed).exists():
            raise DataError(f"{folder} has no {needed}. Expected images/, captions.txt and {split}.txt (Flickr8k).")
    captions: dict[str, list[list[str]]] = {}
    for line in (folder / "captions.txt").read_text(encoding="utf-8").splitlines():
        key, _, sentence = line.partition("\t")
        captions.setdefault(key.rpartition("#")[0], []).append(tokenise(sentence))
    lines = (folder / f"{split}.txt").read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(f"{folder / split}.txt is empty. It lists the photographs of the split, one name per line.")
    without = [name for name in names if name not in captions]
    if without:
        raise DataError(f"{len(without)} photographs of {split}.txt have no caption, first {without[0]}.")
    return CaptionedPhotos(folder / "images", names, [captions[name] for name in names])


def pack_photos(photos: CaptionedPhotos, size: int, cache: str | Path) -> Tensor:
    """Return the photographs as (N,3,size,size) uint8, read once and kept in `cache` as one .npy file.

    The cache file's name carries the photographs' fingerprint, so another folder, split or size never meets the wrong
    pixels.
    """
    path = Path(cache) / f"photos-{photos.fingerprint()}-{size}.npy"
    if not path.exists():
        pixels = np.stack([_read(photos.folder / name, size) for name in tqdm(photos.names, desc=f"packing {size} px")])
        make_folder(path.parent)
        with replacing(path) as partial, open(partial, "wb") as file:
            np.save(file, pixels)
    return torch.from_numpy(np.load(path)).permute(0, 3, 1, 2)


def fingerprint(names: Sequence[str]) -> str:
    """Eight hex digits that change when the list of names changes."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]


def unit_range(pixels: Tensor) -> Tensor:
    """uint8 0–255 → float in [-1,1]."""
    return pixels.float() / 127.5 - 1


def random_crop(pixels: Tensor, size: int) -> Tensor:
    """Cut one random `size` window per picture of (B,3,H,W), and mirror half of them."""
    batch, _, height, width = pixels.shape
    top = torch.randint(height - size + 1, (batch,))
    left = torch.randint(width - size + 1, (batch,))
    rows = top[:, None] + torch.arange(size)
    columns = left[:, None] + torch.arange(size)
    columns = torch.where(torch.rand(batch, 1) < 0.5, columns.flip(1), columns)
    index = torch.arange(batch)[:, None, None]
    return pixels.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"The photograph {path} cannot be read: {error.strerror}.") from error


def _read(path: Path, size: int) -> np.ndarray:
    return np.asarray(as_image(path).resize((size, size), Image.Resampling.BICUBIC))
