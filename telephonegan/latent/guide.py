"""Push a painted picture towards something else: a class of ImageNet, a caption, a score of your own.

The sampler of Nguyen et al., "Plug & Play Generative Networks" (2017), over any of our generators: its text stays what
it is, and its noise moves, with a prior that keeps it as long as noise that was drawn.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from telephonegan import strips
from telephonegan.errors import SettingsError
from telephonegan.files import png_bytes, write_new
from telephonegan.generation import Generator
from telephonegan.inference import check_whole
from telephonegan.latent.conditions import Condition, image_class
from telephonegan.latent.decoders import LatentDecoder
from telephonegan.latent.priors import LengthPrior
from telephonegan.latent.sampler import Frame, Sampler, Sampling
from telephonegan.latent.search import loaded
from telephonegan.results import Picture

_SHOWN = 8  # pictures of a strip
_ALIKE = 6.0  # levels of 255 between a picture and the same one painted again, on average


@dataclass(frozen=True, eq=False, repr=False)
class Guided:
    """A picture that was pushed, and its way there.

    `picture` is the last one: its `latents` give it again, with `generate(latents=…)` or `sample(latents=…)`. `start`
    is where it came from, `frames` all pictures on the way, `probabilities` what the condition said of each, (steps,).
    """

    picture: Picture
    start: Picture
    frames: list[Picture]
    probabilities: np.ndarray
    label: str

    def strip(self, shown: int = _SHOWN) -> Image.Image:
        """At most so many of the pictures, evenly spaced, each with its step and probability."""
        places = np.unique(np.linspace(0, len(self.frames) - 1, min(shown, len(self.frames))).round().astype(int))
        tiles = [
            strips.Tile(self.frames[i].image, f"{self.label} {self.probabilities[i]:.0%}", f"{i}", arrow=i > 0)
            for i in places
        ]
        return strips.strip(tiles)

    def animate(self, path: str | os.PathLike[str], *, milliseconds: int = 100) -> Path:
        """Write all pictures as an animation to a new file. Raises OutputError."""
        return write_new(path, strips.gif([frame.image for frame in self.frames], milliseconds))

    def __repr__(self) -> str:
        first, last = self.probabilities[0], self.probabilities[-1]
        return f"Guided({self.label!r}, {first:.3f} → {last:.3f} in {len(self.frames) - 1} steps)"

    def _repr_png_(self) -> bytes:
        return png_bytes(self.strip())


def guide(
    picture: Picture,
    toward: str | int | Condition,
    *,
    steps: int = 40,
    lr: float = 0.4,
    lr_end: float | None = None,
    prior_weight: float = 0.1,
    network: str = "lite0",
    parts: list[str] | None = None,
    generator: Generator | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Guided:
    """Move the latents of a painted picture until it shows something; its text stays the same.

    - `picture`: a result of `generate` or `sample`.
    - `toward`: a class of ImageNet by name or number, judged by `network` ("lite0", "lite1" or "lite2"), or any of
      `telephonegan.latent.conditions`: units, captions, matches, scores, regions and sums of them.
    - `steps` of gradient ascent. `lr` is the mean change per step of a latent number, in tenths of a standard
      deviation, going down to `lr_end` (default: a tenth of `lr`). `prior_weight` keeps their length usual.
    - `parts` of the latents to move (default: all that a seed draws); `generator`, if it is not a stored one.

    The network that judges is deceived sooner than people are: look at the pictures, or ask another network.
    Raises SettingsError for an unknown class, with the nearest names, and for a picture that cannot be painted again.

    >>> dog = tg.generate("a dog runs in the grass", seed=3)  # doctest: +SKIP
    >>> tg.guide(dog, toward="golden retriever").picture.save("golden.png")  # doctest: +SKIP
    """
    guiding = Guiding(
        picture,
        toward,
        steps=steps,
        lr=lr,
        lr_end=lr_end,
        prior_weight=prior_weight,
        network=network,
        parts=parts,
        generator=generator,
        device=device,
    )
    guiding.advance(progress=progress)
    return guiding.result()


class Guiding:
    """What `guide` does, some steps at a time, for programs that have other things to do in between.

    Arguments and errors are those of `guide`, and so is the result.

    >>> guiding = Guiding(dog, "golden retriever", steps=40)  # doctest: +SKIP
    >>> while not guiding.is_finished:  # doctest: +SKIP
    ...     guiding.advance(4)
    >>> guiding.result().picture.save("golden.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        picture: Picture,
        toward: str | int | Condition,
        *,
        steps: int = 40,
        lr: float = 0.4,
        lr_end: float | None = None,
        prior_weight: float = 0.1,
        network: str = "lite0",
        parts: list[str] | None = None,
        generator: Generator | None = None,
        device: str = "auto",
    ) -> None:
        steps = check_whole(steps, "steps", 1, 100_000)
        generator = generator or _generator(picture, device)
        condition = toward if isinstance(toward, Condition) else image_class(toward, network, device=generator.device)
        latents = _latents(picture, generator)
        self._decoder = LatentDecoder(generator, picture.text, parts=parts, latents=latents)
        self._sampler = Sampler(
            self._decoder,
            condition,
            prior=LengthPrior(),
            n_iters=steps,
            lr=lr,
            lr_end=lr / 10 if lr_end is None else lr_end,
            epsilon1=prior_weight,
            save_every=1,
            threshold=-1,
        )
        _check_same(picture, self._decoder, latents)
        self._start, self._label = picture, condition.label
        self._sampling = Sampling(self._sampler.start([0], self._decoder.vector(latents)))

    @property
    def is_finished(self) -> bool:
        """Whether no step is left."""
        return self._sampling.is_finished

    def advance(self, most: int | None = None, *, progress: bool = False) -> None:
        """Take the next steps, at most so many (default: all that are left). The last shows what the others changed."""
        self._sampling = self._sampler.run(after=self._sampling, most=most, progress=progress)

    def result(self) -> Guided:
        """The picture that it has come to, and its way there. Raises SettingsError if there is none."""
        return _guided(self._start, self._decoder, self._sampling, self._label)


def _generator(picture: Picture, device: str) -> Generator:
    if not isinstance(picture, Picture) or not picture.model:
        raise SettingsError("Only a painted picture can be guided: give a result of tg.generate or tg.sample.")
    return loaded(picture.model, device)


def _latents(picture: Picture, generator: Generator) -> dict[str, np.ndarray]:
    if picture.latents is not None:
        return picture.latents
    if picture.seed is None:
        raise SettingsError("This picture has neither a seed nor latents, so it cannot be painted again.")
    return {name: part[0].cpu().numpy() for name, part in generator.latents([picture.seed]).items()}


def _check_same(picture: Picture, decoder: LatentDecoder, latents: dict[str, np.ndarray]) -> None:
    """Raise SettingsError if the picture was painted in another way than from its seed or latents alone."""
    again = decoder.generator([picture.text], seeds=[picture.seed or 0], latents=[latents])[0].image
    given = picture.image.resize(again.size)
    difference = np.abs(np.asarray(again, dtype=float) - np.asarray(given.convert("RGB"), dtype=float)).mean()
    if difference > _ALIKE:
        raise SettingsError(
            "This picture is not what its seed paints: with another truncation, or by another version of the model, "
            "it was painted from other latents. Give them: tg.generate(text, latents=…), and guide that picture."
        )


def _guided(picture: Picture, decoder: LatentDecoder, sampling: Sampling, label: str) -> Guided:
    if not sampling.frames:
        raise SettingsError(f"The first picture could not be judged: {' '.join(sampling.stopped.values())}")
    frames = [_picture(picture, decoder, frame) for frame in sampling.frames]
    chances = np.array([frame.probability for frame in sampling.frames])
    return Guided(frames[-1], picture, frames, chances, label)


def _picture(start: Picture, decoder: LatentDecoder, frame: Frame) -> Picture:
    told: dict[str, Any] = {
        "text": start.text,
        "words": start.words,
        "dropped_words": start.dropped_words,
        "seed": start.seed,
        "model": start.model,
    }
    return Picture(frame.image, [frame.image], latents=decoder.latents(frame.vector), **told)
