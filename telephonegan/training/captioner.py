"""Training a captioner on features of a frozen backbone, kept on disk.

Xu et al., "Show, Attend and Tell" (2015) and Vinyals et al., "Show and Tell" (2015): cross-entropy with teacher
forcing, here with label smoothing, an average of the weights, and views of every photograph: plain, mirrored, and one
seen through the generator's picture size, because in the game the captioner looks at painted pictures.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from telephonegan.models.backbone import Backbone
from telephonegan.models.captioner import CaptionModel
from telephonegan.models.decoding import Markers, beam
from telephonegan.text import END, START, UNKNOWN, Vocabulary, pad
from telephonegan.training.average import follow
from telephonegan.training.damsm import cosine_decay
from telephonegan.training.data import CaptionedPhotos, pack_photos, random_crop, unit_range
from telephonegan.training.features import cached


@dataclass(frozen=True)
class CaptionerSettings:
    """What a captioner run depends on; sizes in pixels."""

    attention: bool = True
    input_size: int = 256
    stored_size: int = 208
    small_size: int = 64
    minimum_count: int = 4
    words_limit: int = 20
    embedding_width: int = 256
    hidden_width: int = 512
    dropout: float = 0.5
    label_smoothing: float = 0.1
    photos_per_batch: int = 20
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    average_from: float = 0.5  # share of the run after which the weights are averaged
    length_power: float = 0.7
    steps: int = 3000  # 300 steps see every caption once


class CellBank:
    """Backbone cells of several views of each photograph, (photographs, cells, channels) in half precision."""

    def __init__(self, photos: CaptionedPhotos, settings: CaptionerSettings, cache: Path, views: list[str]) -> None:
        self.photos, self.settings, self.cache = photos, settings, cache
        backbone = Backbone("lite0").to(memory_format=torch.channels_last)
        stem = f"lite0-cells-{settings.input_size}-{photos.fingerprint()}"
        self.views = [
            cached(
                cache / f"{stem}-{view}-{self._size(view)}.npy",
                lambda v=view: self._pixels(v).split(32),
                lambda batch: self._cells(backbone, batch),
            )
            for view in views
        ]

    def _size(self, view: str) -> int:
        return self.settings.small_size if view == "small" else self.settings.stored_size

    def _pixels(self, view: str) -> Tensor:
        size = self._size(view)
        photos = pack_photos(self.photos, size, self.cache)
        if view == "mirrored":
            return photos.flip(3)
        if view != "crop":
            return photos
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return random_crop(photos, size * 7 // 8)

    def _cells(self, backbone: Backbone, pixels: Tensor) -> Tensor:
        size = (self.settings.input_size,) * 2
        enlarged = F.interpolate(unit_range(pixels), size=size, mode="bicubic", align_corners=False).clamp(-1, 1)
        with torch.autocast("cpu", torch.bfloat16):
            grid = backbone.grid(enlarged.contiguous(memory_format=torch.channels_last))
        return grid.flatten(2).transpose(1, 2)

    def __getitem__(self, index: tuple[Tensor, Tensor]) -> Tensor:
        """(B,) views and (B,) photographs → cells (B,N,F)."""
        return torch.stack([self.views[v][p] for v, p in zip(*(i.tolist() for i in index), strict=True)]).float()


class CaptionerRecipe:
    """One captioner run over a training and a development split."""

    def __init__(self, train: CaptionedPhotos, dev: CaptionedPhotos, settings: CaptionerSettings, cache: Path) -> None:
        self.settings, self.train, self.dev = settings, train, dev
        sentences = [caption for captions in train.captions for caption in captions]
        self.vocabulary = Vocabulary.build(sentences, minimum=settings.minimum_count)
        self.markers = Markers.of(self.vocabulary)
        self.bank = CellBank(train, settings, cache, ["plain", "mirrored", "small", "crop"])
        self.dev_bank = CellBank(dev, settings, cache, ["plain"])
        self.view_odds = torch.tensor([0.35, 0.25, 0.15, 0.25])
        self.model = CaptionModel(len(self.vocabulary), **self.network())
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.ids = [[self._ids(caption) for caption in captions] for captions in train.captions]
        self.batch_size = settings.photos_per_batch

    def _ids(self, caption: list[str]) -> list[int]:
        ids = self.vocabulary.ids
        return [ids[START], *(ids.get(word, ids[UNKNOWN]) for word in caption[: self.settings.words_limit]), ids[END]]

    def network(self) -> dict[str, Any]:
        """The settings `CaptionModel` is built from."""
        settings = self.settings
        return {
            "attention": settings.attention,
            "embedding_width": settings.embedding_width,
            "hidden_width": settings.hidden_width,
            "dropout": settings.dropout,
        }

    def state(self) -> dict[str, Any]:
        return {"model": self.model, "average": self.average, "optimiser": self.optimiser}

    def step(self, step: int) -> dict[str, float]:
        settings = self.settings
        photos = torch.randint(len(self.train), (settings.photos_per_batch,))
        views = torch.multinomial(self.view_odds, len(photos), replacement=True)
        cells = self.bank[views, photos]
        captions = [(caption, row) for row, photo in enumerate(photos.tolist()) for caption in self.ids[photo]]
        captions.sort(key=lambda pair: -len(pair[0]))
        ids, lengths = pad([caption for caption, _ in captions])
        owners = torch.tensor([row for _, row in captions])
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model.packed_logits(cells, owners, ids[:, :-1], lengths - 1)
        target = pack_padded_sequence(ids[:, 1:], lengths - 1, batch_first=True).data
        loss = F.cross_entropy(logits.float(), target, label_smoothing=settings.label_smoothing)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * cosine_decay(step, settings.steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        settled = step > settings.average_from * settings.steps
        follow(self.average, self.model, 0.998 if settled else 0.0)
        return {"loss": loss.item()}

    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Scores of beam-3 captions of the development photographs."""
        from telephonegan.evaluation.captions import caption_scores

        rows = torch.arange(len(self.dev))
        said = []
        for part in rows.split(100):
            features = self.average.features(self.dev_bank[torch.zeros_like(part), part])
            said += [
                self.vocabulary.decode(best[0].ids)
                for best in beam(
                    self.average.decoder,
                    features,
                    self.markers,
                    limit=self.settings.words_limit,
                    length_power=self.settings.length_power,
                )
            ]
        (folder / f"captions-{step:06d}.txt").write_text(
            "\n".join(f"{name}\t{' '.join(words)}" for name, words in zip(self.dev.names, said, strict=True)),
            encoding="utf-8",
        )
        return caption_scores(said, self.dev.captions)
