"""From pictures to captions: a trained captioner, its vocabulary and its vision network."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from PIL import Image

from telephonegan import inference
from telephonegan.errors import SettingsError
from telephonegan.images import ValueRange, working_image
from telephonegan.networks import decoding
from telephonegan.results import Caption
from telephonegan.vision import BACK_ENDS
from telephonegan.zoo import catalogue

METHODS = ("beam", "greedy", "sample")


@dataclass(frozen=True)
class Decoding:
    """How word probabilities become a caption. Raises SettingsError for options the method does not take.

    `beam_width` (1–20; None: the width the model was measured with) belongs to "beam"; `temperature` (> 0) and `top_p`
    (0–1] belong to "sample".
    """

    method: str = "beam"
    beam_width: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SettingsError(f"{self.method!r} is not a way to decode. Allowed: {', '.join(METHODS)}.")
        if self.beam_width is not None:
            object.__setattr__(self, "beam_width", inference.check_whole(self.beam_width, "beam_width", 1, 20))
        if not inference.is_number(self.temperature) or not 0 < self.temperature <= 100:
            raise SettingsError(f"temperature must be above 0 and at most 100; {self.temperature!r} was given.")
        if not inference.is_number(self.top_p) or not 0 < self.top_p <= 1:
            raise SettingsError(f"top_p must be above 0 and at most 1; {self.top_p!r} was given.")
        for name in ("temperature", "top_p"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.method != "sample" and (self.temperature, self.top_p) != (1.0, 1.0):
            raise SettingsError(f"temperature and top_p need the method 'sample'; it is {self.method!r}.")
        if self.method != "beam" and self.beam_width is not None:
            raise SettingsError(f"beam_width needs the method 'beam'; it is {self.method!r}.")


class Captioner:
    """Describes pictures in words (Xu et al., "Show, Attend and Tell", 2015; Vinyals et al., "Show and Tell", 2015).

    >>> captioner = Captioner.load("flickr8k")  # doctest: +SKIP
    >>> captioner([Image.open("dog.jpg")])[0].text  # doctest: +SKIP
    'a brown dog runs through the grass'
    """

    def __init__(self, entry: catalogue.Entry, device: str | torch.device = "auto") -> None:
        self.name, self.sha256, self.device = entry.name, entry.sha256, inference.resolve_device(device)
        self.precision = "float32"
        settings = inference.settings_of(entry, *BACK_ENDS)
        self.vocabulary = inference.vocabulary_of(entry)
        self.markers = decoding.Markers.of(self.vocabulary)
        self.beam_width: int = settings.value("beam_width", int)
        self.length_power: float = settings.value("length_power", float)
        self.words_limit: int = settings.value("words_limit", int)
        self.vision = BACK_ENDS[entry.architecture].of(entry, settings, len(self.vocabulary), self.device)

    @classmethod
    def of(cls, entry: catalogue.Entry, device: str | torch.device = "auto") -> Captioner:
        """The captioner of a manifest entry. Raises WeightsError, or SettingsError for the device."""
        return cls(entry, device)

    @classmethod
    def load(cls, name: str = "flickr8k", device: str | torch.device = "auto") -> Captioner:
        """The captioner of that name. Raises UnknownModelError, WeightsError, or SettingsError for the device."""
        return cls.of(catalogue.find("captioner", name), device)

    def computing_in(self, precision: str) -> Captioner:
        """The same networks, computing in "float32" or "bf16". Raises SettingsError where that would be slower."""
        other = copy.copy(self)
        other.precision = inference.check_precision(precision, self.device)
        return other

    def __call__(
        self,
        images: Sequence[Any],
        *,
        method: str = "beam",
        beam_width: int | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seeds: Sequence[int] | None = None,
        value_range: ValueRange | None = None,
    ) -> list[Caption]:
        """One caption per picture (anything `as_image` reads), computed together, at most 32 at a time.

        `seeds`, one per picture (default: all 0), affect the method "sample" only; see `Decoding` for the rest, and
        `as_image` for `value_range`. Raises ImageError or SettingsError.
        """
        how = Decoding(method, beam_width, temperature, top_p)
        pictures = [working_image(image, value_range=value_range) for image in images]
        seeds = [0] * len(pictures) if seeds is None else [inference.check_seed(seed) for seed in seeds]
        if len(seeds) != len(pictures):
            raise SettingsError(f"There are {len(pictures)} pictures and {len(seeds)} seeds. Give one seed for each.")
        return inference.in_batches(partial(self._describe, how=how), pictures, seeds)

    @torch.inference_mode()
    def _describe(self, pictures: list[Image.Image], seeds: list[int], how: Decoding) -> list[Caption]:
        with inference.computing(self.device, self.precision):
            features = self._features(pictures)
        with inference.computing(self.device):  # word by word the matrices are too small to gain from bfloat16
            beams = self._decode(features.float(), seeds, how)
        shown_seeds = seeds if how.method == "sample" else [None] * len(seeds)
        return [
            self._caption(beam, picture, seed) for beam, picture, seed in zip(beams, pictures, shown_seeds, strict=True)
        ]

    def _features(self, pictures: list[Image.Image]) -> torch.Tensor:
        size = inference.at_once(self.vision.device, self.vision.input_size**2 // 4)  # their first layer halves them
        starts = range(0, len(pictures), size)
        return torch.cat([self.vision.features(self.vision.pixels(pictures[i : i + size])) for i in starts])

    def _decode(self, features: torch.Tensor, seeds: list[int], how: Decoding) -> list[list[decoding.Sentence]]:
        decoder, limit = self.vision.decoder, self.words_limit
        if how.method == "beam":
            width = how.beam_width or self.beam_width
            return decoding.beam(
                decoder, features, self.markers, width=width, limit=limit, length_power=self.length_power
            )
        if how.method == "greedy":
            return [[said] for said in decoding.greedy(decoder, features, self.markers, limit=limit)]
        generators = [inference.random_generator(seed) for seed in seeds]
        sampled = decoding.sample(
            decoder, features, self.markers, generators, temperature=how.temperature, top_p=how.top_p, limit=limit
        )
        return [[said] for said in sampled]

    def _caption(self, beam: list[decoding.Sentence], picture: Image.Image, seed: int | None) -> Caption:
        best, *others = beam
        words = self.vocabulary.decode(best.ids)
        return Caption(
            text=" ".join(words),
            words=words,
            probabilities=best.probabilities,
            attention=None if best.attention is None else best.attention.unflatten(1, self.vision.grid).numpy(),
            alternatives=[(" ".join(self.vocabulary.decode(other.ids)), other.log_probability) for other in others],
            log_probability=best.log_probability,
            model=self.name,
            seed=seed,
            image=picture,
        )
