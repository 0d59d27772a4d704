"""The vision networks of captioners, one class per architecture: pictures → pixels → features for the decoder.

Both steps are functions of tensors, with or without gradients as the caller decides, so that a caption's
log-probability can be differentiated with respect to a picture, and through a painted one the generator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan import inference
from telephonegan.images import to_tensor
from telephonegan.inference import Settings
from telephonegan.networks.backbone import normalise
from telephonegan.networks.captioner import CaptionModel, LSTMDecoder
from telephonegan.networks.decoding import Decoder
from telephonegan.networks.folding import fold_batch_norm
from telephonegan.networks.resnet import DEVIATION, MEAN, ResNetEncoder
from telephonegan.networks.show_attend_tell import AttendingDecoder, ResNetCells
from telephonegan.zoo import catalogue, store

_STRIDE = 32  # pixels between the cells of a backbone's last stage


class Vision(ABC):
    """A frozen vision network, and the decoder that was trained with it.

    `grid` is the rows and columns of the cells the decoder attends to, None without attention.
    """

    decoder: Decoder
    grid: tuple[int, int] | None
    input_size: int
    device: torch.device
    resample = Image.Resampling.BICUBIC

    @classmethod
    @abstractmethod
    def of(cls, entry: catalogue.Entry, settings: Settings, words: int, device: torch.device) -> Vision:
        """The vision of a captioner with a vocabulary of `words` words. Raises WeightsError."""

    def pixels(self, images: Sequence[Image.Image] | Tensor) -> Tensor:
        """Pictures, or a batch (B,3,H,W) in [-1,1], as input for the network: (B,3,S,S), squashed and normalised."""
        if not isinstance(images, Tensor):
            images = to_tensor(list(images), self.input_size, resample=self.resample)
        elif images.shape[-2:] != (self.input_size,) * 2:
            size = (self.input_size,) * 2
            images = F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
        return self.normalised(images)

    @abstractmethod
    def normalised(self, images: Tensor) -> Tensor:
        """Pictures (B,3,S,S) in [-1,1], normalised as in the network's training, on its device."""

    @abstractmethod
    def features(self, pixels: Tensor) -> Tensor:
        """The output of `pixels` → features for `decoder.start`, batch first."""


class LiteVision(Vision):
    """The feature cells of an EfficientNet-Lite, for our own captioners: frozen, or with its last stages tuned."""

    def __init__(self, model: CaptionModel, backbone: str, input_size: int, device: torch.device) -> None:
        self.model = model.eval().requires_grad_(False).to(device)
        self.decoder, self.input_size, self.device = model.decoder, input_size, device
        self.grid = (-(-input_size // _STRIDE),) * 2
        shared = inference.shared_backbone(backbone, device)
        self.front = nn.Sequential(shared.stem, *shared.stages[: len(shared.stages) - model.tuned_stages])
        self.tail = model.tail or shared.head

    @classmethod
    def of(cls, entry: catalogue.Entry, settings: Settings, words: int, device: torch.device) -> LiteVision:
        model = settings.part("network").build(CaptionModel, words)
        store.load_strict(model, store.read_tensors(entry))
        return cls(model, settings.value("backbone", str), settings.value("input_size", int), device)

    def normalised(self, images: Tensor) -> Tensor:
        return normalise(images.to(self.device, memory_format=torch.channels_last))

    def features(self, pixels: Tensor) -> Tensor:
        return self.model.features(self.tail(self.front(pixels)).flatten(2).transpose(1, 2))


class ResNetVision(Vision):
    """One feature vector of a ResNet-152, for the published captioner (Vinyals et al., "Show and Tell", 2015)."""

    resample = Image.Resampling.LANCZOS

    def __init__(self, encoder: nn.Module, decoder: nn.Module, input_size: int, device: torch.device) -> None:
        """The encoder is changed: its batch norms become part of its convolutions."""
        self.encoder, self.decoder = (net.eval().requires_grad_(False) for net in (encoder, decoder))
        fold_batch_norm(self.encoder).to(device, memory_format=torch.channels_last)
        self.decoder.to(device)
        self.input_size, self.device, self.grid = input_size, device, None

    @classmethod
    def of(cls, entry: catalogue.Entry, settings: Settings, words: int, device: torch.device) -> ResNetVision:
        return cls.of_parts(ResNetEncoder, LSTMDecoder, entry, settings, words, device)

    @classmethod
    def of_parts(
        cls,
        encoder: type[nn.Module],
        decoder: type[nn.Module],
        entry: catalogue.Entry,
        settings: Settings,
        words: int,
        device: torch.device,
    ) -> ResNetVision:
        """The vision made of these networks, with the weights of a manifest entry."""
        network = settings.part("network")
        parts = nn.ModuleDict(
            {
                "encoder": network.part("encoder").build(encoder),
                "decoder": network.part("decoder").build(decoder, words),
            }
        )
        store.load_strict(parts, store.read_tensors(entry))
        return cls(parts["encoder"], parts["decoder"], settings.value("input_size", int), device)

    def normalised(self, images: Tensor) -> Tensor:
        mean, deviation = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, DEVIATION))
        return (((images + 1) / 2 - mean) / deviation).to(self.device, memory_format=torch.channels_last)

    def features(self, pixels: Tensor) -> Tensor:
        return self.encoder(pixels)


class CellsVision(ResNetVision):
    """The feature cells of a ResNet-101, for the captioner of sgrvinod's tutorial (Xu et al. 2015)."""

    resample = Image.Resampling.BILINEAR

    def __init__(self, encoder: ResNetCells, decoder: AttendingDecoder, input_size: int, device: torch.device) -> None:
        super().__init__(encoder, decoder, input_size, device)
        self.grid = encoder.adaptive_pool.output_size

    @classmethod
    def of(cls, entry: catalogue.Entry, settings: Settings, words: int, device: torch.device) -> CellsVision:
        return cls.of_parts(ResNetCells, AttendingDecoder, entry, settings, words, device)


BACK_ENDS: dict[str, type[Vision]] = {
    "lite0-caption-model": LiteVision,
    "resnet152-lstm": ResNetVision,
    "resnet101-attention-lstm": CellsVision,
}
