"""Batches as AttnGAN was trained on: epochs in random order, one caption of each photograph, the longest first.

Everything a step draws here follows from the seed of its random stream and is known a step ahead: threads read the next
batch during the current step, and a resumed run still continues exactly.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

import torch
from torch import Tensor

from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import SettingsError
from telephonegan.inference import derived_seed, random_generator
from telephonegan.text import Vocabulary, pad
from telephonegan.training.crops import Crops
from telephonegan.training.distributed import share


@dataclass(frozen=True)
class Batch:
    """Photographs by row with one caption each, longest caption first; pixels are this process's share of them.

    rows (B,), ids (B,L), lengths (B,), same (B,B) True where two are of one class, or None where no two can be;
    pixels (B/processes,3,S,S) uint8 for each size S, from small to large.
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
    """Batches of one training split; `per_epoch` full ones in each epoch, what is left over waits for another.

    Raises SettingsError when the photographs do not fill one batch.
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

    def take(self, step: int) -> Batch:
        """The batch of a step, while torch's random stream is seeded for it; the next one is begun."""
        run = torch.initial_seed() - step  # the loop seeds each step with its number added to the run's
        plan = self._ahead.pop((run, step), None) or self._planned(run, step)
        self._ahead = {(run, step + 1): self._planned(run, step + 1)}
        classes = None if self._classes is None else self._classes[plan.rows]
        same = None if classes is None else classes[:, None] == classes
        return Batch(plan.rows, plan.ids, plan.lengths, same, self._crops.wait(plan.reading))

    def _planned(self, run: int, step: int) -> _Plan:
        epoch, number = divmod(step, self.per_epoch)
        order = torch.randperm(self._number, generator=random_generator(derived_seed(run, "epoch", epoch)))
        rows = order[number * self.batch_size : (number + 1) * self.batch_size]
        draws = random_generator(derived_seed(run, "step", step))
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
    """Ids of all known words of a caption; a single padding id if none is known."""
    return vocabulary.known_ids(caption, len(caption))
