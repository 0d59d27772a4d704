"""Models for plug & play generation: an encoder of pictures, the generator that inverts it, an autoencoder of codes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from telephonegan import inference
from telephonegan.networks.ppgn import CodeEncoder, CodeGenerator, FeatureAutoencoder, PrincipalAxes
from telephonegan.zoo import catalogue, store

_PARTS = ("encoder", "generator", "autoencoder")


@dataclass(frozen=True)
class CodeModel:
    """Three networks that share one space of codes (B,W): 1,024 numbers, or 1,280 of a model with pooled codes.

    >>> model = load("photos")  # doctest: +SKIP
    >>> model.paint(model.encode(images)).shape  # doctest: +SKIP
    torch.Size([1, 3, 128, 128])
    """

    encoder: CodeEncoder
    generator: CodeGenerator
    autoencoder: FeatureAutoencoder
    name: str = ""
    device: str | torch.device = "cpu"

    @property
    def size(self) -> int:
        """Pixels on a side of the generator's pictures."""
        return self.generator.size

    @property
    def code_width(self) -> int:
        return self.generator.code_width

    @property
    def axes(self) -> PrincipalAxes:
        """The directions in which codes of photographs differ most."""
        return self.encoder.axes

    def encode(self, images: Tensor) -> Tensor:
        """(B,3,H,W) in [-1,1], of any size → codes (B,W)."""
        return self.encoder(images)

    def paint(self, codes: Tensor) -> Tensor:
        """Codes (B,W) → (B,3,S,S) in [-1,1], where the generator may go a little beyond."""
        return self.generator(codes).clamp(-1, 1)

    @classmethod
    def of(cls, entry: catalogue.Entry, device: torch.device) -> CodeModel:
        """The model of a manifest entry. Raises WeightsError."""
        settings = inference.settings_of(entry, "ppgn")
        generator = settings.part("network").build(CodeGenerator)
        model = cls(
            CodeEncoder(inference.shared_backbone(settings.value("backbone", str), device), generator.code),
            generator,
            FeatureAutoencoder(code_width=generator.code_width),
            entry.name,
            device,
        )
        tensors = store.read_tensors(entry)
        store.load_strict(torch.nn.ModuleDict({part: getattr(model, part) for part in _PARTS}), tensors)
        for part in _PARTS:
            net = getattr(model, part)
            net.to(device=device, memory_format=torch.channels_last).eval().requires_grad_(False)
        model.generator.folded()
        return model

    @classmethod
    def random(cls, size: int = 64, *, channels: int = 32, code: str = "layout", seed: int = 0) -> CodeModel:
        """A model with random weights, for trying things out; its encoder is fitted to nothing."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = CodeGenerator(channels=channels, size=size, code=code)
            autoencoder = FeatureAutoencoder(code_width=generator.code_width)
            for stage in generator.stages.values():
                torch.nn.init.kaiming_normal_(stage.to_image.weight)
        encoder = CodeEncoder(inference.shared_backbone("lite0", torch.device("cpu")), code)
        nets = [net.eval().requires_grad_(False) for net in (encoder, generator, autoencoder)]
        return cls(*nets, "random")


def load(name: str = "photos", device: str | torch.device = "auto") -> CodeModel:
    """The model ppgn/`name`. Raises UnknownModelError, WeightsError, or SettingsError for the device.

    >>> load("photos").size  # doctest: +SKIP
    128
    """
    entry = catalogue.find("ppgn", name)
    return inference.shared_model(CodeModel, entry, inference.resolve_device(device))
