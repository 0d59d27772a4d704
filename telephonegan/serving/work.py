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
from telephonegan.embedding import Embedding, embed, load_embedding
from telephonegan.errors import TelephoneganError, WeightsError
from telephonegan.generation import Edit, Generator
from telephonegan.latent import AxisSet, Guiding
from telephonegan.matcher import Matcher
from telephonegan.networks.backbone import BACKBONES, backbone_file
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
        axes, embeddings = self._axes(), self._embeddings()
        self.axis_names = [entry.name for entry in axes]
        self.embedding_names = [f"{entry.kind}/{entry.name}" for entry in embeddings]
        self.entries += axes + embeddings
        # Generators of axes are loaded too, though only those in `generator_names` paint texts for everybody.
        self.captioners: dict[str, Captioner] = {}
        self.generators: dict[str, Generator] = {}
        self.axes: dict[str, AxisSet] = {}
        self.embeddings: dict[str, Matcher] = {}

    def _axes(self) -> list[catalogue.Entry]:
        """The axes that are wanted by name, and those of what is served anyway; of other versions of it none."""
        sha256 = {entry.name: entry.sha256 for entry in catalogue.entries("generator")}
        if self._settings.worlds:
            sha256 = {name: sha256[name] for name in self.generator_names}
        chosen = [catalogue.find("axes", name) for name in self._settings.axes]
        fitting = [
            entry
            for entry in catalogue.entries("axes")
            if entry.settings.get("generator") in sha256
            and entry.settings.get("sha256") == sha256[entry.settings["generator"]]
        ]
        return _unique(chosen + fitting)

    def _embeddings(self) -> list[catalogue.Entry]:
        """What is wanted by name, what reads for the generators and, if no world was chosen, all of that kind."""
        wanted = [name if "/" in name else f"embedding/{name}" for name in self._settings.embeddings]
        chosen = [catalogue.find(*name.split("/", 1)) for name in wanted]
        readers = {
            (kind, catalogue.find("generator", name).settings.get(kind))
            for name in self.generator_names
            for kind in ("damsm", "embedding")
        }
        found = [entry for entry in catalogue.entries() if (entry.kind, entry.name) in readers]
        return _unique(chosen + found + ([] if self._settings.worlds else catalogue.entries("embedding")))

    @property
    def networks(self) -> list[str]:
        """The networks that judge what is guided, of which the packages are installed. They are read when needed."""
        return [name for name in BACKBONES if _is_installed(name)]

    def load(self) -> None:
        """Read all weights, and use each model once. Raises WeightsError or SettingsError."""
        device = inference.resolve_device(self._settings.device)
        precision = self._settings.precision
        self.captioners = {name: Captioner.load(name, device).computing_in(precision) for name in self.captioner_names}
        self.axes = {name: AxisSet.of(catalogue.find("axes", name)) for name in self.axis_names}
        names = dict.fromkeys([*self.generator_names, *(axes.generator for axes in self.axes.values())])
        self.generators = {name: Generator.load(name, device).computing_in(precision) for name in names}
        self.embeddings = {name: load_embedding(name, device) for name in self.embedding_names}
        for captioner in self.captioners.values():
            captioner([Image.new("RGB", (64, 64))])
        for generator in self.generators.values():
            generator(generator.vocabulary.common(1) if generator.takes_text else [""], seeds=[0])
        for axes in self.axes.values():
            axes.check_model(self.generators[axes.generator].sha256)


def _is_installed(backbone: str) -> bool:
    try:
        return backbone_file(backbone).exists()
    except WeightsError:
        return False


def _unique(entries: Sequence[catalogue.Entry]) -> list[catalogue.Entry]:
    return list({(entry.kind, entry.name): entry for entry in entries}.values())


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
class PaintMoved:
    """Pictures of (text, seed, latents), of which the seed has drawn the rest."""

    generator: str

    def compute(self, models: Models, items: Sequence[tuple[str, int, Edit]]) -> list[Picture]:
        texts, seeds, latents = zip(*items, strict=True)
        return models.generators[self.generator](texts, seeds=seeds, latents=latents)


@dataclass(frozen=True)
class BeginGuide:
    """Guides at their start, of what (text, seed) paints."""

    generator: str
    toward: str | int
    steps: int
    network: str

    def compute(self, models: Models, items: Sequence[tuple[str, int]]) -> list[Guiding]:
        generator = models.generators[self.generator]
        how = {"steps": self.steps, "network": self.network, "generator": generator}
        starts = [generator([text], seeds=[seed])[0] for text, seed in items]
        return [Guiding(start, self.toward, **how) for start in starts]


@dataclass(frozen=True)
class GoOnGuiding:
    """The next steps of guides, each of which is then in its own part of the way."""

    steps: int

    def compute(self, models: Models, items: Sequence[Guiding]) -> list[Guiding]:
        for guiding in items:
            guiding.advance(self.steps)
        return list(items)


@dataclass(frozen=True)
class Embed:
    """Vectors of texts."""

    embedding: str

    def compute(self, models: Models, items: Sequence[str]) -> list[Embedding]:
        return embed(items, embedding=models.embeddings[self.embedding])


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


Work = Describe | Paint | PaintMoved | BeginGuide | GoOnGuiding | Embed | PaintStages | PlayRound
Item = Any
