"""The judge: a matching model that says how well pictures and texts fit.

The default one looks through EfficientNet-Lite2, which no generator here was trained against. Any DAMSM model can take
its place, such as a published one, whose image encoder is an Inception-v3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan import inference
from telephonegan.errors import WeightsError
from telephonegan.networks.damsm import ImageEncoder, TextEncoder, matching_features
from telephonegan.networks.inception import InceptionEncoder
from telephonegan.text import pad
from telephonegan.zoo import catalogue, store

_PUBLISHED_SIZE = 256  # what the published generators paint; their manifests tell no size
_READ_AT_ONCE = 500


class Sight(NamedTuple):
    """A batch of pictures as a judge sees it: regions (B,D,h,w), codes (B,D), pooled backbone features (B,P) or None.

    An Inception encoder of the published DAMSM keeps no pooled features.
    """

    regions: Tensor
    codes: Tensor
    pooled: Tensor | None


class Judge:
    """Codes of pictures and captions, every picture first brought to the judge's picture size.

    Real and painted pictures are thus seen at the same resolution. `name` is that of a judge, or KIND/NAME of a judge
    or a damsm. Raises UnknownModelError, WeightsError or, for the device, SettingsError.

    >>> Judge("flickr8k").backbone_name  # doctest: +SKIP
    'lite2'
    """

    def __init__(self, name: str = "flickr8k", device: str | torch.device = "cpu") -> None:
        self.entry = entry = catalogue.find(*_kind_and_name(name))
        self.device = inference.resolve_device(device)
        self.vocabulary = inference.vocabulary_of(entry)
        with inference.settings_of(entry, "damsm") as settings:
            if "image" not in settings:
                raise WeightsError(f"{self.name} has no image encoder: import it again, with --image-encoder.")
            text = TextEncoder(len(self.vocabulary), **settings["text"])
            self.eyes = (_InceptionEyes if _is_inception(settings) else _BackboneEyes)(settings, self.device)
            self.words_limit: int | None = settings.get("words_limit")
        both = nn.ModuleDict({"text_encoder": text, "image_encoder": self.eyes.encoder})
        self.encoders = store.load_strict(both, store.read_tensors(entry)).to(self.device).eval()
        self.encoders.requires_grad_(False)

    @property
    def name(self) -> str:
        """KIND/NAME, as the manifest lists it."""
        return f"{self.entry.kind}/{self.entry.name}"

    @property
    def backbone_name(self) -> str:
        """What it looks through: "lite0", "lite2" or "inception"."""
        return self.eyes.backbone_name

    @property
    def picture_size(self) -> int:
        """The resolution it judges at, in pixels."""
        return self.eyes.picture_size

    @property
    def input_size(self) -> int:
        """What pictures of that resolution are enlarged to, in pixels."""
        return self.eyes.input_size

    @torch.no_grad()
    def see(self, images: Tensor) -> Sight:
        """One batch (B,3,H,W) in [-1,1] as the judge sees it, on its device."""
        return self.eyes(F.interpolate(images.to(self.device), size=(self.picture_size,) * 2, mode="area"))

    def look(self, batches: Iterable[Tensor]) -> Tensor:
        """Batches of pictures (B,3,H,W) in [-1,1] → codes (N,D) of all of them for matching, on the CPU."""
        return torch.cat([self.see(batch).codes.cpu() for batch in batches])

    @torch.no_grad()
    def read_words(self, captions: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor, Tensor]:
        """One batch of word lists → word embeddings (B,D,L), sentence embeddings (B,D) and lengths (B,).

        A caption without a known word counts as padding alone.
        """
        ids, lengths = pad(self.known_ids(captions))
        words, sentences = self.encoders["text_encoder"](ids.to(self.device), lengths)
        return words, sentences, lengths.to(self.device)

    def read(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """Word lists → sentence embeddings (N,D), on the CPU."""
        starts = range(0, len(captions), _READ_AT_ONCE)
        return torch.cat([self.read_words(captions[i : i + _READ_AT_ONCE])[1].cpu() for i in starts])

    def known_ids(self, captions: Sequence[Sequence[str]]) -> list[list[int]]:
        """What it reads of each caption: ids of the known words within its limit."""
        return [self.vocabulary.known_ids(words, self.words_limit) for words in captions]


class _BackboneEyes:
    """Looks through a frozen EfficientNet-Lite."""

    def __init__(self, settings: dict[str, Any], device: torch.device) -> None:
        self.encoder = ImageEncoder(**settings["image"])
        self.backbone_name: str = settings["backbone"]
        self.picture_size: int = settings["picture_size"]
        self.input_size: int = settings["input_size"]
        self.backbone = inference.shared_backbone(self.backbone_name, device)

    def __call__(self, images: Tensor) -> Sight:
        regions, pooled = matching_features(self.backbone, images, self.input_size)
        return Sight(*self.encoder(regions, pooled), pooled)


class _InceptionEyes:
    """Looks through the Inception-v3 of a published DAMSM."""

    backbone_name, picture_size, input_size = "inception", _PUBLISHED_SIZE, 299

    def __init__(self, settings: dict[str, Any], device: torch.device) -> None:
        self.encoder = InceptionEncoder(width=settings["image"]["width"])

    def __call__(self, images: Tensor) -> Sight:
        return Sight(*self.encoder(images), None)


def _is_inception(settings: dict[str, Any]) -> bool:
    return settings["image"].get("backbone") == "inception"


def _kind_and_name(name: str) -> tuple[str, str]:
    kind, slash, rest = name.partition("/")
    return (kind, rest) if slash else ("judge", name)
