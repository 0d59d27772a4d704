"""A synthetic data set of coloured shapes with exact captions, to try a recipe without photographs.

Every caption is true, and `measure` reads from any picture, drawn or generated, what it shows, so that one can count
how often a generator obeys its text.
"""

from __future__ import annotations

import math
import random
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from telephonegan.data.preparing import write_captions
from telephonegan.files import expanded, new_folder, png_bytes, replace
from telephonegan.images import as_image
from telephonegan.inference import check_seed, check_whole
from telephonegan.text import tokenise

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 80, 220),
    "yellow": (240, 220, 50),
    "purple": (140, 50, 170),
    "orange": (245, 140, 30),
}
BACKGROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (128, 128, 128)}
PLACES = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1), "middle": (0, 0)}
SIZES = {"small": 0.14, "large": 0.26}  # radius, as a share of the picture's side
SHAPES = ("circle", "square", "triangle", "star")
CAPTIONS = 5  # of each picture

_VALUES = {"shape": SHAPES, "colour": COLOURS, "background": BACKGROUNDS, "size": SIZES, "position": PLACES}
_PREPOSITIONS = {"top": "at the top", "middle": "in the middle", "bottom": "at the bottom"}
_FIRST_PHRASING = "{a_thing} on a {background} background"
_PHRASINGS = (
    "there is {a_thing} {place} of a {background} background",
    "{a_thing} {place}",
    "the {shape} on the {background} background is {colour}",
    "on a {background} background there is {a_thing}",
    "a picture of {a_thing}",
    "one {thing} {place}",
)
_OVERSAMPLING = 8
_JITTER = 0.02
_SHADES = 4  # levels either way, so that small pictures of one scene are not identical
_REACH = 0.44  # how far from the centre a shape may be: random crops must not lose it
_LARGE_FROM = 0.073  # share of the picture: between the largest small shape and the smallest large one
_MIDDLE_TO = 0.09
_SEEN_FROM = 0.01  # a share of the picture below this is noise


@dataclass(frozen=True)
class Scene:
    """The content of a picture, in the words of its captions."""

    shape: str
    colour: str
    background: str
    size: str
    position: str


@dataclass(frozen=True)
class Drawing:
    """One picture, what it shows, and its captions."""

    picture: Image.Image
    scene: Scene
    captions: list[str]


def draw(count: int, size: int, seed: int = 0) -> list[Drawing]:
    """Draw the first `count` pictures, `size` pixels wide, of the world of this seed, each with five captions.

    Picture i depends only on (seed, i), and its scene on neither count nor size. Raises SettingsError.

    >>> draw(1, 64)[0].captions[0]
    'a small blue triangle on a grey background'
    """
    check_whole(count, "count", 0, 10**7)
    return [drawing(index, size, seed) for index in range(count)]


def drawing(index: int, size: int, seed: int = 0) -> Drawing:
    """Picture `index` of the world of this seed, `size` pixels wide and high. Raises SettingsError."""
    check_whole(size, "size", 8, 1024)
    chance = random.Random(f"{check_seed(seed)} {check_whole(index, 'index', 0, 10**7)}")
    scene = Scene(**{what: chance.choice(list(values)) for what, values in _VALUES.items()})
    captions, outline = _captions(scene, chance), _outline(scene, chance)
    shades = [_shade(rgb, chance) for rgb in (COLOURS[scene.colour], BACKGROUNDS[scene.background])]
    return Drawing(_picture(outline, *shades, size), scene, captions)


def write_world(
    folder: str | Path, *, train: int = 800, dev: int = 100, test: int = 100, size: int = 64, seed: int = 0
) -> Path:
    """Write a data folder of drawn pictures: images/, captions.txt, train.txt, dev.txt and test.txt.

    The splits are pictures 0 to train-1 of the seed's world, then dev, then test. Returns the folder, which must not
    exist yet; if writing fails, nothing is left behind. Raises OutputError or SettingsError.

    >>> write_world("shapes", train=2000)  # doctest: +SKIP
    """
    counts = {"train": train, "dev": dev, "test": test}
    for split, count in counts.items():
        check_whole(count, split, 1, 10**6)
    check_whole(size, "size", 8, 1024)
    check_seed(seed)
    folder = new_folder(expanded(folder))
    try:
        _fill(folder, counts, size, seed)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def attributes_of(caption: str) -> dict[str, str]:
    """Shape, colour, background, size and position in a caption; the first of two colours.

    Raises TextError if `caption` is not a string.

    >>> attributes_of("There is a small red circle at the top of a black background.")
    {'size': 'small', 'colour': 'red', 'shape': 'circle', 'position': 'top', 'background': 'black'}
    """
    found: dict[str, str] = {}
    for word in tokenise(caption):
        for what, values in _VALUES.items():
            if word in values:
                found.setdefault(what, word)
    return found


def measure(picture: Any) -> dict[str, str]:
    """Read a picture's background and, if there is a shape, its colour, size and position.

    `picture` is anything `as_image` reads. Every pixel counts for the nearest named colour: the background is the most
    common one at the border, the shape's colour the most common other. The kind of shape is not read.
    Exact for pictures by `draw` of 32 pixels or more. Raises ImageError.

    >>> measure(draw(1, 64)[0].picture)
    {'background': 'grey', 'colour': 'blue', 'size': 'small', 'position': 'bottom'}
    """
    pixels = np.asarray(as_image(picture), dtype=np.float32)
    distance = {name: np.square(pixels - np.float32(rgb)).sum(2) for name, rgb in (COLOURS | BACKGROUNDS).items()}
    nearest = np.array(list(distance))[np.argmin(list(distance.values()), axis=0)]
    border = np.concatenate([nearest[0], nearest[-1], nearest[:, 0], nearest[:, -1]])
    background = _commonest(border[np.isin(border, list(BACKGROUNDS))])
    shape = nearest[np.isin(nearest, list(COLOURS))]
    seen = {} if background is None else {"background": background}
    if background is None or shape.size < _SEEN_FROM * nearest.size:
        return seen
    colour = _commonest(shape)
    figure = distance[colour] < distance[background]
    size = "large" if figure.mean() > _LARGE_FROM else "small"
    return seen | {"colour": colour, "size": size, "position": _position(figure)}


def _fill(folder: Path, counts: dict[str, int], size: int, seed: int) -> None:
    new_folder(folder / "images")
    sentences: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {split: [] for split in counts}
    index = 0
    for split, count in counts.items():
        for _ in range(count):
            each, name = drawing(index, size, seed), f"{split}-{index:06d}.png"
            replace(folder / "images" / name, png_bytes(each.picture))
            sentences[name] = each.captions
            names[split].append(name)
            index += 1
    write_captions(folder, sentences, names)


def _outline(scene: Scene, chance: random.Random) -> list[tuple[float, float]] | tuple[float, float, float]:
    """Corners of the shape, or centre and radius of a circle, as fractions of the picture's side."""
    radius = SIZES[scene.size] + chance.uniform(-0.005, 0.005)
    across, down = PLACES[scene.position]
    x = 0.5 + across * (_REACH - radius) + chance.uniform(-_JITTER, _JITTER)
    y = 0.5 + down * (_REACH - radius) + chance.uniform(-_JITTER, _JITTER)
    if scene.shape == "circle":
        return x, y, radius
    if scene.shape == "square":
        half = 0.78 * radius
        return [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    if scene.shape == "triangle":
        return _corners(x, y, [radius] * 3)
    return _corners(x, y, [radius, radius / 2] * 5)


def _corners(x: float, y: float, radii: list[float]) -> list[tuple[float, float]]:
    turn = 2 * math.pi / len(radii)
    return [(x + r * math.sin(i * turn), y - r * math.cos(i * turn)) for i, r in enumerate(radii)]


def _shade(rgb: tuple[int, int, int], chance: random.Random) -> tuple[int, ...]:
    return tuple(min(255, max(0, level + chance.randint(-_SHADES, _SHADES))) for level in rgb)


def _picture(outline: list | tuple, colour: tuple, background: tuple, size: int) -> Image.Image:
    side = size * _OVERSAMPLING
    picture = Image.new("RGB", (side, side), background)
    pen = ImageDraw.Draw(picture)
    if isinstance(outline, list):
        pen.polygon([(x * side, y * side) for x, y in outline], fill=colour)
    else:
        x, y, radius = (part * side for part in outline)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return picture.reduce(_OVERSAMPLING)


def _captions(scene: Scene, chance: random.Random) -> list[str]:
    full = f"{scene.size} {scene.colour} {scene.shape}"
    things = [full, *(chance.choice((full, f"{scene.colour} {scene.shape}")) for _ in range(CAPTIONS - 1))]
    phrasings = [_FIRST_PHRASING, *chance.sample(_PHRASINGS, CAPTIONS - 1)]
    place = _PREPOSITIONS.get(scene.position, f"on the {scene.position}")
    return [
        phrasing.format(thing=thing, a_thing=f"{_article(thing)} {thing}", place=place, **asdict(scene))
        for phrasing, thing in zip(phrasings, things, strict=True)
    ]


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


def _commonest(names: np.ndarray) -> str | None:
    return Counter(names.tolist()).most_common(1)[0][0] if names.size else None


def _position(figure: np.ndarray) -> str:
    rows, columns = np.nonzero(figure)
    down, across = (rows.mean() + 0.5) / len(figure) - 0.5, (columns.mean() + 0.5) / figure.shape[1] - 0.5
    if max(abs(across), abs(down)) < _MIDDLE_TO:
        return "middle"
    if abs(across) > abs(down):
        return "left" if across < 0 else "right"
    return "top" if down < 0 else "bottom"
