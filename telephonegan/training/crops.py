"""Random crops of photographs at every size a network paints, as AttnGAN was trained on.

Xu et al. (2018): the shorter side is scaled to 76/64 of the largest size, one window is cut, half of them are mirrored,
and the window itself is scaled down for the earlier stages. Threads read the files when they are wanted: at 300 pixels
a data set no longer fits into memory, and a square stand-in would not keep the sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import SettingsError

CENTRE = (0.5, 0.5, 0.5)


class Crops:
    """Windows of photographs, read by `workers` threads; `sizes` in pixels from small to large.

    >>> crops = Crops(photos, (64, 128, 256), workers=4)  # doctest: +SKIP
    >>> [pictures.shape for pictures in crops.wait(crops.begin([5, 2], torch.rand(2, 3)))]  # doctest: +SKIP
    [torch.Size([2, 3, 64, 64]), torch.Size([2, 3, 128, 128]), torch.Size([2, 3, 256, 256])]
    """

    def __init__(self, photos: CaptionedPhotos, sizes: Sequence[int], *, workers: int) -> None:
        if workers < 1:
            raise SettingsError(f"workers must be at least 1 thread; {workers} was given.")
        self.photos, self.sizes = photos, tuple(sizes)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="crops")

    def begin(self, rows: Sequence[int], windows: Tensor) -> list[Future]:
        """Begin to read photographs by row, each with its window (N,3), see `cut`; `wait` gives them."""
        return [self._pool.submit(self._one, row, window) for row, window in zip(rows, windows.tolist(), strict=True)]

    @staticmethod
    def wait(reading: list[Future]) -> list[Tensor]:
        """Pixels (N,3,S,S) uint8 for each size S. Raises ImageError or DataError for an unreadable photograph."""
        return [torch.stack(pixels) for pixels in zip(*(each.result() for each in reading), strict=True)]

    def centres(self, rows: Sequence[int]) -> list[Tensor]:
        """The middle of each photograph (N,3,S,S) uint8 for each size S, for measuring."""
        return self.wait(self.begin(rows, torch.tensor(CENTRE).expand(len(rows), 3)))

    def _one(self, row: int, window: Sequence[float]) -> list[Tensor]:
        return cut(self.photos.image(row), self.sizes, window)


def cut(image: Image.Image, sizes: Sequence[int], window: Sequence[float]) -> list[Tensor]:
    """One window of a picture at every size (3,S,S) uint8; `sizes` from small to large.

    `window` is three numbers in [0,1): how far down and how far to the right the window lies, and whether it is
    mirrored, below a half.

    >>> [pixels.shape for pixels in cut(Image.new("RGB", (40, 30)), (8, 16), CENTRE)]
    [torch.Size([3, 8, 8]), torch.Size([3, 16, 16])]
    """
    size = sizes[-1]
    shorter = size * 76 // 64
    longer = int(shorter * max(image.size) / min(image.size))
    wide = image.width > image.height
    scaled = image.resize((longer, shorter) if wide else (shorter, longer), Image.Resampling.BILINEAR)
    down, right, mirror = window
    top, left = int(down * (scaled.height - size + 1)), int(right * (scaled.width - size + 1))
    part = scaled.crop((left, top, left + size, top + size))
    if mirror < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    smaller = [part.resize((each, each), Image.Resampling.BILINEAR) for each in sizes[:-1]]
    return [torch.from_numpy(np.array(each)).permute(2, 0, 1) for each in (*smaller, part)]
