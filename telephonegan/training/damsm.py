"""Training DAMSM: a text and an image encoder that score how well captions and pictures match.

Xu et al. (2018), section 3.2, with frozen EfficientNet-Lite features instead of Inception-v3. The same recipe with
another backbone trains the judge, because no network should be judged with the features it was trained against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from telephonegan.data.photos import CaptionedPhotos, pack_photos, random_crop, unit_range
from telephonegan.networks.backbone import Backbone
from telephonegan.networks.damsm import ImageEncoder, TextEncoder, damsm_loss, matching_features
from telephonegan.text import PAD, Vocabulary, pad
from telephonegan.training.devices import autocast, fetched, kept_on, taken
from telephonegan.training.distributed import average_gradients, gather, share
from telephonegan.training.features import cached
from telephonegan.training.ranges import COUNT, RATE, SHARE, SIZE, check_multiple, check_ranges


@dataclass(frozen=True)
class DamsmSettings:
    """Settings of a DAMSM run; sizes in pixels."""

    backbone: str = "lite0"
    picture_size: int = 64  # photographs are reduced to it: the size the generator paints
    input_size: int = 128  # of the backbone, enlarged from picture_size; a multiple of 32
    views: int = 6  # random crops of each photograph whose features are cached
    minimum_count: int = 3  # rarer words in the training captions are unknown
    words_limit: int = 20
    word_width: int = 300
    width: int = 256
    cell: str = "LSTM"  # or GRU
    fc_width: int = 0  # width of a linear layer between word embeddings and recurrent network; 0 for none
    dropout: float = 0.5
    image_dropout: float = 0.2
    word_drop: float = 0.1  # share of a caption's words left out at random
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    steps: int = 3600

    def __post_init__(self) -> None:
        check_multiple("input_size", self.input_size, 32)
        check_ranges(
            self,
            **dict.fromkeys(("picture_size", "input_size", "word_width", "width"), SIZE),
            **dict.fromkeys(("views", "minimum_count", "words_limit", "steps"), COUNT),
            **dict.fromkeys(("dropout", "image_dropout", "word_drop"), SHARE),
            fc_width=(0, SIZE[1]),
            batch_size=(1, 10_000),
            learning_rate=RATE,
        )


PRESETS = {
    "cpu": DamsmSettings(),
    "gpu": DamsmSettings(picture_size=128, input_size=256, batch_size=128),
    # For `telephonegan train world`, and its judge.
    "world": DamsmSettings(picture_size=128, steps=1500),
    "world-judge": DamsmSettings(picture_size=128, backbone="lite2", input_size=160, views=4, steps=1500),
    "tiny": DamsmSettings(
        picture_size=32,
        input_size=64,
        views=2,
        minimum_count=1,
        word_width=64,
        width=64,
        word_drop=0.0,
        dropout=0.1,
        learning_rate=4e-3,
        steps=250,
    ),
}


class FeatureBank:
    """Cached region and pooled features of several views of each photograph; view 0 is the whole picture."""

    def __init__(
        self,
        photos: CaptionedPhotos,
        settings: DamsmSettings,
        cache: Path,
        *,
        views: int,
        device: str | torch.device = "cpu",
    ) -> None:
        self.photos, self.settings, self.cache, self.device = photos, settings, cache, torch.device(device)
        backbone = Backbone(settings.backbone).to(self.device, memory_format=torch.channels_last)
        side = settings.input_size // 16
        self.region_channels = backbone.channels[16] + backbone.channels[32]
        self.region_size = (self.region_channels, side, side)
        path = cache / f"{settings.backbone}-{settings.picture_size}-{settings.input_size}"
        path = path.with_name(f"{path.name}-{photos.fingerprint()}")
        self.views = [
            cached(
                f"{path}-view{view}.npy",
                lambda v=view: self._pixels(v).split(64),
                lambda batch: flat_features(backbone, unit_range(batch.to(self.device)), settings.input_size),
            )
            for view in range(views)
        ]
        self.near = kept_on(self.device, self.views)

    def _pixels(self, view: int) -> Tensor:
        size = self.settings.picture_size
        if view == 0:
            return pack_photos(self.photos, size, self.cache)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(view)
            return random_crop(pack_photos(self.photos, size * 9 // 8, self.cache), size)

    def __getitem__(self, index: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(B,) views and (B,) photographs, on the CPU → regions (B,C,h,w), pooled (B,P), float32 on the device."""
        rows = taken(self.views, self.near, index, self.device).float()
        regions = rows[:, : -self.pooled_channels].unflatten(1, self.region_size)
        return regions, rows[:, -self.pooled_channels :]

    @property
    def pooled_channels(self) -> int:
        return self.views[0].shape[1] - self.region_channels * self.region_size[1] ** 2


def flat_features(backbone: Backbone, images: Tensor, input_size: int) -> Tensor:
    """`matching_features` as one row per picture, computed in bfloat16 where the device has it."""
    with autocast(images.device):
        regions, pooled = matching_features(backbone, images, input_size)
    return torch.cat([regions.flatten(1), pooled], dim=1)


class DamsmRecipe:
    """A DAMSM run on a training and a development split."""

    def __init__(
        self,
        train: CaptionedPhotos,
        dev: CaptionedPhotos,
        settings: DamsmSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        self.settings, self.train, self.dev, self.device = settings, train, dev, torch.device(device)
        self.batch_size = settings.batch_size
        sentences = [caption for captions in train.captions for caption in captions]
        self.vocabulary = Vocabulary.build(sentences, minimum=settings.minimum_count, specials=(PAD,))
        self.bank = FeatureBank(train, settings, cache, views=settings.views, device=self.device)
        self.dev_bank = FeatureBank(dev, settings, cache, views=1, device=self.device)
        self.text = TextEncoder(len(self.vocabulary), **self._text_network())
        self.image = ImageEncoder(self.bank.region_channels, self.bank.pooled_channels, settings.width)
        self.dropout = nn.Dropout(settings.image_dropout)
        self.text.to(self.device), self.image.to(self.device)
        self.parameters = [*self.text.parameters(), *self.image.parameters()]
        self.optimiser = torch.optim.AdamW(
            self.parameters, settings.learning_rate, (0.9, 0.999), weight_decay=settings.weight_decay
        )
        self.ids = [[self._known(caption) for caption in captions] for captions in train.captions]
        self.dev_ids = [self._known(captions[0]) for captions in dev.captions]

    def _known(self, caption: list[str]) -> list[int]:
        return self.vocabulary.known_ids(caption, self.settings.words_limit)

    def state(self) -> dict[str, Any]:
        return {"text_encoder": self.text, "image_encoder": self.image, "optimiser": self.optimiser}

    def step(self, step: int) -> dict[str, float]:
        photos = torch.randint(len(self.train), (self.batch_size,))
        captions = [self._thinned(self.ids[i][torch.randint(len(self.ids[i]), ()).item()]) for i in photos.tolist()]
        views = torch.randint(self.settings.views, (self.batch_size,))
        ids, lengths = pad(captions)
        regions, pooled = self.bank[share(views), share(photos)]
        self.text.train(), self.image.train()
        with autocast(self.device):
            with autocast(self.device, recurrent=True):
                words, sentences = self.text(share(ids).to(self.device), share(lengths), width=ids.shape[1])
            regions, codes = self.image(self.dropout(regions), self.dropout(pooled))
            same = (photos[:, None] == photos[None]).to(self.device)
            # Every text is compared with every picture of the batch, also those of other processes.
            word_loss, sentence_loss = damsm_loss(
                gather(regions),
                gather(codes).float(),
                gather(words),
                gather(sentences).float(),
                lengths.to(self.device),
                same=same,
            )
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * cosine_decay(step, self.settings.steps)
        self.optimiser.zero_grad(set_to_none=True)
        (word_loss + sentence_loss).backward()
        average_gradients(self.parameters)
        nn.utils.clip_grad_norm_(self.text.parameters(), 0.25)
        self.optimiser.step()
        return fetched({"word_loss": word_loss, "sentence_loss": sentence_loss})

    def _thinned(self, ids: list[int]) -> list[int]:
        keep = (torch.rand(len(ids)) >= self.settings.word_drop).tolist()
        return [i for i, kept in zip(ids, keep, strict=True) if kept] or ids

    @torch.no_grad()
    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """R-precision and mean losses of the development split, both in groups of up to 100 photographs."""
        from telephonegan.evaluation.matching import r_precision

        self.text.eval(), self.image.eval()
        photos = torch.arange(len(self.dev))
        regions, pooled = self.dev_bank[torch.zeros_like(photos), photos]
        ids, lengths = pad(self.dev_ids)
        lengths = lengths.to(self.device)
        words, sentences = self.text(ids.to(self.device), lengths)
        _, codes = self.image(regions, pooled)
        n = len(photos)
        precision = r_precision(codes.cpu().numpy(), sentences.cpu().numpy(), candidates=min(100, n), folds=min(10, n))
        losses = [
            damsm_loss(
                *self.image(regions[part], pooled[part]),
                words[part][:, :, : lengths[part].max()],
                sentences[part],
                lengths[part],
            )
            for part in photos.split(100)
        ]
        word_loss, sentence_loss = torch.tensor(losses).mean(0).tolist()
        return {"r_precision": precision.mean, "word_loss": word_loss, "sentence_loss": sentence_loss}

    def _text_network(self) -> dict[str, Any]:
        settings = self.settings
        plain = {"word_width": settings.word_width, "width": settings.width, "dropout": settings.dropout}
        return plain | {"cell": settings.cell, "fc_width": settings.fc_width or None}

    def network(self) -> dict[str, Any]:
        """The settings from which both encoders are built."""
        settings = self.settings
        return {
            "text": self._text_network(),
            "image": {
                "region_channels": self.bank.region_channels,
                "code_channels": self.bank.pooled_channels,
                "width": settings.width,
            },
        }


def cosine_decay(step: int, steps: int, *, warm_up: int = 100, floor: float = 0.02) -> float:
    """Learning-rate factor: linear warm-up over at most a tenth of the run, then a half cosine down to `floor`."""
    warm_up = min(warm_up, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    progress = min(1.0, (step - warm_up) / max(1, steps - warm_up))
    return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2
