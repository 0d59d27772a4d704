"""Training a text embedding: texts of one class must fit photographs of that class better than those of all others.

Reed et al., "Learning Deep Representations of Fine-Grained Visual Descriptions" (2016): every step draws as many
different classes as the batch has rows, one photograph and one caption of each. The image side is frozen: pooled
features of EfficientNet-Lite, computed once, in place of GoogLeNet's. Encoders of words learn in the same way, to
compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from telephonegan.data.photos import CaptionedPhotos, pack_photos, random_crop, unit_range
from telephonegan.errors import DataError, SettingsError
from telephonegan.matcher import TEXT_ENCODERS
from telephonegan.networks.backbone import Backbone
from telephonegan.networks.char_cnn_rnn import PooledImageEncoder, joint_embedding_loss
from telephonegan.networks.damsm import matching_features
from telephonegan.text import PAD, Alphabet, Vocabulary, pad
from telephonegan.training.devices import autocast, fetched
from telephonegan.training.distributed import average_gradients, gather, share
from telephonegan.training.features import cached
from telephonegan.training.linear_words import LinearWords
from telephonegan.training.projected import load_fitting
from telephonegan.training.ranges import COUNT, RATE, SHARE, SIZE, check_multiple, check_ranges

# The settings that each text encoder is built from.
_KEPT = {
    "char-cnn-rnn": ("channels", "cell"),
    "word-cnn": ("word_width", "channels"),
    "bag-of-words": ("word_width",),
}
_SHARES = ("decay", "evened", "image_dropout", "word_dropout", "taught", "taught_evened")


@dataclass(frozen=True)
class EmbeddingSettings:
    """What a run depends on; sizes in pixels."""

    encoder: str = "char-cnn-rnn"  # or word-cnn, bag-of-words
    channels: int = 512  # of the last convolution and the recurrent network; 256 in the CVPR paper
    cell: str = "rnn"  # or gru, of a Char-CNN-RNN
    word_width: int = 256  # of an encoder of words
    minimum_count: int = 3  # to them, a word seen less often in the training captions is unknown
    components: int = 64  # principal ones of the image features
    evened: float = 0.5  # 1: all components of equal variance, 0: as they are
    # False: texts are mapped to those themselves, as in the paper. True: both are mapped to `width` numbers.
    projected: bool = False
    width: int = 1024  # of a projected embedding
    backbone: str = "lite0"
    picture_size: int = 144
    input_size: int = 160  # what the backbone sees, a multiple of 32
    views: int = 2  # random crops of each photograph whose features are kept on disk
    batch_size: int = 40  # at most as many as there are classes
    learning_rate: float = 7e-4
    decay: float = 0.98  # of the learning rate, once in as many steps as there are classes
    weight_decay: float = 0.0
    image_dropout: float = 0.0
    word_dropout: float = 0.0  # the largest share of words that are left out of a caption, new ones in every step
    taught: float = 0.0  # the share of the loss that is the distance from the guesses of a linear model of words
    taught_evened: float = 0.6  # 1: all components of those guesses of equal variance, 0: as they are
    steps: int = 16_400

    def __post_init__(self) -> None:
        if self.encoder not in _KEPT:
            raise SettingsError(f"No encoder is called {self.encoder!r}; there are {', '.join(_KEPT)}.")
        check_multiple("input_size", self.input_size, 32)
        check_ranges(
            self,
            **dict.fromkeys(("channels", "components", "width", "word_width", "picture_size", "input_size"), SIZE),
            **dict.fromkeys(("minimum_count", "views", "steps"), COUNT),
            **dict.fromkeys(_SHARES, SHARE),
            batch_size=(2, 10_000),
            learning_rate=RATE,
        )


PRESETS = {
    "cpu": EmbeddingSettings(),
    "cvpr": replace(EmbeddingSettings(), channels=256),
    "gru": replace(EmbeddingSettings(), cell="gru"),
    "word-cnn": replace(EmbeddingSettings(), encoder="word-cnn"),
    "bag-of-words": replace(EmbeddingSettings(), encoder="bag-of-words"),
    "tiny": replace(
        EmbeddingSettings(),
        channels=64,
        components=16,
        picture_size=32,
        input_size=64,
        views=2,
        batch_size=8,
        steps=300,
    ),
}


def pooled_views(
    photos: CaptionedPhotos,
    settings: EmbeddingSettings,
    cache: Path,
    *,
    views: int,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Pooled backbone features (V,N,P), half precision, of random views of each photograph; view 0 is all of it."""
    device, size = torch.device(device), settings.picture_size
    backbone = Backbone(settings.backbone).to(device, memory_format=torch.channels_last)

    def pixels(view: int) -> Tensor:
        if view == 0:
            return pack_photos(photos, size, cache)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(view)
            return random_crop(pack_photos(photos, size * 9 // 8, cache), size)

    def features(batch: Tensor) -> Tensor:
        with autocast(device):
            return matching_features(backbone, unit_range(batch.to(device)), settings.input_size)[1]

    stem = f"pooled-{settings.backbone}-{size}-{settings.input_size}-{photos.fingerprint()}"
    parts = [
        cached(cache / f"{stem}-view{view}.npy", lambda v=view: pixels(v).split(64), features) for view in range(views)
    ]
    return torch.stack([part.to(device) for part in parts])


class CaptionBank:
    """The captions of some photographs, and which photographs are of which class."""

    def __init__(self, photos: CaptionedPhotos, vocabulary: Vocabulary) -> None:
        if photos.classes is None:
            raise DataError(
                f"{photos.folder} has no class number for every photograph, and an embedding learns from classes. A "
                "plain folder has them in labels.csv, with the columns image and class_id."
            )
        rows = [row for row, captions in enumerate(photos.captions) if captions]
        self.numbers = sorted({photos.classes[row] for row in rows})
        self.photos = [torch.tensor([row for row in rows if photos.classes[row] == each]) for each in self.numbers]
        self.first = torch.tensor([0, *map(len, photos.captions)]).cumsum(0)
        self.words = [words for captions in photos.captions for words in captions]
        self.vocabulary = vocabulary
        self.owners = torch.repeat_interleave(torch.arange(len(photos)), self.first.diff())

    def ids(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """The ids (B,L) that are read from word lists, 0 for none."""
        return pad([self.vocabulary.known_ids(words, None) for words in captions])[0]

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Photographs (B,) of as many different classes, and the row of one caption (B,) of each."""
        chosen = torch.randperm(len(self.photos))[:count].tolist()
        photos = torch.stack([self.photos[i][torch.randint(len(self.photos[i]), ())] for i in chosen])
        counts = self.first[photos + 1] - self.first[photos]
        return photos, self.first[photos] + (torch.rand(len(photos)) * counts).long()


def without_words(words: Sequence[str], share: float) -> list[str]:
    """A caption without a random share of its words, or all of it if none were left.

    >>> without_words(["a", "red", "flower"], 0.0)
    ['a', 'red', 'flower']
    """
    kept = [word for word, place in zip(words, torch.rand(len(words)).tolist(), strict=True) if place >= share]
    return kept or list(words)


class EmbeddingRecipe:
    """One run over a training split and photographs to measure on, of these or of other classes."""

    def __init__(
        self,
        train: CaptionedPhotos,
        measured: CaptionedPhotos,
        settings: EmbeddingSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        self.settings, self.device = settings, torch.device(device)
        self.vocabulary = _vocabulary(train, settings)
        self.bank, self.measured = CaptionBank(train, self.vocabulary), CaptionBank(measured, self.vocabulary)
        self.batch_size = min(settings.batch_size, len(self.bank.photos))
        if self.batch_size < 2:
            raise DataError(f"{train.folder} has captioned photographs of one class only; at least two are needed.")
        self.views = pooled_views(train, settings, cache, views=settings.views, device=self.device)
        self.measured_views = pooled_views(measured, settings, cache, views=1, device=self.device)
        network, words = self.network(), self.vocabulary
        size = [] if isinstance(words, Alphabet) else [len(words)]
        self.text = TEXT_ENCODERS[settings.encoder](*size, **network["text"]).to(self.device)
        self.image = PooledImageEncoder(**network["image"]).to(self.device)
        self.image.fit(self.views[0], settings.evened)
        self.teacher = self._taught_by() if settings.taught else None
        self.dropout = torch.nn.Dropout(settings.image_dropout)
        self.parameters = [*self.text.parameters(), *self.image.parameters()]
        self.optimiser = torch.optim.RMSprop(
            self.parameters, settings.learning_rate, alpha=0.99, weight_decay=settings.weight_decay
        )

    def network(self) -> dict[str, Any]:
        """The settings both encoders are built from."""
        settings, channels = self.settings, self.views.shape[2]
        text = {name: getattr(settings, name) for name in _KEPT[settings.encoder]}
        width = settings.width if settings.projected else settings.components
        return {
            "text": text | {"width": width},
            "image": {
                "code_channels": channels,
                "components": settings.components,
                "width": width if settings.projected else 0,
            },
        }

    def state(self) -> dict[str, Any]:
        return {"text_encoder": self.text, "image_encoder": self.image, "optimiser": self.optimiser}

    def warm_start(self, checkpoint: dict[str, Any]) -> None:
        """Begin with the text encoder of another run where it fits, whatever its image features were."""
        load_fitting(self.text, checkpoint["text_encoder"], "text encoder")

    def step(self, step: int) -> dict[str, float]:
        settings = self.settings
        photos, captions = self.bank.draw(self.batch_size)
        views = torch.randint(settings.views, (self.batch_size,))
        pooled = self.views[share(views).to(self.device), share(photos).to(self.device)].float()
        shares = (torch.rand(len(captions)) * settings.word_dropout).tolist()
        read = [without_words(self.bank.words[row], left) for row, left in zip(captions.tolist(), shares, strict=True)]
        ids = share(self.bank.ids(read)).to(self.device)
        with autocast(self.device, recurrent=True):
            sentences = self.text(ids)[1]
        codes = self.image(None, self.dropout(pooled))[1]
        codes, sentences = gather(codes), gather(sentences.float())
        loss = (1 - settings.taught) * joint_embedding_loss(codes, sentences)
        if self.teacher is not None:
            distances = (sentences - self.teacher(read).to(self.device)).square().sum(1)
            loss = loss + settings.taught * distances.mean()
        for group in self.optimiser.param_groups:
            group["lr"] = settings.learning_rate * settings.decay ** (step // len(self.bank.photos))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.parameters)
        self.optimiser.step()
        with torch.no_grad():
            scores = codes @ sentences.T
            own = torch.arange(len(scores), device=self.device)
            found = [(each.argmax(1) == own).float().mean() for each in (scores, scores.T)]
        return fetched({"loss": loss, "text_of_image": found[0], "image_of_text": found[1]})

    @torch.no_grad()
    def _taught_by(self) -> LinearWords:
        """The linear model of words whose guesses the text encoder is taught."""
        codes = self.image(None, self.views[0].float())[1].cpu()
        return LinearWords(self.bank.words, codes[self.bank.owners], evened=self.settings.taught_evened)

    @torch.no_grad()
    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Top-1 and AP@10 over the measured photographs' classes, each class by the mean of its captions."""
        from telephonegan.evaluation.zero_shot import class_scores

        bank = self.measured
        parts = [bank.ids(bank.words[start : start + 250]) for start in range(0, len(bank.words), 250)]
        sentences = torch.cat([self.text(ids.to(self.device))[1] for ids in parts]).cpu()
        codes = self.image(None, self.measured_views[0].float())[1].cpu()
        labels = torch.full((len(codes),), -1)
        for number, rows in enumerate(bank.photos):
            labels[rows] = number
        kept = labels >= 0
        found = class_scores(codes[kept], labels[kept], sentences, labels[bank.owners], ks=(1, 10, 50))
        return {
            "top1": found.top1,
            "top1_cosine": found.top1_cosine,
            **{f"ap{k}": precision for k, precision in found.precision.items() if k > 1},
            "chance": found.chance,
        }


def _vocabulary(photos: CaptionedPhotos, settings: EmbeddingSettings) -> Vocabulary:
    if settings.encoder == "char-cnn-rnn":
        return Alphabet(plain=True)  # the captions are word lists
    captions = [caption for captions in photos.captions for caption in captions]
    return Vocabulary.build(captions, minimum=settings.minimum_count, specials=(PAD,))
