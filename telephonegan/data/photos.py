"""Captioned photographs: one split, its packed pixels, and random crops."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from telephonegan.errors import DataError, ImageError
from telephonegan.files import make_folder, replacing
from telephonegan.images import as_image

Box = tuple[int, int, int, int]


class Packed(Protocol):
    """Photographs in one file: their sizes in bytes by name, and the bytes of one."""

    sizes: Mapping[str, int]

    def photograph(self, name: str) -> bytes: ...


@dataclass(frozen=True)
class CaptionedPhotos:
    """One split: file names, and for each photograph its captions as word lists.

    Some data sets also have a class number for each photograph, and a box (left, top, width, height), in pixels, around
    the animal in it; `image` then crops the photograph around that box. With `pack` the photographs are in that file
    and not in the folder.
    """

    folder: Path
    names: list[str]
    captions: list[list[list[str]]]
    classes: list[int] | None = None
    boxes: list[Box] | None = None
    pack: Packed | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: slice) -> CaptionedPhotos:
        return self.take(range(len(self))[rows])

    def take(self, rows: Sequence[int]) -> CaptionedPhotos:
        """The photographs of these rows, in this order, each with its captions, class and box."""

        def chosen(column: list | None) -> list | None:
            return None if column is None else [column[row] for row in rows]

        return CaptionedPhotos(
            self.folder, chosen(self.names), chosen(self.captions), chosen(self.classes), chosen(self.boxes), self.pack
        )

    def rows_of(self, classes: Collection[int]) -> list[int]:
        """The rows of the photographs with these class numbers. Raises DataError where there are no class numbers."""
        if self.classes is None:
            raise DataError(
                f"{self.folder} has no class number for every photograph. A plain folder has them in labels.csv, with "
                "the columns image and class_id."
            )
        return [row for row, number in enumerate(self.classes) if number in classes]

    def without(self, classes: Collection[int]) -> CaptionedPhotos:
        """All photographs but those of these class numbers. Raises DataError where there are no class numbers."""
        if not classes:
            return self
        left_out = set(self.rows_of(classes))
        return self.take([row for row in range(len(self)) if row not in left_out])

    def is_there(self, row: int) -> bool:
        """Whether the file of a photograph exists, readable or not."""
        name = self.names[row]
        return os.path.isfile(self.folder / name) if self.pack is None else name in self.pack.sizes

    def content(self, row: int) -> bytes:
        """The encoded bytes of one photograph. Raises DataError, or OSError for a file of a folder."""
        name = self.names[row]
        return (self.folder / name).read_bytes() if self.pack is None else self.pack.photograph(name)

    def image(self, row: int) -> Image.Image:
        """One photograph, cropped around its box if it has one. Raises ImageError or DataError if unreadable."""
        whole = self.boxes is not None  # boxes are in pixels of the file
        image = as_image(self.folder / self.names[row], whole=whole) if self.pack is None else self._unpacked(row)
        if self.boxes is None:
            return image
        try:
            return cut_to_box(image, self.boxes[row])
        except DataError as error:
            raise DataError(f"{self.names[row]}: {error}") from error

    def _unpacked(self, row: int) -> Image.Image:
        try:
            return as_image(self.content(row), whole=self.boxes is not None)
        except ImageError as error:
            raise ImageError(f"{self.names[row]} in {self.folder}: {error}") from error

    def readable(self, progress: bool = False) -> tuple[CaptionedPhotos, list[tuple[str, str]]]:
        """The readable photographs, and the names of the others with the reason; every file is decoded.

        Captions stay with their photographs. `progress` shows a bar.

        >>> kept, lost = photos.readable()  # doctest: +SKIP
        """
        kept, lost = [], []
        for row in tqdm(range(len(self)), desc="reading photographs", disable=not progress, mininterval=2):
            try:
                self.image(row)
            except (ImageError, DataError) as error:
                lost.append((self.names[row], str(error)))
            else:
                kept.append(row)
        return (self.take(kept) if lost else self), lost

    def fingerprint(self) -> str:
        """Eight hex digits of file names, sizes and boxes, which change if the photographs change."""
        sizes = self.pack.sizes if self.pack is not None else None
        lines = [f"{name} {_file_size(self.folder / name) if sizes is None else sizes[name]}" for name in self.names]
        if self.boxes is not None:
            lines = [f"{line} {box}" for line, box in zip(lines, self.boxes, strict=True)]
        return fingerprint(lines)


def cut_to_box(image: Image.Image, box: Box) -> Image.Image:
    """Crop a square around a box (left, top, width, height), 1.5 times its longer side, clipped to the picture.

    Xu et al. (2018) crop their birds this way. Raises DataError if nothing is left.

    >>> cut_to_box(Image.new("RGB", (100, 80)), (40, 30, 20, 10)).size
    (30, 30)
    """
    left, top, width, height = box
    reach = int(0.75 * max(width, height))
    x, y = int((2 * left + width) / 2), int((2 * top + height) / 2)
    edges = (max(0, x - reach), max(0, y - reach), min(image.width, x + reach), min(image.height, y + reach))
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise DataError(f"The box {box} is outside the picture of {image.width}×{image.height} pixels.")
    return image.crop(edges)


def pack_photos(photos: CaptionedPhotos, size: int, cache: str | Path) -> Tensor:
    """Return the photographs as (N,3,size,size) uint8, read once and cached in `cache` as one .npy file.

    The file name contains the photographs' fingerprint, so that other folders, splits and sizes never get the wrong
    pixels. An unreadable photograph raises DataError, because rows must match their captions;
    `CaptionedPhotos.readable` leaves out both.
    """
    path = Path(cache) / f"photos-{photos.fingerprint()}-{size}.npy"
    if not path.exists():
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            read = pool.map(lambda row: _read(photos, row, size), range(len(photos)))
            pixels = np.stack(list(tqdm(read, total=len(photos), desc=f"packing {size} px", mininterval=2)))
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
    """Cut one random `size` window from each picture of (B,3,H,W), and mirror half of them."""
    batch, _, height, width = pixels.shape
    top = torch.randint(height - size + 1, (batch,))
    left = torch.randint(width - size + 1, (batch,))
    rows = top[:, None] + torch.arange(size)
    columns = left[:, None] + torch.arange(size)
    columns = torch.where(torch.rand(batch, 1) < 0.5, columns.flip(1), columns)
    # Windows are drawn on the host, whatever the device, so that they depend only on the seed.
    index = torch.arange(batch)[:, None, None].to(pixels.device)
    rows, columns = rows.to(pixels.device), columns.to(pixels.device)
    return pixels.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"The photograph {path} cannot be read: {error.strerror}.") from error


def _read(photos: CaptionedPhotos, row: int, size: int) -> np.ndarray:
    try:
        image = photos.image(row)
    except ImageError as error:
        raise DataError(
            f"{error} Nothing was packed. `telephonegan data check` lists every photograph that cannot be read."
        ) from error
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
