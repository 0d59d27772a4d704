"""The back ends of generators, one class per architecture: texts and latent vectors in, pictures out.

Painting is a function of tensors; the caller decides whether it runs with gradients.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from telephonegan import inference
from telephonegan.errors import TextError, WeightsError
from telephonegan.matcher import Matcher, Read
from telephonegan.networks import attngan
from telephonegan.networks.dfgan import DeepFusionGenerator
from telephonegan.networks.free import DcganGenerator, FreeGenerator
from telephonegan.networks.gan_cls import Generator as GanClsGenerator
from telephonegan.networks.pggan import ProgressiveGenerator
from telephonegan.text import EncodedText, Vocabulary, padding_mask
from telephonegan.zoo import catalogue, store

Latents = dict[str, Tensor]


class Painter(ABC):
    """A frozen network that paints, and the encoder of its texts.

    `latent_widths` are the widths of the parts of its latent vector, drawn in this order; `offset_widths` those of
    parts that are added to what the text gives, and are zero unless edited. `size` is the width and height of its
    pictures in pixels. A painter that does not take text paints the empty one only. `teacher` is KIND/NAME of the
    matcher that guided its training, or None.
    """

    vocabulary: Vocabulary
    latent_widths: dict[str, int]
    offset_widths: Mapping[str, int] = MappingProxyType({})
    takes_text: bool = True
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

    def sketch(self, latents: Latents, read: Any) -> Tensor | None:
        """Smaller pictures (B,3,s,s) in [-1,1] that are painted faster; None where there are none."""
        return None

    @staticmethod
    def folded(network: Any) -> Any:
        """The network as it paints fastest, if it is never trained again."""
        return network

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
    matcher_kind: str = "damsm"  # and the setting that names the matcher

    def __init__(
        self, network: Any, matcher: Matcher, *, words_limit: int | None = None, teacher: str | None = None
    ) -> None:
        self.matcher, self.words_limit, self.teacher, self.device = matcher, words_limit, teacher, matcher.device
        self.network = network.to(self.device, memory_format=torch.channels_last).eval().requires_grad_(False)
        self.vocabulary, self.size, self.latent_widths = matcher.vocabulary, network.size, self.widths_of(network)
        self.offset_widths = self.offsets_of(network, matcher)

    @classmethod
    def of(cls, entry: catalogue.Entry, device: torch.device) -> DamsmPainter:
        settings = inference.settings_of(entry, cls.architecture)
        network = settings.part("network").build(cls.network_type)
        words_limit, name = settings.value("words_limit", int | None, None), settings.value(cls.matcher_kind, str)
        store.load_strict(network, store.read_tensors(entry))
        matcher = Matcher.of(catalogue.find(cls.matcher_kind, name), device, image=False)
        cls.check_widths(network, matcher)
        return cls(cls.folded(network), matcher, words_limit=words_limit, teacher=matcher.name)

    @staticmethod
    def check_widths(network: Any, matcher: Matcher) -> None:
        """Raise WeightsError if the network reads sentences of another width than the matcher writes."""

    @staticmethod
    @abstractmethod
    def widths_of(network: Any) -> dict[str, int]:
        """The parts of the network's latent vector."""

    @staticmethod
    def offsets_of(network: Any, matcher: Matcher) -> dict[str, int]:
        """The parts that can be added to what the text gives."""
        return {"sentence": 2 * matcher.text.rnn.hidden_size}

    def encode(self, text: str) -> EncodedText:
        return self.vocabulary.encode(text, limit=self.words_limit)

    def read(self, texts: Sequence[EncodedText]) -> Read:
        return self.matcher.read_ids([text.ids for text in texts])


class AttnGANPainter(DamsmPainter):
    """AttnGAN (Xu et al. 2018) and DM-GAN (Zhu et al. 2019).

    "noise" (B,Z), and "eps" (B,C) of the conditioning augmentation. Offsets: "condition" (B,C), added to what that
    augmentation samples, and "sentence" (B,D), added to the sentence embedding before it; attention keeps the words.
    """

    architecture, network_type = "attngan", attngan.Generator

    @staticmethod
    def widths_of(network: attngan.Generator) -> dict[str, int]:
        return {"noise": network.noise_width, "eps": network.condition_width}

    @staticmethod
    def offsets_of(network: attngan.Generator, matcher: Matcher) -> dict[str, int]:
        return {"condition": network.condition_width, **DamsmPainter.offsets_of(network, matcher)}

    @staticmethod
    def folded(network: attngan.Generator) -> attngan.Generator:
        return network.folded()

    def paint(self, latents: Latents, read: Read) -> tuple[list[Tensor], list[Tensor]]:
        mask = padding_mask(read.lengths, read.words.shape[2])
        sentences, eps = self._condition(latents, read)
        images, attentions, _, _ = self.network(latents["noise"], sentences, read.words, mask, eps)
        return images, attentions

    def sketch(self, latents: Latents, read: Read) -> Tensor | None:
        return self.network.sketch(latents["noise"], *self._condition(latents, read))

    def _condition(self, latents: Latents, read: Read) -> tuple[Tensor, Tensor]:
        """Sentences (B,D) and eps (B,C), with the offsets."""
        sentences, eps = moved(read.sentences, latents), latents["eps"]
        if "condition" in latents:
            _, _, logvar = self.network.ca_net(sentences, eps)
            eps = eps + latents["condition"] * (-0.5 * logvar).exp()
        return sentences, eps


class DFGANPainter(DamsmPainter):
    """DF-GAN (Tao et al. 2022): "noise" (B,Z). It has one stage and no attention."""

    architecture, network_type = "dfgan", DeepFusionGenerator

    @staticmethod
    def widths_of(network: DeepFusionGenerator) -> dict[str, int]:
        return {"noise": network.noise_width}

    def paint(self, latents: Latents, read: Read) -> tuple[list[Tensor], list[Tensor]]:
        return [self.network(latents["noise"], moved(read.sentences, latents))], []


class GanClsPainter(DamsmPainter):
    """GAN-CLS (Reed et al. 2016), over a text embedding: "noise" (B,Z). It has one stage and no attention."""

    architecture, network_type, matcher_kind = "gan-cls", GanClsGenerator, "embedding"

    @staticmethod
    def widths_of(network: GanClsGenerator) -> dict[str, int]:
        return {"noise": network.noise_width}

    @staticmethod
    def check_widths(network: GanClsGenerator, matcher: Matcher) -> None:
        written = matcher.text.linear.out_features
        if network.embedding_width != written:
            raise WeightsError(
                f"The generator reads embeddings of {network.embedding_width} numbers, {matcher.name} writes {written}:"
                " name the embedding that it was trained with."
            )

    @staticmethod
    def offsets_of(network: GanClsGenerator, matcher: Matcher) -> dict[str, int]:
        return {"sentence": network.embedding_width}

    def paint(self, latents: Latents, read: Read) -> tuple[list[Tensor], list[Tensor]]:
        return [self.network(latents["noise"], moved(read.sentences, latents))], []


class FreePainter(Painter):
    """A generator without text, see `networks.free`: "noise" (B,Z)."""

    architecture, network_type = "free", FreeGenerator
    takes_text, vocabulary = False, Vocabulary([])

    def __init__(self, network: Any, device: torch.device) -> None:
        self.network = network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        self.device = device
        self.size, self.latent_widths = network.size, {"noise": network.noise_width}

    @classmethod
    def of(cls, entry: catalogue.Entry, device: torch.device) -> FreePainter:
        network = inference.settings_of(entry, cls.architecture).part("network").build(cls.network_type)
        store.load_strict(network, store.read_tensors(entry))
        return cls(cls.folded(network), device)

    @staticmethod
    def folded(network: Any) -> Any:
        return network.folded() if isinstance(network, FreeGenerator) else network

    def encode(self, text: str) -> EncodedText:
        if text.strip():
            raise TextError(f"This generator paints without text, but was given {text!r:.60}. Use telephonegan.sample.")
        return EncodedText(ids=[], words=[], dropped=[])

    def read(self, texts: Sequence[EncodedText]) -> None:
        return None

    def paint(self, latents: Latents, read: None) -> tuple[list[Tensor], list[Tensor]]:
        return [self.network(latents["noise"])], []


class DcganPainter(FreePainter):
    """A DCGAN (Radford et al. 2016): "noise" (B,Z)."""

    architecture, network_type = "dcgan", DcganGenerator


class ProgressivePainter(FreePainter):
    """The generator of Karras et al. (2018): "noise" (B,Z)."""

    architecture, network_type = "pggan", ProgressiveGenerator

    def sketch(self, latents: Latents, read: None) -> Tensor | None:
        return self.network.sketch(latents["noise"])


def moved(sentences: Tensor, latents: Latents) -> Tensor:
    """Sentence embeddings (B,D) with the offset "sentence", if there is one."""
    return sentences + latents["sentence"] if "sentence" in latents else sentences


BACK_ENDS: dict[str, type[Painter]] = {
    each.architecture: each
    for each in (AttnGANPainter, DFGANPainter, GanClsPainter, FreePainter, DcganPainter, ProgressivePainter)
}
