"""Training a generator without text on a folder of photographs, in about an hour on one CPU core at 64 pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from telephonegan.data.photos import CaptionedPhotos, pack_photos
from telephonegan.images import contact_sheet
from telephonegan.networks.attngan import initialise
from telephonegan.networks.free import FreeGenerator
from telephonegan.text import Vocabulary
from telephonegan.training.projected import TINY, ProjectedGan, ProjectedSettings
from telephonegan.training.ranges import SIZE, check_ranges

_SHOWN = 64


@dataclass(frozen=True)
class FreeSettings(ProjectedSettings):
    """What a run depends on; sizes in pixels. It has no schedule."""

    size: int = 64
    noise_width: int = 100
    backbone_input: int = 64
    largest_input: int = 96
    head_width: int = 64
    ema_half_life: int = 20_000
    moment_weight: float = 10.0
    moment_queue: int = 2048
    steps: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, size=SIZE, noise_width=SIZE)


PRESETS = {
    "cpu": FreeSettings(),
    "tiny": FreeSettings(channels=8, noise_width=16, **TINY),
    "gpu": replace(FreeSettings(), backbone_input=128, largest_input=224, channels=64, batch_size=64, steps=100_000),
}


class FreeRecipe(ProjectedGan):
    """One run; `state` holds everything a checkpoint needs. Captions of the photographs are not used."""

    def __init__(
        self,
        train: CaptionedPhotos,
        shown: CaptionedPhotos,
        settings: FreeSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(settings, device)
        self.vocabulary = Vocabulary([])
        generator = FreeGenerator(**self.network())
        initialise(generator)
        self.photos = pack_photos(train, settings.size, cache).to(self.device)
        self.assemble(generator, embedding_width=0)

    def network(self) -> dict[str, Any]:
        """The settings the generator is built from."""
        return {name: getattr(self.settings, name) for name in ("channels", "size", "noise_width")}

    def step(self, step: int) -> dict[str, float]:
        _, real, noise = self.draw(self.settings.noise_width)
        return self.duel(step, real, lambda: self.paint(noise), self.discriminator_step)

    @torch.no_grad()
    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Paint a grid of pictures, of the same noise each time."""
        noise = torch.randn(_SHOWN, self.settings.noise_width, generator=torch.Generator().manual_seed(0))
        images = self.average(noise.to(self.device))
        contact_sheet(images).save(folder / f"grid-{step:06d}.png")
        return {"contrast": images.std().item()}
