"""Sentences as vectors: what a text embedding writes for them, and which known sentences are nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from telephonegan import inference
from telephonegan.data.layouts import read_data
from telephonegan.errors import SettingsError
from telephonegan.matcher import Matcher
from telephonegan.text import EncodedText
from telephonegan.zoo import catalogue

DEFAULT_EMBEDDING = "flowers"


@dataclass(frozen=True, eq=False, repr=False)
class Embedding:
    """The vector (D,) of a sentence, and what was read of it.

    `words` are those read; `dropped` are words, or for a reader of characters the characters, that the model does not
    know; `truncated` counts the words beyond its limit. `model` is KIND/NAME.
    """

    text: str
    vector: np.ndarray
    words: list[str]
    dropped: list[str]
    truncated: int
    model: str

    def __repr__(self) -> str:
        return f"Embedding({self.text!r:.60}, {len(self.vector)} numbers by {self.model})"


@dataclass(frozen=True)
class Neighbour:
    """A known sentence, its cosine with the asked one, in [-1,1], and the photograph that it describes."""

    sentence: str
    cosine: float
    photograph: str


def embed(
    text: str | Sequence[str], *, embedding: str | Matcher = DEFAULT_EMBEDDING, device: str = "auto"
) -> Embedding | list[Embedding]:
    """Encode a sentence, or a list of them as one batch.

    `embedding` is the name of one, KIND/NAME of any matcher, or a loaded `Matcher`. Raises TextError for a text that
    cannot be read, UnknownModelError, WeightsError, or SettingsError for the device. Reed et al., "Learning Deep
    Representations of Fine-Grained Visual Descriptions", 2016.

    >>> embed("a purple flower with pointed petals").vector.shape  # doctest: +SKIP
    (1024,)
    """
    matcher = load_embedding(embedding, device)
    texts = [text] if isinstance(text, str) else list(text)
    read = [matcher.encode(each) for each in texts]
    with torch.inference_mode():
        vectors = inference.in_batches(lambda part: list(_vectors(matcher, part)), read)
    embeddings = [
        Embedding(each, vector, what.words, what.dropped, what.truncated, matcher.name)
        for each, what, vector in zip(texts, read, vectors, strict=True)
    ]
    return embeddings[0] if isinstance(text, str) else embeddings


def _vectors(matcher: Matcher, texts: Sequence[EncodedText]) -> np.ndarray:
    return matcher.read_ids([text.ids for text in texts]).sentences.float().cpu().numpy()


class Sentences:
    """The sentences of a split of photographs, encoded once, to look up which are nearest to a text.

    >>> Sentences("flowers").nearest("a purple flower", n=3)[0].sentence  # doctest: +SKIP
    'this flower is purple in color'
    """

    def __init__(
        self,
        data: str | Path,
        *,
        embedding: str | Matcher = DEFAULT_EMBEDDING,
        split: str = "train",
        device: str = "auto",
    ) -> None:
        self.matcher = load_embedding(embedding, device)
        photos = read_data(data, split)
        pairs = [
            (name, " ".join(words))
            for name, all_of in zip(photos.names, photos.captions, strict=True)
            for words in all_of
        ]
        self.photographs, self.sentences = [name for name, _ in pairs], [sentence for _, sentence in pairs]
        found = self.matcher.read([sentence.split() for sentence in self.sentences])
        self._vectors = F.normalize(found.float(), dim=1)

    def nearest(self, text: str, n: int = 5) -> list[Neighbour]:
        """The `n` sentences of the largest cosine with a text, each once, best first. Raises TextError."""
        inference.check_whole(n, "n", 1, 1000)
        asked = F.normalize(torch.from_numpy(embed(text, embedding=self.matcher).vector), dim=0)
        cosines = self._vectors @ asked
        found: dict[str, Neighbour] = {}
        for row in cosines.argsort(descending=True, stable=True).tolist():
            sentence = self.sentences[row]
            found.setdefault(sentence, Neighbour(sentence, float(cosines[row]), self.photographs[row]))
            if len(found) == n:
                break
        return list(found.values())


def load_embedding(embedding: str | Matcher, device: str = "auto") -> Matcher:
    """The matcher of that name, shared by all calls, without its image encoder if it may lack one."""
    if isinstance(embedding, Matcher):
        return embedding
    if not isinstance(embedding, str):
        raise SettingsError(f"An embedding is a name or a Matcher; {type(embedding).__name__} was given.")
    kind, slash, name = embedding.partition("/")
    entry = catalogue.find(*((kind, name) if slash else ("embedding", embedding)))
    return inference.shared_model(_Reader, entry, inference.resolve_device(device))


class _Reader(Matcher):
    """A matcher that only reads texts."""

    @classmethod
    def of(cls, entry: catalogue.Entry, device: str | torch.device = "cpu", *, image: bool = False) -> Matcher:
        return super().of(entry, device, image=image)
