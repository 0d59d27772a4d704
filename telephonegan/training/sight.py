"""The backbone features a captioner is trained on: cached ones of a frozen backbone, or of one that is fine-tuned.

Vinyals et al., "Show and Tell: Lessons learned from the 2015 MSCOCO Image Captioning Challenge" (2016): fine-tune the
image network at a low learning rate once the decoder is trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.data.photos import CaptionedPhotos, pack_photos, random_crop, unit_range
from telephonegan.networks.backbone import Backbone
from telephonegan.networks.captioner import CaptionModel
from telephonegan.training.augment import brightness, contrast, saturation
from telephonegan.training.devices import autocast, kept_on, sent, taken
from telephonegan.training.distributed import share
from telephonegan.training.features import cached


class ViewSettings(Protocol):
    """The part of `CaptioningSettings` that describes views of photographs; sizes in pixels."""

    input_size: int
    stored_size: int
    small_size: int
    tuned_stages: int
    disturbed: float
    small: float


class Sight(Protocol):
    """Turns photographs into cells (B,N,F), float32 on the device."""

    def draw(self, model: CaptionModel, photos: Tensor) -> Tensor:
        """Cells of this process's share of training photographs (B,), each in a random view."""

    def measured(self, model: CaptionModel, rows: Tensor) -> Tensor:
        """Cells of development photographs, unaugmented."""


class CellBank:
    """Cached backbone cells of several views of each photograph: (photographs, cells, channels) in half precision."""

    def __init__(
        self,
        photos: CaptionedPhotos,
        settings: ViewSettings,
        cache: Path,
        views: list[str],
        device: str | torch.device = "cpu",
    ) -> None:
        self.photos, self.settings, self.cache, self.device = photos, settings, cache, torch.device(device)
        backbone = Backbone("lite0").to(self.device, memory_format=torch.channels_last)
        stem = f"lite0-cells-{settings.input_size}-{photos.fingerprint()}"
        self.views = [
            cached(
                cache / f"{stem}-{view}-{self._size(view)}.npy",
                lambda v=view: self._pixels(v).split(32),
                lambda batch: self._cells(backbone, batch),
            )
            for view in views
        ]
        self.near = kept_on(self.device, self.views)

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
        with autocast(self.device):
            grid = backbone.grid(enlarged(unit_range(pixels.to(self.device)), self.settings.input_size))
        return grid.flatten(2).transpose(1, 2)

    def __getitem__(self, index: tuple[Tensor, Tensor]) -> Tensor:
        """(B,) views and (B,) photographs, on the CPU → cells (B,N,F), float32 on the device."""
        return taken(self.views, self.near, index, self.device).float()


class FrozenSight:
    """A frozen backbone: the cells of four views of every photograph are computed once."""

    odds = torch.tensor([0.35, 0.25, 0.15, 0.25])

    def __init__(
        self, train: CaptionedPhotos, dev: CaptionedPhotos, settings: ViewSettings, cache: Path, device: torch.device
    ) -> None:
        self.bank = CellBank(train, settings, cache, ["plain", "mirrored", "small", "crop"], device)
        self.dev_bank = CellBank(dev, settings, cache, ["plain"], device)

    def draw(self, model: CaptionModel, photos: Tensor) -> Tensor:
        views = torch.multinomial(self.odds, len(photos), replacement=True)
        return self.bank[share(views), share(photos)]

    def measured(self, model: CaptionModel, rows: Tensor) -> Tensor:
        return self.dev_bank[torch.zeros_like(rows), rows]


class TunedSight:
    """A backbone whose last stages are trained: every photograph is augmented anew each time.

    Augmentations are crops, mirroring, colours and, now and then, a very low resolution. Gradients reach the model's
    `tail`, the backbone's last stages.
    """

    def __init__(
        self, train: CaptionedPhotos, dev: CaptionedPhotos, settings: ViewSettings, cache: Path, device: torch.device
    ) -> None:
        self.settings, self.device = settings, device
        self.backbone = Backbone("lite0").to(device, memory_format=torch.channels_last)
        self.photos = pack_photos(train, settings.stored_size, cache).to(device)
        self.dev_photos = pack_photos(dev, settings.stored_size, cache).to(device)

    def draw(self, model: CaptionModel, photos: Tensor) -> Tensor:
        return self.cells(model, share(self.disturb(unit_range(self.photos[sent(photos, self.device)]))))

    @torch.no_grad()
    def measured(self, model: CaptionModel, rows: Tensor) -> Tensor:
        return self.cells(model, unit_range(self.dev_photos[sent(rows, self.device)]))

    def disturb(self, images: Tensor) -> Tensor:
        """Augment photographs (B,3,H,W), with one crop size and one resolution for the batch."""
        settings, size = self.settings, images.shape[-1]
        images = random_crop(images, torch.randint(size * 3 // 4, size + 1, ()).item())
        if torch.rand(()) < settings.disturbed:
            images = contrast(saturation(brightness(images))).clamp(-1, 1)
        if torch.rand(()) < settings.small:
            images = F.interpolate(images, size=(settings.small_size,) * 2, mode="area")
        return images

    def cells(self, model: CaptionModel, images: Tensor) -> Tensor:
        """Pictures (B,3,H,W) in [-1,1] → cells (B,N,F) for `model`."""
        with autocast(self.device):
            with torch.no_grad():
                pixels = enlarged(images.to(self.device), self.settings.input_size)
                front = self.backbone.front(pixels, self.settings.tuned_stages)
            return model.cells(front).float()


def enlarged(images: Tensor, size: int) -> Tensor:
    """Pictures (B,3,H,W) in [-1,1] at the backbone's input size, in its memory layout."""
    images = F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False).clamp(-1, 1)
    return images.contiguous(memory_format=torch.channels_last)
