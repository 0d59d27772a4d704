"""Photographs of several data folders as one set, with or without captions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from telephonegan.data.folder import split_by_name
from telephonegan.data.layouts import open_photographs
from telephonegan.data.photos import CaptionedPhotos, fingerprint, pack_photos
from telephonegan.errors import DataError


@dataclass(frozen=True)
class JoinedPhotos:
    """Photographs of one split of several folders, in the order of the folders."""

    parts: tuple[CaptionedPhotos, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def image(self, row: int) -> Image.Image:
        """One photograph; rows count through all folders. Raises ImageError or DataError if unreadable."""
        ends = list(accumulate(map(len, self.parts)))
        part = bisect_right(ends, row)
        return self.parts[part].image(row - ends[part] + len(self.parts[part]))

    def fingerprint(self) -> str:
        """Eight hex digits that change if the photographs change."""
        return fingerprint([part.fingerprint() for part in self.parts])

    def pixels(self, size: int, cache: str | Path) -> Tensor:
        """(N,3,size,size) uint8, each folder cached on its own, see `pack_photos`."""
        packed = [pack_photos(part, size, cache) for part in self.parts]
        return packed[0] if len(packed) == 1 else torch.cat(packed)


def join_photographs(folders: Sequence[str | Path], split: str) -> JoinedPhotos:
    """One split ("train", "dev", "test") of each folder, and with it the photographs that have no caption.

    Those are divided by their names: a tenth is dev, another tenth test. Raises DataError for a folder without
    photographs, and if all photographs are in other splits.

    >>> len(join_photographs(["flickr8k", "fashion"], "train"))  # doctest: +SKIP
    13632
    """
    found = tuple(part for part in (_photographs(folder, split) for folder in folders) if len(part))
    if not found:
        raise DataError(f"{' and '.join(map(str, folders))} have no {split} photographs. Give more photographs.")
    return JoinedPhotos(found)


def _photographs(folder: str | Path, split: str) -> CaptionedPhotos:
    data = open_photographs(folder)
    names = list(data.splits.get(split, ()))
    if data.captions:
        listed = {name for names in data.splits.values() for name in names}
        names += [name for name in data.uncaptioned() if name not in listed and split_by_name(name) == split]
    return data.rows(names)
