"""Batches as AttnGAN was trained on: epochs in random order, one caption of each photograph, and random crops.

Captions are sorted, the longest first. Crops follow Xu et al. (2018): the shorter side of a photograph is scaled to
76/64 of the largest size that is painted, one window is cut, half of the windows are mirrored, and each is scaled down
for the earlier stages. Threads read the photographs when they are needed: at 300 pixels a data set no longer fits into
memory, and storing squares would lose the aspect ratio.

All random numbers of a step follow from the seed of its random stream, so they are known a step ahead: the next batch
is read during the current step, and a resumed run still continues exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import SettingsError
from telephonegan.inference import derived_seed, random_generator
from telephonegan.text import Vocabulary, pad
from telephonegan.training.distributed import share

CENTRE = (0.5, 0.5, 0.5)


class Crops:
    """Random crops of photographs, read by `workers` threads; `sizes` in pixels, from small to large.

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
        """Start reading photographs by row, each with a window (N,3), see `cut`; pass the result to `wait`."""
        return [self._pool.submit(self._one, row, window) for row, window in zip(rows, windows.tolist(), strict=True)]

    @staticmethod
    def wait(reading: list[Future]) -> list[Tensor]:
        """Wait for pixels (N,3,S,S) uint8 of each size S. Raises ImageError or DataError for unreadable photographs."""
        return [torch.stack(pixels) for pixels in zip(*(each.result() for each in reading), strict=True)]

    def centres(self, rows: Sequence[int]) -> list[Tensor]:
        """The centre crop of each photograph, (N,3,S,S) uint8 for each size S, for evaluations."""
        return self.wait(self.begin(rows, torch.tensor(CENTRE).expand(len(rows), 3)))

    def _one(self, row: int, window: Sequence[float]) -> list[Tensor]:
        return cut(self.photos.image(row), self.sizes, window)


def cut(image: Image.Image, sizes: Sequence[int], window: Sequence[float]) -> list[Tensor]:
    """One window of a picture as (3,S,S) uint8 at every size; `sizes` from small to large.

    `window` is three numbers in [0,1): the position from top to bottom and from left to right, and a number below 0.5
    to mirror the window.

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


@dataclass(frozen=True)
class Batch:
    """Photographs with one caption each, the longest caption first.

    `rows` (B,) are their numbers in the split, `ids` (B,L) and `lengths` (B,) their captions. `same` (B,B) is True for
    two of one class, None if there are no classes. `pixels` has (B/processes,3,S,S) uint8 for each size S, from small
    to large: this process's share of the batch.
    """

    rows: Tensor
    ids: Tensor
    lengths: Tensor
    same: Tensor | None
    pixels: list[Tensor]


@dataclass(frozen=True)
class _Plan:
    rows: Tensor
    ids: Tensor
    lengths: Tensor
    reading: list[Future]


class Batches:
    """Batches of one training split: `per_epoch` full ones in each epoch, which leaves out a different rest each time.

    Raises SettingsError if the photographs do not fill one batch.
    """

    def __init__(
        self, photos: CaptionedPhotos, vocabulary: Vocabulary, crops: Crops, *, batch_size: int, words_limit: int
    ) -> None:
        self.batch_size, self.words_limit, self._crops = batch_size, words_limit, crops
        self.per_epoch = len(photos) // batch_size
        if not self.per_epoch:
            raise SettingsError(
                f"batch_size is {batch_size}, but there are only {len(photos)} photographs to train on."
            )
        self._number = len(photos)
        self._classes = None if photos.classes is None else torch.tensor(photos.classes)
        self._captions = [[known_ids(vocabulary, caption) for caption in captions] for captions in photos.captions]
        self._ahead: dict[tuple[int, int], _Plan] = {}

    def take(self, step: int, seed: int) -> Batch:
        """The batch of a step in the run with this seed. Starts reading the next batch."""
        plan = self._ahead.pop((seed, step), None) or self._planned(seed, step)
        self._ahead = {(seed, step + 1): self._planned(seed, step + 1)}
        classes = None if self._classes is None else self._classes[plan.rows]
        same = None if classes is None else classes[:, None] == classes
        return Batch(plan.rows, plan.ids, plan.lengths, same, self._crops.wait(plan.reading))

    def _planned(self, seed: int, step: int) -> _Plan:
        epoch, number = divmod(step, self.per_epoch)
        order = torch.randperm(self._number, generator=random_generator(derived_seed(seed, "epoch", epoch)))
        rows = order[number * self.batch_size : (number + 1) * self.batch_size]
        draws = random_generator(derived_seed(seed, "step", step))
        captions = [self._caption(row, draws) for row in rows.tolist()]
        windows = torch.rand(self.batch_size, 3, generator=draws)
        ids, lengths = pad(captions)
        longest_first = lengths.argsort(descending=True, stable=True)
        rows, ids, lengths, windows = (each[longest_first] for each in (rows, ids, lengths, windows))
        return _Plan(rows, ids, lengths, self._crops.begin(share(rows).tolist(), share(windows)))

    def _caption(self, row: int, draws: torch.Generator) -> list[int]:
        captions = self._captions[row]
        ids = captions[int(torch.randint(len(captions), (), generator=draws))]
        if len(ids) <= self.words_limit:
            return ids
        kept = torch.randperm(len(ids), generator=draws)[: self.words_limit].sort().values
        return [ids[place] for place in kept.tolist()]


def known_ids(vocabulary: Vocabulary, caption: list[str]) -> list[int]:
    """Ids of the known words of a caption; a single padding id if none is known."""
    return vocabulary.known_ids(caption, len(caption))
