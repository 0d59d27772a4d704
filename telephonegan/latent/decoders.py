"""What the sampler moves in: vectors and the pictures that a generator makes of them, for generators of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from telephonegan.errors import SettingsError
from telephonegan.generation import Generator
from telephonegan.images import to_tensor, working_image
from telephonegan.latent import codes
from telephonegan.latent.codes import CodeModel
from telephonegan.latent.priors import AutoencoderPrior, GaussianPrior, JointPrior, NoPrior, Prior
from telephonegan.latent.shared_sight import shared_sight
from telephonegan.networks.ppgn import INPUT_SIZE


@dataclass(frozen=True)
class Units:
    """What 1 is in PPGN's settings, in a decoder's own vectors.

    PPGN's numbers belong to codes of CaffeNet's layer fc6, from 0 to 30, and pixels from -120 to 120. `step` is its
    step of 1, `prior` its ε1 of 1, `context` its ε4 of 1.
    """

    step: float = 1.0
    prior: float = 1.0
    context: float = 1.0


# Measured with `photos`, six classes, five seeds each, 50 steps (n = 30), coordinates of deviation 1. Without a prior
# Lite2, which is not climbed, agrees with 15, 19 and 12 pictures after steps of 0.05, 0.1 and 0.2. With the joint prior
# it does with 13, 14 and 16 for an effective ε1 of 0.001, 0.003 and 0.01, and at 0.01 colours and outlines become
# natural, while Lite0 gives the class 0.63 in place of 0.92. PPGN describes its ε1 for classes: 1e-5 for pictures of
# the class, 1e-3 for something abstract, 1e-1 for hardly the class; `prior` makes 0.01 of its 1e-5. Gradients of
# captions are some 20 times as large, and their ε1 in PPGN 100 times.
_STEP, _PRIOR = 0.1, 1000.0
_LEVELS, _PIXELS = 120, 227  # of PPGN's pictures: the largest number, and the pixels on a side


def units_of_codes(size: int) -> Units:
    """What 1 is in PPGN's settings for codes of standard deviation 1, and pictures in [-1,1] of `size` pixels."""
    return Units(step=_STEP, prior=_PRIOR, context=_LEVELS**2 * (_PIXELS / size) ** 2)


class Decoder(Protocol):
    """From vectors (B,W), float32, to pictures (B,3,S,S) in [-1,1], with gradients.

    `width` is W, `size` is S, and vectors stay within `low` and `high`.
    """

    name: str
    width: int
    size: int
    low: float
    high: float
    units: Units
    device: torch.device

    def __call__(self, vectors: Tensor) -> Tensor: ...

    def random(self, generator: torch.Generator) -> Tensor:
        """A random vector (W,) to start from, on the CPU."""
        ...


class LatentDecoder:
    """A generator of ours with its text fixed: the vector is its latents, or some `parts` of them, one after another.

    For an AttnGAN these are "noise" and "eps", the deviation of the conditioning augmentation from its mean, so that
    standard normal vectors are exactly what it was trained with. Parts that are not moved are those of `latents`, or 0.
    Raises SettingsError for unknown parts, TextError for a text without known words.

    >>> decoder = LatentDecoder(Generator.load("flickr8k"), "a dog runs in the grass")  # doctest: +SKIP
    >>> decoder.width, decoder(torch.zeros(1, 200)).shape  # doctest: +SKIP
    (200, torch.Size([1, 3, 128, 128]))
    """

    # The longest of 200 standard normal numbers is rarely beyond 4. A step of 1 moves a number by 0.1 on average.
    low, high, units = -4.0, 4.0, Units(step=0.1)

    def __init__(
        self,
        generator: Generator,
        text: str = "",
        *,
        parts: Sequence[str] | None = None,
        latents: dict[str, np.ndarray] | None = None,
    ) -> None:
        painter = generator.painter
        known = {**painter.latent_widths, **painter.offset_widths}
        self.parts = tuple(painter.latent_widths if parts is None else parts)
        unknown = [part for part in self.parts if part not in known]
        if unknown or not self.parts:
            told = f"has no latent {unknown[0]!r}" if unknown else "needs at least one part to move"
            raise SettingsError(f"{generator.name!r} {told}. It has {', '.join(known)}.")
        self.generator, self.name, self.device, self.size = generator, generator.name, generator.device, generator.size
        self.widths = [known[part] for part in self.parts]
        self.width = sum(self.widths)
        self._encoded = generator.encode(text)
        fixed = generator.checked_latents([latents or {}], 1)[0]
        self._fixed = {
            name: fixed.get(name, torch.zeros(width)).to(self.device)
            for name, width in known.items()
            if name not in self.parts and (name in painter.latent_widths or name in fixed)
        }
        self._read: dict[int, Any] = {}  # the text as the painter reads it, by the number of rows

    def __call__(self, vectors: Tensor) -> Tensor:
        rows, painter = len(vectors), self.generator.painter
        if rows not in self._read:
            with torch.no_grad():
                self._read[rows] = painter.read([self._encoded] * rows)
        latents = dict(zip(self.parts, vectors.split(self.widths, 1), strict=True))
        latents |= {name: part.expand(rows, -1) for name, part in self._fixed.items()}
        return painter.paint(latents, self._read[rows])[0][-1].float()

    def random(self, generator: torch.Generator) -> Tensor:
        # Part by part, as the generator draws them, so that a seed starts at the picture that it paints.
        return torch.cat([torch.randn(width, generator=generator) for width in self.widths])

    def vector(self, latents: dict[str, Any]) -> Tensor:
        """The vector (W,) of latents by part; parts that are missing are 0."""
        widths = zip(self.parts, self.widths, strict=True)
        return torch.cat([torch.as_tensor(np.asarray(latents.get(part, np.zeros(w)))).float() for part, w in widths])

    def latents(self, vector: Any) -> dict[str, np.ndarray]:
        """All latents by part, such as `generate(latents=…)` takes, of a vector (W,)."""
        pieces = torch.as_tensor(np.asarray(vector)).float().split(self.widths)
        own = {part: piece.numpy() for part, piece in zip(self.parts, pieces, strict=True)}
        return own | {name: part.cpu().numpy() for name, part in self._fixed.items()}


class CodeDecoder:
    """The generator of plug & play generation: the vector is a code in the coordinates of its principal axes.

    See `latent.codes`. `low` and `high` are where 99.9 % of the coordinates of photographs lie. Starts are drawn from
    N(0,1), as PPGN's are; here photographs have the same mean and covariance, so that a start already looks like one. A
    step changes all coordinates alike, and so a code mostly in the directions in which photographs differ.

    >>> decoder = CodeDecoder.load("photos")  # doctest: +SKIP
    >>> decoder(decoder.encode(images)).shape  # doctest: +SKIP
    torch.Size([1, 3, 128, 128])
    """

    def __init__(self, model: CodeModel) -> None:
        self.units = units_of_codes(model.size)
        self.model, self.name, self.device = model, model.name, torch.device(model.device)
        self.width, self.size = model.axes.number, model.size
        self.low, self.high = -model.axes.bound, model.axes.bound
        self._sight = shared_sight(model.encoder.backbone.name, self.device, INPUT_SIZE)

    @classmethod
    def load(cls, name: str = "photos", device: str | torch.device = "auto") -> CodeDecoder:
        """The decoder of the model ppgn/`name`. Raises UnknownModelError, WeightsError, or SettingsError."""
        return cls(codes.load(name, device))

    def __call__(self, vectors: Tensor) -> Tensor:
        return self.model.paint(self.model.axes.codes(vectors)).float()

    def random(self, generator: torch.Generator) -> Tensor:
        return torch.randn(self.width, generator=generator)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The vectors (B,W) of pictures (B,3,H,W) in [-1,1]."""
        return self.model.axes.coordinates(self.model.encoder.of_map(self._sight(images.to(self.device))))

    def code_of(self, image: Any) -> Tensor:
        """The vector (W,) of a photograph, which is squashed to a square. Raises ImageError."""
        return self.encode(to_tensor([working_image(image)], INPUT_SIZE))[0]

    def prior(self, name: str) -> Prior:
        """The prior of that name: "joint", "dae", "l2" or "none". Raises SettingsError."""
        priors = {
            "joint": lambda: JointPrior(self.encode),
            "dae": lambda: AutoencoderPrior(self._denoised),
            "l2": lambda: GaussianPrior(name="l2"),
            "none": NoPrior,
        }
        if name not in priors:
            raise SettingsError(f"The prior of codes is one of {', '.join(priors)}; {name!r} was given.")
        return priors[name]()

    def _denoised(self, vectors: Tensor) -> Tensor:
        axes = self.model.axes
        return axes.coordinates(self.model.autoencoder(axes.codes(vectors)))
