"""What a captioner in training sees: cells of a frozen backbone kept on disk, or of one whose last stages learn too.

Vinyals et al., "Show and Tell: Lessons learned from the 2015 MSCOCO Image Captioning Challenge" (2016): the picture's
network is tuned at a low rate once the words are learned.
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
    """What a captioner's settings say of its views, see `CaptioningSettings`; sizes in pixels."""

    input_size: int
    stored_size: int
    small_size: int
    tuned_stages: int
    disturbed: float
    small: float


class Sight(Protocol):
    """How photographs become cells (B,N,F), float32 on the device."""

    def draw(self, model: CaptionModel, photos: Tensor) -> Tensor:
        """This process's share of training photographs (B,), each in a random view."""

    def measured(self, model: CaptionModel, rows: Tensor) -> Tensor:
        """Development photographs as they are."""


class CellBank:
    """Backbone cells of several views of each photograph, (photographs, cells, channels) in half precision on disk."""

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
        """(B,) views and (B,) photographs, on the host → cells (B,N,F), float32 on the device."""
        return taken(self.views, self.near, index, self.device).float()


class FrozenSight:
    """Four views of every photograph, seen once."""

    odds = torch.tensor([0.35, 0.25, 0.15, 0.25])

    def __init__(
        self,
        train: CaptionedPhotos,
        dev: CaptionedPhotos,
        settings: ViewSettings,
        cache: Path,
        device: torch.device,
    ) -> None:
        self.bank = CellBank(train, settings, cache, ["plain", "mirrored", "small", "crop"], device)
        self.dev_bank = CellBank(dev, settings, cache, ["plain"], device)

    def draw(self, model: CaptionModel, photos: Tensor) -> Tensor:
        views = torch.multinomial(self.odds, len(photos), replacement=True)
        return self.bank[share(views), share(photos)]

    def measured(self, model: CaptionModel, rows: Tensor) -> Tensor:
        return self.dev_bank[torch.zeros_like(rows), rows]


class TunedSight:
    """Every photograph seen anew each time: cropped, mirrored, its colours disturbed, now and then very small.

    Gradients reach the model's `tail`, the backbone's last stages.
    """

    def __init__(
        self,
        train: CaptionedPhotos,
        dev: CaptionedPhotos,
        settings: ViewSettings,
        cache: Path,
        device: torch.device,
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
        with autocast(self.device):
            with torch.no_grad():
                pixels = enlarged(images.to(self.device), self.settings.input_size)
                front = self.backbone.front(pixels, self.settings.tuned_stages)
            return model.cells(front).float()


def enlarged(images: Tensor, size: int) -> Tensor:
    """Pictures (B,3,H,W) in [-1,1] at the size and in the layout the backbone likes."""
    images = F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False).clamp(-1, 1)
    return images.contiguous(memory_format=torch.channels_last)
