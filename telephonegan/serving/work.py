"""The kinds of work that the models do for requests, each for a batch of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from telephonegan import inference, sampling
from telephonegan.captioning import Captioner, Decoding
from telephonegan.chains import PlaySettings
from telephonegan.errors import TelephoneganError
from telephonegan.generation import Generator
from telephonegan.results import Caption, Picture, Round
from telephonegan.serving.settings import Settings
from telephonegan.telephone import Position, Telephone
from telephonegan.text import EncodedText
from telephonegan.zoo import catalogue
from telephonegan.zoo.worlds import World, find_world, worlds

Stages = tuple[list[Image.Image], list[np.ndarray]]


class Models:
    """The models of a server by name, all in memory. Only the thread that owns them computes with them.

    Names are checked now, and raise UnknownModelError; `load` reads the weights.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.worlds: list[World] = [find_world(name) for name in settings.worlds] or worlds()
        names = [world.name for world in self.worlds]
        self.captioner_names = list(dict.fromkeys([*names, *settings.captioners]))
        self.generator_names = list(dict.fromkeys([*names, *settings.generators]))
        self.entries = [catalogue.find("captioner", name) for name in self.captioner_names]
        self.entries += [catalogue.find("generator", name) for name in self.generator_names]
        if not self.captioner_names or not self.generator_names:
            raise TelephoneganError("There is no captioner or no generator to serve. See `telephonegan models`.")
        self.bird = settings.bird or ("birds" if "birds" in self.generator_names else self.generator_names[0])
        if self.bird not in self.generator_names:
            self.generator_names.append(self.bird)
            self.entries.append(catalogue.find("generator", self.bird))
        self.captioners: dict[str, Captioner] = {}
        self.generators: dict[str, Generator] = {}

    def load(self) -> None:
        """Read all weights, and use each model once. Raises WeightsError or SettingsError."""
        device = inference.resolve_device(self._settings.device)
        self.captioners = {name: Captioner.load(name, device) for name in self.captioner_names}
        self.generators = {name: Generator.load(name, device) for name in self.generator_names}
        for captioner in self.captioners.values():
            captioner([Image.new("RGB", (64, 64))])
        for generator in self.generators.values():
            generator([generator.vocabulary.common(1)[0]], seeds=[0])


@dataclass(frozen=True)
class Describe:
    """Captions of (picture, seed)."""

    captioner: str
    how: Decoding

    def compute(self, models: Models, items: Sequence[tuple[Image.Image, int]]) -> list[Caption]:
        images, seeds = zip(*items, strict=True)
        return models.captioners[self.captioner](images, seeds=seeds, **vars(self.how))


@dataclass(frozen=True)
class Paint:
    """Pictures of (text, seed)."""

    generator: str
    truncation: float = 1.0
    candidates: int = 1

    def compute(self, models: Models, items: Sequence[tuple[str, int]]) -> list[Picture]:
        texts, seeds = zip(*items, strict=True)
        how = {"truncation": self.truncation, "candidates": self.candidates}
        return models.generators[self.generator](texts, seeds=seeds, **how)


@dataclass(frozen=True)
class PaintStages:
    """Of (encoded text, seed) the pictures of every size, and the attention (L,H,W) of every size but the last."""

    generator: str

    def compute(self, models: Models, items: Sequence[tuple[EncodedText, int]]) -> list[Stages]:
        sentences, seeds = zip(*items, strict=True)
        return list(sampling.painted(models.generators[self.generator], sentences, seeds))


@dataclass(frozen=True)
class PlayRound:
    """The next rounds of games at these positions, which are either all at their start or all past it."""

    captioner: str
    generator: str
    settings: PlaySettings
    at_start: bool

    def compute(self, models: Models, items: Sequence[Position]) -> list[Round]:
        phone = Telephone(models.captioners[self.captioner], models.generators[self.generator])
        return phone.next_rounds(items, self.settings)


Work = Describe | Paint | PaintStages | PlayRound
Item = Any
