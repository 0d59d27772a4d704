"""From a photograph back to latents: which picture of this generator is most like it?

Gradient descent on the latents (Lipton and Tripathi, "Precise Recovery of Latent Vectors from Generative Adversarial
Networks", 2017), on pixels and on frozen EfficientNet-Lite0 features, from several starts at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan import inference
from telephonegan.files import write_new
from telephonegan.generation import Generator
from telephonegan.images import to_tensor, working_image
from telephonegan.latent.search import loaded
from telephonegan.results import Picture

_POOR = 0.45  # of the distance that random pictures have; chosen by eye, not measured
TRIED = 256  # random pictures, of which the best are improved
_STRIDES = (4, 8, 16)
_SHELL = 0.02  # weight of the distance from the length that random latents have
_INPUT = 96


@dataclass(frozen=True, eq=False)
class Inversion:
    """The picture found, and how near it is.

    - `picture`, and its `latents` by part, which `Walk(start=…)` and `sample(latents=…)` take. `target`: the photograph
      as it was compared, (3,S,S) in [-1,1].
    - `error`: the root mean square difference of pixels, from 0 to 1. `distance`: pixels and features together, 1 where
      the photograph is as far away as random pictures of this generator are (their median); `is_poor` above 0.45.
    - `errors`: the distances of all starts.
    """

    picture: Picture
    latents: dict[str, np.ndarray]
    target: Tensor
    error: float
    distance: float
    errors: tuple[float, ...]

    @property
    def is_poor(self) -> bool:
        """Whether the picture is too far from the photograph to be edited in its place."""
        return self.distance > _POOR

    def save_latents(self, path: str | os.PathLike[str]) -> Path:
        """Write the latents to a new .npz file, which `telephonegan axes edit` reads. Raises OutputError."""
        buffer = BytesIO()
        np.savez(buffer, **self.latents)
        return write_new(path, buffer.getvalue())

    def __str__(self) -> str:
        told = f"pixel error {self.error:.3f}, distance {self.distance:.2f} (random pictures: 1)"
        if not self.is_poor:
            return f"Found: {told}."
        return (
            f"Poor: {told}. This generator cannot paint the photograph: is it of what the generator was trained on, "
            "cropped and aligned in the same way? More starts and steps may help."
        )


def invert(
    generator: Generator | str,
    image: Any,
    *,
    text: str = "",
    starts: int = 8,
    steps: int = 200,
    learning_rate: float = 0.08,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> Inversion:
    """The latents whose picture is nearest to a photograph, which is squashed to the generator's square.

    Of 256 random pictures the best `starts` are improved for `steps` steps of Adam; the best of all is returned. For a
    generator that paints texts, `text` is the caption to paint. `image` is anything `images.as_image` reads. Look at
    the result's `is_poor` and `error`. Raises ImageError, SettingsError, TextError.

    >>> found = invert("faces", "me.jpg")  # doctest: +SKIP
    >>> print(found); found.picture.save("found.png")  # doctest: +SKIP
    """
    generator = loaded(generator, device)
    starts = inference.check_whole(starts, "starts", 1, 64)
    steps = inference.check_whole(steps, "steps", 1, 10_000)
    seed = inference.check_seed(seed)
    target = to_tensor([working_image(image)], generator.size).to(generator.device)
    likeness = _Likeness(target)
    encoded = generator.encode(text)

    def paint(latents: dict[str, Tensor]) -> Tensor:
        rows = len(next(iter(latents.values())))
        return generator.painter.paint(latents, generator.painter.read([encoded] * rows))[0][-1].float()

    seeds = [inference.derived_seed(seed, "start", number) for number in range(TRIED)]
    with torch.no_grad():
        chance = torch.cat([likeness(paint(generator.latents(seeds[i : i + 32]))) for i in range(0, len(seeds), 32)])
    best = chance.argsort()[:starts].tolist()
    latents = {n: part.clone() for n, part in generator.latents([seeds[row] for row in best]).items()}
    latents, distances = _descend(latents, paint, likeness, steps, learning_rate, progress)
    place = int(distances.argmin())
    found = {name: part[place].cpu().numpy() for name, part in latents.items()}
    picture = generator([text], seeds=[seed], latents=[found])[0]
    with torch.no_grad():
        painted = paint({name: part[place : place + 1] for name, part in latents.items()})
    return Inversion(
        picture=picture,
        latents=found,
        target=target[0].cpu(),
        error=((painted - target) / 2).square().mean().sqrt().item(),
        distance=float(distances[place] / chance.median()),
        errors=tuple((distances / chance.median()).tolist()),
    )


class _Likeness:
    """The distance (B,) of pictures (B,3,S,S) from one: mean squares of pixels, and of features at unit length."""

    def __init__(self, target: Tensor) -> None:
        self.backbone = inference.shared_backbone("lite0", target.device)
        self.target = target
        with torch.no_grad():
            self.features = self._of(target)

    def _of(self, images: Tensor) -> list[Tensor]:
        enlarged = F.interpolate(images, size=(_INPUT, _INPUT), mode="bilinear", align_corners=False, antialias=True)
        pyramid = self.backbone(enlarged.contiguous(memory_format=torch.channels_last), _STRIDES)
        return [F.normalize(level, dim=1) for level in pyramid.values()]

    def __call__(self, images: Tensor) -> Tensor:
        pixels = (images - self.target).square().mean((1, 2, 3))
        seen = zip(self._of(images), self.features, strict=True)
        return pixels + sum((mine - theirs).square().sum(1).mean((1, 2)) for mine, theirs in seen) / len(_STRIDES)


def _descend(
    latents: dict[str, Tensor], paint: Any, likeness: _Likeness, steps: int, learning_rate: float, progress: bool
) -> tuple[dict[str, Tensor], Tensor]:
    """The best latents (B,·) of every start on its way, and their distances (B,)."""
    from tqdm.auto import tqdm

    latents = {name: part.requires_grad_() for name, part in latents.items()}
    optimiser = torch.optim.Adam(latents.values(), learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=learning_rate / 20)
    best = {name: part.detach().clone() for name, part in latents.items()}
    nearest = torch.full((len(next(iter(latents.values()))),), float("inf"), device=likeness.target.device)
    with torch.enable_grad(), tqdm(total=steps, desc="inverting", disable=not progress, mininterval=0.5) as bar:
        for _ in range(steps):
            distances = likeness(paint(latents))
            closer = distances.detach() < nearest
            for name, part in latents.items():
                best[name][closer] = part.detach()[closer]
            nearest = torch.where(closer, distances.detach(), nearest)
            shell = sum((part.square().mean(1) - 1).square() for part in latents.values())
            optimiser.zero_grad()
            (distances + _SHELL * shell).sum().backward()
            optimiser.step()
            schedule.step()
            bar.set_postfix(distance=f"{nearest.min().item():.3f}", refresh=False)
            bar.update()
    return best, nearest
