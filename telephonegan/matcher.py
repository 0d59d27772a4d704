"""How well texts fit pictures: a text encoder and an image encoder, which share one embedding space.

A generator's own matcher encodes its texts: one of kind "damsm" also guided its training, one of kind "embedding"
learned from classes. A judge (kind "judge") guided no generator: the shipped judges use EfficientNet-Lite2, against
which no generator here was trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan import inference
from telephonegan.errors import WeightsError
from telephonegan.inference import Settings
from telephonegan.networks.backbone import backbone_file
from telephonegan.networks.char_cnn_rnn import CharCNNRNN, PooledImageEncoder
from telephonegan.networks.damsm import ImageEncoder, TextEncoder, matching_features
from telephonegan.networks.inception import INPUT_SIZE, InceptionEncoder
from telephonegan.networks.word_encoders import BagOfWords, WordCNN
from telephonegan.text import Alphabet, EncodedText, Vocabulary, pad
from telephonegan.zoo import catalogue, store

_DAMSM, _INCEPTION = "damsm", "inception"
# The text encoders by architecture; all but a DAMSM's learn with `training.embedding`.
TEXT_ENCODERS: dict[str, type[nn.Module]] = {
    _DAMSM: TextEncoder,
    "char-cnn-rnn": CharCNNRNN,
    "word-cnn": WordCNN,
    "bag-of-words": BagOfWords,
}
_PUBLISHED_SIZE = 256  # the size of published generators' pictures, missing from manifests of published encoders
_READ_AT_ONCE = 500


class Seen(NamedTuple):
    """A matcher's encoding of B pictures: regions (B,D,h,w), codes (B,D), pooled backbone features (B,P) or None.

    The Inception-v3 of a published DAMSM gives no pooled features. Encoders that learned from classes have one region,
    the whole picture.
    """

    regions: Tensor
    codes: Tensor
    pooled: Tensor | None


class Read(NamedTuple):
    """A matcher's encoding of B texts: word embeddings (B,D,L), sentence embeddings (B,D) and lengths (B,).

    In place of words a Char-CNN-RNN has the steps of its recurrent network.
    """

    words: Tensor
    sentences: Tensor
    lengths: Tensor


class Matcher:
    """A text encoder and, unless `image` is None, an image encoder into the same space, both frozen.

    Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with Attentional GANs", 2018, section 3.2, or Reed et
    al., "Learning Deep Representations of Fine-Grained Visual Descriptions", 2016. Every picture is first resized to
    `picture_size` pixels, so that real and painted pictures have the same resolution, and then enlarged to `input_size`
    for the backbone. `name` is KIND/NAME as in the manifest.

    >>> matcher = Matcher.load("judge/flickr8k")  # doctest: +SKIP
    >>> matcher.score(to_tensor([Image.open("dog.jpg")], 64), [["a", "dog"]])  # doctest: +SKIP
    tensor([0.41])
    """

    def __init__(
        self,
        text: nn.Module,
        image: ImageEncoder | InceptionEncoder | PooledImageEncoder | None,
        vocabulary: Vocabulary,
        *,
        backbone_name: str | None = None,
        picture_size: int | None = None,
        input_size: int | None = None,
        words_limit: int | None = None,
        name: str = "",
        sha256: str = "",
        device: str | torch.device = "cpu",
    ) -> None:
        self.name, self.sha256, self.device = name, sha256, inference.resolve_device(device)
        self.vocabulary, self.words_limit = vocabulary, words_limit
        self.backbone_name, self.picture_size, self.input_size = backbone_name, picture_size, input_size
        self.text = text.to(self.device).eval().requires_grad_(False)
        self.image = None if image is None else image.to(self.device).eval().requires_grad_(False)

    @classmethod
    def load(cls, name: str = "flickr8k", device: str | torch.device = "cpu") -> Matcher:
        """The judge of that name, or any matcher by KIND/NAME. Raises UnknownModelError, WeightsError, SettingsError.

        >>> Matcher.load("damsm/flickr8k").backbone_name  # doctest: +SKIP
        'lite0'
        """
        kind, slash, rest = name.partition("/")
        return cls.of(catalogue.find(*((kind, rest) if slash else ("judge", name))), device)

    @classmethod
    def of(cls, entry: catalogue.Entry, device: str | torch.device = "cpu", *, image: bool = True) -> Matcher:
        """The matcher of a manifest entry; without `image` it only reads texts and needs no image encoder.

        Raises WeightsError, or SettingsError for the device.
        """
        settings = inference.settings_of(entry, *TEXT_ENCODERS)
        reads_characters = TEXT_ENCODERS[entry.architecture] is CharCNNRNN
        return cls.of_parts(
            Alphabet(plain=settings.value("plain", bool)) if reads_characters else inference.vocabulary_of(entry),
            settings,
            store.read_tensors(entry),
            architecture=entry.architecture,
            image=image,
            name=f"{entry.kind}/{entry.name}",
            sha256=entry.sha256,
            device=device,
        )

    @classmethod
    def of_parts(
        cls,
        vocabulary: Vocabulary,
        settings: Settings,
        tensors: Mapping[str, Tensor],
        *,
        architecture: str = _DAMSM,
        image: bool = True,
        name: str = "",
        sha256: str = "",
        device: str | torch.device = "cpu",
    ) -> Matcher:
        """A matcher from tensors named "text_encoder.…" and "image_encoder.…", as models and training runs store them.

        `architecture` is one of `TEXT_ENCODERS`. Raises WeightsError if settings and tensors do not fit.
        """
        size = [] if isinstance(vocabulary, Alphabet) else [len(vocabulary)]
        parts = nn.ModuleDict({"text_encoder": settings.part("text").build(TEXT_ENCODERS[architecture], *size)})
        if image and "image" not in settings.values:
            again = " Import it again, with --image-encoder." if architecture == _DAMSM else ""
            raise WeightsError(f"{name} has no image encoder, so it reads texts only.{again}")
        if image:
            parts["image_encoder"] = _image_encoder(settings.part("image"), architecture)
        own = {key: tensor for key, tensor in tensors.items() if image or key.startswith("text_encoder.")}
        store.load_strict(parts, own)
        return cls(
            parts["text_encoder"],
            parts["image_encoder"] if image else None,
            vocabulary,
            **(_sizes(settings) if image else {}),
            words_limit=settings.value("words_limit", int | None, None),
            name=name,
            sha256=sha256,
            device=device,
        )

    def see(self, images: Tensor) -> Seen:
        """Encode one batch of pictures (B,3,H,W) in [-1,1], on this matcher's device; gradients reach the pictures.

        Raises WeightsError for a matcher that only reads texts.
        """
        if self.image is None:
            raise WeightsError(f"{self.name} was loaded for texts only and cannot encode pictures.")
        images = F.interpolate(images.to(self.device), size=(self.picture_size,) * 2, mode="area")
        if isinstance(self.image, InceptionEncoder):
            return Seen(*self.image(images), None)
        backbone = inference.shared_backbone(self.backbone_name, self.device)
        regions, pooled = matching_features(backbone, images, self.input_size)
        return Seen(*self.image(regions, pooled), pooled)

    @torch.no_grad()
    def look(self, batches: Iterable[Tensor]) -> Tensor:
        """Batches of pictures (B,3,H,W) in [-1,1] → codes (N,D) of all of them, on the CPU."""
        return torch.cat([self.see(batch).codes.cpu() for batch in batches])

    def read_ids(self, captions: Sequence[Sequence[int]]) -> Read:
        """Encode one batch of captions, given as lists of word ids, on this matcher's device."""
        ids, lengths = pad(captions)
        words, sentences = self.text(ids.to(self.device), lengths)
        if not isinstance(self.text, TextEncoder):  # all its steps count
            lengths = torch.full_like(lengths, words.shape[2])
        return Read(words, sentences, lengths.to(self.device))

    def read_words(self, captions: Sequence[Sequence[str]]) -> Read:
        """Encode one batch of captions, given as word lists; one without known words counts as padding only."""
        return self.read_ids(self.known_ids(captions))

    def read(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """Word lists → sentence embeddings (N,D), on the CPU."""
        starts = range(0, len(captions), _READ_AT_ONCE)
        return torch.cat([self.read_words(captions[i : i + _READ_AT_ONCE]).sentences.cpu() for i in starts])

    def score(self, images: Tensor, captions: Sequence[Sequence[str]]) -> Tensor:
        """Cosines (B,) in [-1,1] of pictures (B,3,H,W) in [-1,1] and captions, one for each or one for all; on the CPU.

        Gradients reach the pictures.
        """
        return F.cosine_similarity(self.see(images).codes.float().cpu(), self.read(captions))

    def encode(self, text: str) -> EncodedText:
        """What is read of a text, and what is left out. Raises TextError where nothing can be read."""
        return self.vocabulary.encode(text, limit=self.words_limit)

    def known_ids(self, captions: Sequence[Sequence[str]]) -> list[list[int]]:
        """The ids that are read from each caption: those of the known words within the limit."""
        return [self.vocabulary.known_ids(words, self.words_limit) for words in captions]


def _image_encoder(settings: Settings, architecture: str) -> ImageEncoder | InceptionEncoder | PooledImageEncoder:
    if architecture != _DAMSM:
        return settings.build(PooledImageEncoder)
    if settings.value("backbone", str, None) == _INCEPTION:
        return settings.without("backbone").build(InceptionEncoder)
    return settings.build(ImageEncoder)


def _sizes(settings: Settings) -> dict[str, Any]:
    """The backbone of the image side and its sizes. Raises WeightsError if the backbone's package is missing."""
    if settings.part("image").value("backbone", str, None) == _INCEPTION:
        return {"backbone_name": _INCEPTION, "picture_size": _PUBLISHED_SIZE, "input_size": INPUT_SIZE}
    backbone = settings.value("backbone", str)
    backbone_file(backbone)
    sizes = {name: settings.value(name, int) for name in ("picture_size", "input_size")}
    return {"backbone_name": backbone, **sizes}
