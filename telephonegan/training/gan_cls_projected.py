"""Training the generator of GAN-CLS as the other GANs here: a projected discriminator and moment matching.

The networks that paint and the text embedding are those of `gan_cls`, so the two recipes compare how a GAN is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.data.photos import CaptionedPhotos, pack_photos
from telephonegan.matcher import Matcher
from telephonegan.networks.gan_cls import Generator
from telephonegan.training.distributed import share
from telephonegan.training.gan_cls import EmbeddedCaptions, OtherClasses, paint_shown
from telephonegan.training.projected import TINY, ProjectedGan, ProjectedSettings, twin_distance
from telephonegan.training.ranges import SHARE, SIZE, check_ranges

_SHOWN = 32


@dataclass(frozen=True)
class ProjectedGanClsSettings(ProjectedSettings):
    """What a run depends on; sizes in pixels."""

    size: int = 64
    channels: int = 64
    residual: bool = False
    noise_width: int = 100
    text_width: int = 128
    captions: int = 1  # the sentence is the mean of so many random captions of a photograph
    mismatched_weight: float = 0.5
    twins: float = 0.25  # share of a batch that repeats captions of the batch with other noise
    twin_distance: float = 0.6  # cosine distance up to which twins are pushed apart
    twin_weight: float = 3.0
    backbone_input: int = 64
    largest_input: int = 96
    head_width: int = 64
    moment_weight: float = 10.0
    moment_queue: int = 2048
    steps: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = dict.fromkeys(("size", "noise_width", "text_width", "captions"), SIZE)
        check_ranges(self, **sizes, mismatched_weight=SHARE, twin_distance=SHARE, twins=(0.0, 0.5))


PRESETS = {
    "projected": ProjectedGanClsSettings(),
    "projected-tiny": ProjectedGanClsSettings(channels=16, twins=0.0, **TINY),
}


class ProjectedGanClsRecipe(ProjectedGan):
    """One run; `state` holds everything a checkpoint needs."""

    def __init__(
        self,
        train: CaptionedPhotos,
        shown: CaptionedPhotos,
        matcher: Matcher,
        settings: ProjectedGanClsSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(settings, device)
        self.vocabulary = matcher.vocabulary
        self.text = EmbeddedCaptions(train.captions, matcher, self.device)
        self.shown = EmbeddedCaptions([captions[:1] for captions in shown.captions[:_SHOWN]], matcher, self.device)
        self.others = OtherClasses(train)
        self.photos = pack_photos(train, settings.size, cache).to(self.device)
        self.assemble(Generator(**self.network()), embedding_width=self.text.width)

    def network(self) -> dict[str, Any]:
        """The settings the generator is built from."""
        names = ("channels", "size", "noise_width", "text_width", "residual")
        return {name: getattr(self.settings, name) for name in names} | {"embedding_width": self.text.width}

    def step(self, step: int) -> dict[str, float]:
        settings = self.settings
        rows, real, noise = self.draw(settings.noise_width)
        sentences = share(self.text.draw(rows, settings.captions))
        mismatched = share(self.text.draw(self.others.draw(rows), settings.captions))
        twins = round(settings.twins * len(real))
        if twins:
            for each in (real, sentences, mismatched):
                each[-twins:] = each[:twins]
        return self.duel(
            step,
            real,
            lambda: self.paint(noise, sentences),
            lambda photographed, painted: self.discriminator_step(photographed, painted, sentences, mismatched),
            sentences,
            sameness=(lambda painted: self._sameness(painted, twins)) if twins else None,
        )

    def _sameness(self, painted: dict[int, Tensor], twins: int) -> Tensor:
        """How much nearer than `twin_distance` the pictures of one sentence are, by Lite0 features."""
        distance = twin_distance(painted[16].float().flatten(1), twins)
        return self.settings.twin_weight * F.relu(self.settings.twin_distance - distance).mean()

    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Paint a grid of the first 32 shown captions."""
        return paint_shown(self.average, self.shown.sentences.float(), folder / f"grid-{step:06d}.png")
