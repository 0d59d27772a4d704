"""What the routes answer, as pydantic models: the schemas of the API."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from PIL import Image
from pydantic import BaseModel, Field

from telephonegan import strips
from telephonegan.embedding import Embedding
from telephonegan.files import png_bytes
from telephonegan.latent import AxisSet, Guided
from telephonegan.results import Caption, Picture
from telephonegan.serving.games import Game


class WordMap(BaseModel):
    """Where the network looked for one word."""

    word: str
    peak: float = Field(description="The largest weight of the map, which is white in the picture.")
    png: str = Field(description="The map as a grey picture, PNG in base64, at its own resolution.")


class CaptionAnswer(BaseModel):
    """A sentence about a picture."""

    text: str
    words: list[str]
    probabilities: list[float]
    log_probability: float | None
    alternatives: list[tuple[str, float]] = Field(description="Other sentences and their log-probabilities.")
    model: str
    seed: int | None = Field(description="Null unless words were sampled.")
    attention: list[WordMap] | None = None

    @classmethod
    def of(cls, caption: Caption, *, attention: bool) -> CaptionAnswer:
        """The answer for a caption, with a map for every word if wanted."""
        return cls(
            text=caption.text,
            words=caption.words,
            probabilities=caption.probabilities,
            log_probability=caption.log_probability,
            alternatives=caption.alternatives,
            model=caption.model,
            seed=caption.seed,
            attention=word_maps(caption.words, caption.attention) if attention else None,
        )


class PictureAnswer(BaseModel):
    """A painted picture."""

    text: str
    seed: int
    model: str
    words: list[str] = Field(description="The words that were painted.")
    dropped_words: list[str] = Field(description="The words that the model does not know.")
    truncated: int = Field(description="The number of words beyond the model's limit.")
    width: int
    height: int
    png: str = Field(description="The picture, PNG in base64.")
    attention: list[WordMap] | None = None

    @classmethod
    def of(cls, picture: Picture, size: int | None, *, attention: bool) -> PictureAnswer:
        """The answer for a picture of that size, with a map for every word if wanted."""
        image = sized(picture, size)
        return cls(
            text=picture.text,
            seed=picture.seed,
            model=picture.model,
            words=picture.words,
            dropped_words=picture.dropped_words,
            truncated=picture.truncated,
            width=image.width,
            height=image.height,
            png=base64.b64encode(png_bytes(image)).decode("ascii"),
            attention=word_maps(picture.words, picture.attention) if attention else None,
        )


class GenerateAnswer(BaseModel):
    """The pictures of the first text, then those of the second, and so on."""

    pictures: list[PictureAnswer]


class VectorAnswer(BaseModel):
    """A sentence as a vector."""

    text: str
    vector: list[float]
    model: str
    words: list[str] = Field(description="The words that were read.")
    dropped_words: list[str] = Field(description="The words, or for a reader of letters the letters, it does not know.")
    truncated: int = Field(description="The number of words beyond the model's limit.")

    @classmethod
    def of(cls, found: Embedding) -> VectorAnswer:
        """The answer for an embedding."""
        return cls(
            text=found.text,
            vector=found.vector.tolist(),
            model=found.model,
            words=found.words,
            dropped_words=found.dropped,
            truncated=found.truncated,
        )


class EmbedAnswer(BaseModel):
    """The vectors of the texts, in their order."""

    embeddings: list[VectorAnswer]


class AxesAnswer(BaseModel):
    """A picture that was moved along axes."""

    picture: PictureAnswer
    at: dict[str, float] = Field(description="Where it is along each axis, in σ of random pictures.")
    walk: str = Field(description="Seed, steps and locks in one line, as telephonegan.latent.Walk.restore reads it.")


class GuideAnswer(BaseModel):
    """A picture that was pushed towards a class."""

    picture: PictureAnswer
    start: PictureAnswer = Field(description="What the seed paints, from where it was pushed.")
    label: str = Field(description="The name of the class.")
    network: str
    probabilities: list[float] = Field(
        description="What the network says of the class, of the start and after each step; fewer if it cannot go on."
    )

    @classmethod
    def of(cls, guided: Guided, network: str, size: int | None) -> GuideAnswer:
        """The answer for a guide, with pictures of that size."""
        picture, start = (PictureAnswer.of(each, size, attention=False) for each in (guided.picture, guided.start))
        chances = [float(chance) for chance in guided.probabilities]
        return cls(picture=picture, start=start, label=guided.label, network=network, probabilities=chances)


class RoundAnswer(BaseModel):
    """One round of a game."""

    index: int
    caption: str
    words: list[str]
    probabilities: list[float] = Field(description="Of the words; empty for a text that was given.")
    picture: str | None = Field(description="Where the picture is kept for a day; null in round 0, which is yours.")
    dropped_words: list[str]


class GameAnswer(BaseModel):
    """A game of the broken telephone, and the rounds that have been played."""

    id: str
    status: str = Field(description="playing, done, out of words, stopped or failed")
    reason: str | None = Field(description="Why it failed; null unless it did.")
    rounds_wanted: int
    captioner: str
    generator: str
    seed: int
    rounds: list[RoundAnswer]
    events: str = Field(description="Where the rounds come as server-sent events, each as soon as it is played.")

    @classmethod
    def of(cls, game: Game) -> GameAnswer:
        """The answer for a game."""
        return cls(
            id=game.id,
            status=game.status,
            reason=game.reason,
            rounds_wanted=game.wanted,
            captioner=game.captioner,
            generator=game.generator,
            seed=game.seed,
            rounds=[RoundAnswer(**each) for each in game.rounds],
            events=f"/v1/telephone/{game.id}/events",
        )


class ModelAnswer(BaseModel):
    """A model that is served."""

    name: str
    kind: str
    description: str
    licence: str
    size: int = Field(description="Bytes of its file.")
    sha256: str


class WorldAnswer(BaseModel):
    """Captioner and generator that learned the same photographs, under one name."""

    name: str
    knows: str
    examples: list[str]


class FeatureAnswer(BaseModel):
    """What one axis changes."""

    name: str
    r2: float | None = Field(description="The share of its score that the axis explains; null if it has no score.")
    ends: tuple[str, str] | None = Field(description="What lies at the two ends, in words.")


class AxesOfModel(BaseModel):
    """Axes in the latent space of a generator."""

    name: str
    generator: str
    takes_text: bool
    features: list[FeatureAnswer]

    @classmethod
    def of(cls, name: str, axes: AxisSet, *, takes_text: bool) -> AxesOfModel:
        """The description of a set of axes."""
        scores = [None] * len(axes) if axes.r2 is None else axes.r2.tolist()
        features = [
            FeatureAnswer(name=each, r2=r2, ends=axes.ends.get(each))
            for each, r2 in zip(axes.names, scores, strict=True)
        ]
        return cls(name=name, generator=axes.generator, takes_text=takes_text, features=features)


class ModelsAnswer(BaseModel):
    """What is served, and within which limits."""

    version: str
    worlds: list[WorldAnswer]
    models: list[ModelAnswer]
    axes: list[AxesOfModel]
    networks: list[str] = Field(description="The networks that can judge for /v1/guide.")
    limits: dict[str, int]


class BirdPictures(BaseModel):
    """Addresses of a picture in three sizes."""

    small: str
    medium: str
    large: str


class Bird(BirdPictures):
    """Addresses of a picture in three sizes and of its two attention pictures, and the seconds that it took."""

    map1: str
    map2: str
    caption: str
    elapsed: float


class BirdAnswer(BaseModel):
    """The answer of `/api/v1.0/bird`."""

    bird: Bird


class Birds(BaseModel):
    """Six pictures of one caption, and the seconds that they took."""

    bird1: BirdPictures
    bird2: BirdPictures
    bird3: BirdPictures
    bird4: BirdPictures
    bird5: BirdPictures
    bird6: BirdPictures
    caption: str
    elapsed: float


class BirdsAnswer(BaseModel):
    """The answer of `/api/v1.0/birds`."""

    bird: Birds


def word_maps(words: Sequence[str], attention: np.ndarray | None) -> list[WordMap] | None:
    """A grey picture of every map (L,H,W), white at its peak; None for a model without attention."""
    if attention is None:
        return None
    maps = []
    for word, seen in zip(words, attention, strict=True):
        peak = float(seen.max())
        grey = Image.fromarray((seen / max(peak, 1e-12) * 255).round().clip(0, 255).astype(np.uint8))
        maps.append(WordMap(word=word, peak=peak, png=base64.b64encode(png_bytes(grey)).decode("ascii")))
    return maps


def sized(picture: Picture, size: int | None) -> Image.Image:
    """The picture of that width: a stage that the generator painted, else its last one scaled."""
    if size is None:
        return picture.image
    stage = next((stage for stage in picture.stages if stage.width == size), None)
    return strips.scaled(picture.image, size) if stage is None else stage
