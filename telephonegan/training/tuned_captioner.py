"""Training a captioner together with the last stages of its backbone, after a run on frozen features.

Vinyals et al., "Show and Tell: Lessons learned from the 2015 MSCOCO Image Captioning Challenge" (2016): the picture's
network is tuned at a low rate once the words are learned. Every photograph is seen anew each time: cropped, mirrored,
its colours disturbed, and now and then through a generator's small picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan.models.backbone import Backbone
from telephonegan.models.captioner import CaptionModel
from telephonegan.training import distributed
from telephonegan.training.augment import brightness, contrast, saturation
from telephonegan.training.captioner import CaptionerRecipe, CaptionerSettings
from telephonegan.training.data import pack_photos, random_crop, unit_range
from telephonegan.training.ranges import RATE, SHARE, check_ranges


@dataclass(frozen=True)
class TunedSettings(CaptionerSettings):
    """What a run that tunes the backbone too depends on."""

    learning_rate: float = 5e-4
    average_from: float = 0.2
    tuned_stages: int = 2  # of the backbone's seven, the last ones
    backbone_rate: float = 1e-4
    disturbed: float = 0.5  # share of the batches whose colours are changed
    small: float = 0.15  # share of the batches seen through `small_size` pixels
    steps: int = 2500

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, tuned_stages=(1, 3), backbone_rate=RATE, disturbed=SHARE, small=SHARE)


PRESETS = {"tuned": TunedSettings()}


class TunedCaptionerRecipe(CaptionerRecipe):
    """One run over a training and a development split, best begun `--from` a captioner's run."""

    settings: TunedSettings

    def look(self, cache: Path) -> None:
        settings = self.settings
        self.backbone = Backbone("lite0").to(self.device, memory_format=torch.channels_last)
        self.photos = pack_photos(self.train, settings.stored_size, cache)
        self.dev_photos = pack_photos(self.dev, settings.stored_size, cache)

    def network(self) -> dict[str, Any]:
        return {**super().network(), "tuned_stages": self.settings.tuned_stages}

    def new_model(self) -> CaptionModel:
        model = super().new_model()
        model.tail.load_state_dict(self.backbone.tail(self.settings.tuned_stages).state_dict())
        return model

    def parameter_groups(self) -> list[tuple[list[nn.Parameter], float]]:
        tail = list(self.model.tail.parameters())
        decoder = [p for name, p in self.model.named_parameters() if not name.startswith("tail.")]
        return [(decoder, self.settings.learning_rate), (tail, self.settings.backbone_rate)]

    def draw(self) -> tuple[list[int], Tensor]:
        photos = torch.randint(len(self.train), (self.batch_size,))
        images = self.disturb(unit_range(self.photos[photos]))
        photos, images = distributed.share(photos), distributed.share(images)
        return photos.tolist(), self.cells(self.model, images)

    def disturb(self, images: Tensor) -> Tensor:
        """A new view of every photograph (B,3,H,W): one crop size, colours and resolution for the batch."""
        settings, size = self.settings, images.shape[-1]
        images = random_crop(images, torch.randint(size * 3 // 4, size + 1, ()).item())
        if torch.rand(()) < settings.disturbed:
            images = contrast(saturation(brightness(images))).clamp(-1, 1)
        if torch.rand(()) < settings.small:
            images = F.interpolate(images, size=(settings.small_size,) * 2, mode="area")
        return images

    def cells(self, model: CaptionModel, images: Tensor) -> Tensor:
        """Pictures (B,3,H,W) in [-1,1] → the cells (B,N,F) that `model` sees."""
        size = (self.settings.input_size,) * 2
        enlarged = F.interpolate(images.to(self.device), size=size, mode="bicubic", align_corners=False).clamp(-1, 1)
        with torch.autocast(self.device.type, torch.bfloat16):
            with torch.no_grad():
                front = self.backbone.front(
                    enlarged.contiguous(memory_format=torch.channels_last), self.settings.tuned_stages
                )
            return model.cells(front).float()

    @torch.no_grad()
    def dev_cells(self, rows: Tensor) -> Tensor:
        return self.cells(self.average, unit_range(self.dev_photos[rows]))
