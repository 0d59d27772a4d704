"""Between two pictures of a generator: from one sentence to another, from one noise to another, or both at once.

Radford et al., "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks" (2016),
for the noise; Reed et al., "Generative Adversarial Text to Image Synthesis" (2016), for the sentences.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from telephonegan import inference, strips
from telephonegan.errors import SettingsError
from telephonegan.files import png_bytes, write_new
from telephonegan.generation import Generator
from telephonegan.results import Picture
from telephonegan.zoo import catalogue

DEFAULT_MODEL = "flickr8k"
_MOST = 256


@dataclass(frozen=True, eq=False, repr=False)
class Interpolation:
    """The pictures of a way, and where on it each of them stands, from 0 to 1."""

    pictures: list[Picture]
    places: list[float]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Picture:
        return self.pictures[index]

    def __iter__(self) -> Iterator[Picture]:
        return iter(self.pictures)

    def __repr__(self) -> str:
        return f"Interpolation({len(self)} pictures, {self.pictures[0].text!r:.40} to {self.pictures[-1].text!r:.40})"

    def _repr_png_(self) -> bytes:
        return png_bytes(self.strip())

    def strip(self) -> Image.Image:
        """The pictures side by side, the ends with their sentences."""
        return strips.strip(self._tiles())

    def animate(self, path: str | os.PathLike[str], *, milliseconds: int = 120) -> Path:
        """Write the way there and back as an endless GIF to a new file. Raises OutputError."""
        shown = [picture.image for picture in self]
        first, *others = [*shown, *shown[-2:0:-1]]
        buffer = BytesIO()
        first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
        return write_new(path, buffer.getvalue())

    def _tiles(self) -> list[strips.Tile]:
        last = len(self) - 1
        return [
            strips.Tile(picture.image, picture.text if i in (0, last) else "", f"{place:.0%}", arrow=i > 0)
            for i, (picture, place) in enumerate(zip(self.pictures, self.places, strict=True))
        ]


def interpolate(
    text: str,
    to: str | None = None,
    *,
    seed: int = 0,
    to_seed: int | None = None,
    steps: int = 8,
    truncation: float = 1.0,
    generator: str | Generator = DEFAULT_MODEL,
    device: str = "auto",
) -> Interpolation:
    """Pictures on the way from one sentence to another, and from the noise of one seed to that of another.

    `to` and `to_seed` default to what they start from; one of them must differ. Sentence embeddings move along a
    straight line, noise along an arc, so that its length stays likely. Where a generator attends to words, they are
    those of the nearer sentence. `steps` counts the pictures, both ends included. Raises TextError, SettingsError,
    UnknownModelError, WeightsError.

    >>> interpolate("a red flower", "a yellow flower", generator="gan-cls-flowers").animate("red.gif")  # doctest: +SKIP
    """
    found = _loaded(generator, device)
    inference.check_whole(steps, "steps", 2, _MOST)
    ends, seeds = [text, text if to is None else to], [seed, seed if to_seed is None else to_seed]
    if ends[0] == ends[1] and seeds[0] == seeds[1]:
        raise SettingsError("Both ends are the same. Give another sentence (`to`), another `to_seed`, or both.")
    places = [step / (steps - 1) for step in range(steps)]
    nearer = [round(place) for place in places]
    latents = found.latents(seeds, truncation=truncation)
    offsets = _offsets(found, ends) if ends[0] != ends[1] else None
    edits = []
    for place, near in zip(places, nearer, strict=True):
        edit = {name: slerp(part[0], part[1], place).cpu().numpy() for name, part in latents.items()}
        if offsets is not None:
            edit["sentence"] = (place - near) * offsets
        edits.append(edit)
    pictures = found([ends[near] for near in nearer], seeds=[seeds[near] for near in nearer], latents=edits)
    return Interpolation(pictures, places)


def slerp(one: Tensor, other: Tensor, place: float) -> Tensor:
    """A point on the arc between two vectors (D,), its length between theirs; on the line where they are parallel.

    >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
    tensor([0.7071, 0.7071])
    """
    cosine = torch.nn.functional.cosine_similarity(one, other, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if angle < 1e-3 or angle > torch.pi - 1e-3:
        return torch.lerp(one, other, place)
    return (((1 - place) * angle).sin() * one + (place * angle).sin() * other) / angle.sin()


@torch.inference_mode()
def _offsets(generator: Generator, ends: list[str]) -> np.ndarray:
    """The second sentence's embedding less the first one's, (D,)."""
    painter = generator.painter
    if "sentence" not in painter.offset_widths:
        raise SettingsError(f"{generator.name!r} cannot paint between two sentences. Give `to_seed` instead of `to`.")
    sentences = [painter.read([generator.encode(text)]).sentences[0] for text in ends]
    return (sentences[1] - sentences[0]).float().cpu().numpy()


def _loaded(generator: str | Generator, device: str) -> Generator:
    if isinstance(generator, Generator):
        return generator
    entry = catalogue.find("generator", generator)
    return inference.shared_model(Generator, entry, inference.resolve_device(device))
