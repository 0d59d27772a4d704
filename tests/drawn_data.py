"""A data folder of drawn pictures, and settings small enough to train on it in a second."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from telephonegan.training.captioner import CaptionerSettings
from telephonegan.training.damsm import DamsmSettings

COLOURS = ("red", "green", "blue", "black")
SHAPES = ("circle", "square", "bar")
SENTENCES = (
    "a {colour} {shape} on white .",
    "one {colour} {shape}",
    "there is a {shape} that is {colour} .",
    "the {shape} is {colour}",
    "a {shape} .",
)


def draw(colour: str, shape: str, size: int) -> Image.Image:
    picture = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(picture)
    if shape == "circle":
        pen.ellipse((size // 4, size // 4, 3 * size // 4, 3 * size // 4), fill=colour)
    elif shape == "square":
        pen.rectangle((size // 5, size // 3, size // 2, 2 * size // 3), fill=colour)
    else:
        pen.rectangle((0, size // 3, size, size // 2), fill=colour)
    return picture


def write_drawings(folder: Path) -> Path:
    """Twelve coloured shapes in each of the three splits, every split drawn at its own size."""
    (folder / "images").mkdir(parents=True)
    captions = []
    for size, split in ((40, "train"), (52, "dev"), (64, "test")):
        names = []
        for colour in COLOURS:
            for shape in SHAPES:
                names.append(f"{split}-{colour}-{shape}.png")
                draw(colour, shape, size).save(folder / "images" / names[-1])
                captions += [
                    f"{names[-1]}#{i}\t{sentence.format(colour=colour, shape=shape).capitalize()}"
                    for i, sentence in enumerate(SENTENCES)
                ]
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (folder / "captions.txt").write_text("\n".join(captions) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_drawings(tmp_path_factory.mktemp("drawings") / "data")


@pytest.fixture
def own_drawings(tmp_path: Path) -> Path:
    """A folder that a test may spoil."""
    return write_drawings(tmp_path / "data")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def damsm_settings() -> DamsmSettings:
    return DamsmSettings(
        picture_size=32, input_size=64, views=2, minimum_count=2, word_width=8, width=16, batch_size=6, steps=4
    )


@pytest.fixture(scope="session")
def captioner_settings() -> CaptionerSettings:
    return CaptionerSettings(
        input_size=64,
        stored_size=48,
        small_size=16,
        minimum_count=2,
        words_limit=8,
        embedding_width=8,
        hidden_width=8,
        photos_per_batch=3,
        average_from=0.5,
        steps=4,
    )
