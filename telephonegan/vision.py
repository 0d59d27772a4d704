"""What a captioner sees with: from pictures to the features its decoder starts from, one class per architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from telephonegan import inference
from telephonegan.images import to_tensor
from telephonegan.networks.captioner import CaptionModel, LSTMDecoder
from telephonegan.networks.decoding import Decoder
from telephonegan.networks.resnet import DEVIATION, MEAN, ResNetEncoder
from telephonegan.zoo import catalogue, store


class Sight(Protocol):
    """A network that looks at pictures, and the decoder that was trained with it."""

    decoder: Decoder

    def see(self, pictures: Sequence[Image.Image]) -> tuple[Tensor, tuple[int, int] | None]:
        """Features of a batch for `decoder.start`, and rows and columns of the cells it attends to, if it does."""


class BackboneSight:
    """The backbone's cells, as our own captioners see them: frozen, or its last stages tuned."""

    def __init__(self, entry: catalogue.Entry, words: int, device: torch.device) -> None:
        settings, self.device = entry.settings, device
        model = CaptionModel(words, **settings["network"])
        self.input_size: int = settings["input_size"]
        self.tuned_stages: int = settings["network"].get("tuned_stages", 0)
        self.backbone = inference.shared_backbone(settings["backbone"], device)
        self.model = store.load_strict(model, store.read_tensors(entry)).eval().to(device)
        self.decoder = self.model.decoder

    def see(self, pictures: Sequence[Image.Image]) -> tuple[Tensor, tuple[int, int]]:
        pixels = to_tensor(list(pictures), self.input_size).to(self.device, memory_format=torch.channels_last)
        front = self.backbone.front(pixels, self.tuned_stages)
        grid = (self.model.tail or self.backbone.head)(front)
        return self.model.features(grid.flatten(2).transpose(1, 2)), tuple(grid.shape[-2:])


class ResNetSight:
    """One feature vector of a ResNet-152, as the published captioner sees (Vinyals et al., "Show and Tell", 2015)."""

    def __init__(self, entry: catalogue.Entry, words: int, device: torch.device) -> None:
        settings, self.device = entry.settings, device
        self.input_size: int = settings["input_size"]
        parts: Any = torch.nn.ModuleDict(
            {
                "encoder": ResNetEncoder(**settings["network"]["encoder"]),
                "decoder": LSTMDecoder(words, **settings["network"]["decoder"]),
            }
        )
        parts = store.load_strict(parts, store.read_tensors(entry)).eval().to(device)
        self.encoder, self.decoder = parts["encoder"], parts["decoder"]

    def see(self, pictures: Sequence[Image.Image]) -> tuple[Tensor, None]:
        pixels = to_tensor(list(pictures), self.input_size, resample=Image.Resampling.LANCZOS)
        mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
        return self.encoder((((pixels + 1) / 2 - mean) / deviation).to(self.device)), None


SIGHTS: dict[str, type[Sight]] = {"lite0-caption-model": BackboneSight, "resnet152-lstm": ResNetSight}
