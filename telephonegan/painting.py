"""The back ends of generators, one class per architecture: texts and latent vectors in, pictures out.

Painting is a function of tensors; the caller decides whether it runs with gradients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from telephonegan import inference
from telephonegan.matcher import Matcher, Read
from telephonegan.networks import attngan
from telephonegan.networks.dfgan import DeepFusionGenerator
from telephonegan.text import EncodedText, Vocabulary, padding_mask
from telephonegan.zoo import catalogue, store

Latents = dict[str, Tensor]


class Painter(ABC):
    """A frozen network that paints, and the encoder of its texts.

    `latent_widths` are the widths of the parts of its latent vector, drawn in this order; `size` is the width and
    height of its pictures in pixels. `teacher` is KIND/NAME of the matcher that guided its training, or None.
    """

    vocabulary: Vocabulary
    latent_widths: dict[str, int]
    size: int
    device: torch.device
    teacher: str | None = None

    @classmethod
    @abstractmethod
    def of(cls, entry: catalogue.Entry, device: torch.device) -> Painter:
        """The painter of a manifest entry. Raises WeightsError."""

    @abstractmethod
    def encode(self, text: str) -> EncodedText:
        """The words of a text that it knows, and those it drops. Raises TextError if it knows none."""

    @abstractmethod
    def read(self, texts: Sequence[EncodedText]) -> Any:
        """Encode a batch of texts for `paint`."""

    @abstractmethod
    def paint(self, latents: Latents, read: Any) -> tuple[list[Tensor], list[Tensor]]:
        """Pictures (B,3,S,S) in [-1,1] of every stage from small to large, and attention maps (B,L,S,S)."""

    def latents(self, seeds: Sequence[int]) -> Latents:
        """Standard normal vectors (B,W) by part. Each seed draws on the CPU, independently of batch and device."""
        rows = [
            [torch.randn(width, generator=generator) for width in self.latent_widths.values()]
            for generator in map(inference.random_generator, seeds)
        ]
        columns = zip(*rows, strict=True)
        return {name: torch.stack(part).to(self.device) for name, part in zip(self.latent_widths, columns, strict=True)}


class DamsmPainter(Painter):
    """A painter whose texts a matcher encodes, up to `words_limit` words each."""

    architecture: str
    network_type: type[nn.Module]

    def __init__(
        self, network: Any, matcher: Matcher, *, words_limit: int | None = None, teacher: str | None = None
    ) -> None:
        self.matcher, self.words_limit, self.teacher, self.device = matcher, words_limit, teacher, matcher.device
        self.network = network.to(self.device, memory_format=torch.channels_last).eval().requires_grad_(False)
        self.vocabulary, self.size, self.latent_widths = matcher.vocabulary, network.size, self.widths_of(network)

    @classmethod
    def of(cls, entry: catalogue.Entry, device: torch.device) -> DamsmPainter:
        settings = inference.settings_of(entry, cls.architecture)
        network = settings.part("network").build(cls.network_type)
        words_limit, teacher = settings.value("words_limit", int | None), settings.value("damsm", str)
        store.load_strict(network, store.read_tensors(entry))
        matcher = Matcher.of(catalogue.find("damsm", teacher), device, image=False)
        return cls(cls.folded(network), matcher, words_limit=words_limit, teacher=matcher.name)

    @staticmethod
    def folded(network: Any) -> Any:
        """The network as it paints fastest, if it is never trained again."""
        return network

    @staticmethod
    @abstractmethod
    def widths_of(network: Any) -> dict[str, int]:
        """The parts of the network's latent vector."""

    def encode(self, text: str) -> EncodedText:
        return self.vocabulary.encode(text, limit=self.words_limit)

    def read(self, texts: Sequence[EncodedText]) -> Read:
        return self.matcher.read_ids([text.ids for text in texts])


class AttnGANPainter(DamsmPainter):
    """AttnGAN (Xu et al. 2018) and DM-GAN (Zhu et al. 2019).

    "noise" (B,Z), and "eps" (B,C) of the conditioning augmentation.
    """

    architecture, network_type = "attngan", attngan.Generator

    @staticmethod
    def widths_of(network: attngan.Generator) -> dict[str, int]:
        return {"noise": network.noise_width, "eps": network.condition_width}

    @staticmethod
    def folded(network: attngan.Generator) -> attngan.Generator:
        return network.folded()

    def paint(self, latents: Latents, read: Read) -> tuple[list[Tensor], list[Tensor]]:
        mask = padding_mask(read.lengths, read.words.shape[2])
        images, attentions, _, _ = self.network(latents["noise"], read.sentences, read.words, mask, latents["eps"])
        return images, attentions


class DFGANPainter(DamsmPainter):
    """DF-GAN (Tao et al. 2022): "noise" (B,Z). It has one stage and no attention."""

    architecture, network_type = "dfgan", DeepFusionGenerator

    @staticmethod
    def widths_of(network: DeepFusionGenerator) -> dict[str, int]:
        return {"noise": network.noise_width}

    def paint(self, latents: Latents, read: Read) -> tuple[list[Tensor], list[Tensor]]:
        return [self.network(latents["noise"], read.sentences)], []


BACK_ENDS: dict[str, type[Painter]] = {each.architecture: each for each in (AttnGANPainter, DFGANPainter)}
