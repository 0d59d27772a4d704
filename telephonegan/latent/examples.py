"""The seven examples of plug & play generation: their settings, the names of their files, and their sheets.

Settings and names are those of the scripts that Nguyen et al., "Plug & Play Generative Networks" (2017), published.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from telephonegan.files import json_bytes, png_bytes, replace
from telephonegan.latent.sampler import Frame, SamplerSettings, Sampling
from telephonegan.latent.sampling_folder import jpeg_bytes
from telephonegan.strips import gif, labelled, montage

SETTINGS = {
    "class": SamplerSettings(),
    "chain": SamplerSettings(n_iters=100, save_every=1),
    "unit": SamplerSettings(n_iters=1000, reset_every=100, save_every=10, threshold=0.98),
    "other-unit": SamplerSettings(n_iters=1000, reset_every=100, save_every=10, threshold=0.98, epsilon1=1e-7),
    "caption": SamplerSettings(save_every=0, lr_end=1e-10, epsilon1=1e-3),
    "from-image": SamplerSettings(lr=0.5, lr_end=0.5),
    "inpaint": SamplerSettings(n_iters=20, save_every=0, lr_end=1e-32, epsilon4=1e-9),
}
CHAIN_EPSILON1 = (1e-5, 1e-3, 1e-1)  # the class as it looks, abstract, and hardly followed at all
MILLISECONDS = 50  # for each frame of a chain's animation
_IN_A_ROW = {"caption": 3, "inpaint": 5}
_SHOWN = {"class": 40, "unit": 30, "other-unit": 30, "from-image": 30}
_DRAWN = ("unit", "other-unit")  # whose sheets show random frames


def folder_name(layer: str, units: Sequence[int | str], settings: SamplerSettings) -> str:
    """The folder of a run, as the scripts name it.

    >>> folder_name("fc8", [13], SamplerSettings())
    'fc8_chain_13_eps1_1e-05_eps3_0.0'
    """
    joined = "_".join(map(str, units))
    return f"{layer}_chain_{joined}_eps1_{settings.epsilon1}_eps3_{settings.epsilon3}"


def final_name(layer: str, units: Sequence[int], settings: SamplerSettings, seed: int) -> str:
    """The last picture of a seed, as the scripts name it; a caption has no unit, and no ε4 either.

    >>> final_name("fc8", [13], SamplerSettings(), 0)
    'fc8_0013_0200_1.0_h_1e-05_1.0_0.0_0.0__0.jpg'
    """
    s = settings
    numbers = "".join(f"{unit:04d}_" for unit in units)
    last = f"_{s.epsilon4}" if units else ""
    return f"{layer}_{numbers}{s.n_iters:04d}_{s.lr}_h_{s.epsilon1}_{s.epsilon2}_{s.epsilon3}{last}__{seed}.jpg"


def write_finals(folder: Path, sampling: Sampling, names: dict[int, str]) -> None:
    """The last picture of every seed as JPEG, without loss as PNG, and what it was made of. Raises OutputError."""
    for seed, frame in sampling.lasts.items():
        path = folder / names[seed]
        replace(path, jpeg_bytes(frame.image))
        replace(path.with_suffix(".png"), png_bytes(frame.image))
        replace(path.with_suffix(".json"), json_bytes(frame.record()))


def sheet(
    example: str,
    sampling: Sampling,
    *,
    labels: bool = False,
    box: Sequence[float] | None = None,
    context: Image.Image | None = None,
) -> Image.Image | None:
    """The pictures of an example in rows; None if it kept none.

    Frames that were kept, or else the last of every seed. `labels` writes their condition below them, `box` (left,
    top, right, bottom, as shares) crops them, `context` is put at the left of each.
    """
    frames = sampling.frames or list(sampling.lasts.values())
    if not frames:
        return None
    shown = _shown(example, frames)
    tiles = [tile_of(frame, labels=labels, box=box, context=context) for frame in shown]
    return montage(tiles, _IN_A_ROW.get(example, 10))


def tile_of(
    frame: Frame,
    *,
    labels: bool = False,
    box: Sequence[float] | None = None,
    context: Image.Image | None = None,
) -> Image.Image:
    """The picture of a frame as sheets show it, see `sheet`."""
    image = frame.image
    if box is not None:
        width, height = image.size
        edges = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
        image = image.crop(tuple(round(edge) for edge in edges))
    if context is not None:
        pair = Image.new("RGB", (2 * image.width + 1, image.height), "white")
        pair.paste(context, (0, 0))
        pair.paste(image, (image.width + 1, 0))
        image = pair
    return labelled(image, frame.label) if labels else image


def animation(frames: Sequence[Frame], *, labels: bool = True, milliseconds: int = MILLISECONDS) -> bytes:
    """At least one frame as an endless GIF, each shown so long."""
    tiles = [tile_of(frame, labels=labels) for frame in frames]
    high = max(tile.height for tile in tiles)
    sheets = [Image.new("RGB", (tile.width, high), "white") for tile in tiles]
    for sheet_, tile in zip(sheets, tiles, strict=True):
        sheet_.paste(tile, (0, 0))
    return gif(sheets, milliseconds)


def _shown(example: str, frames: Sequence[Frame]) -> list[Frame]:
    """The first frames, or random ones where chains begin anew again and again."""
    most = _SHOWN.get(example, len(frames))
    if example in _DRAWN and len(frames) > most:
        chosen = sorted(random.Random(0).sample(range(len(frames)), most))
        return [frames[i] for i in chosen]
    return list(frames[:most])
