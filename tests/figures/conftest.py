import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from telephonegan import figures
from telephonegan.drift.statistics import Estimate
from telephonegan.drift.tracks import Track, Turn

ROUNDS = np.arange(1, 7)
SENTENCES = (
    "a brown and white dog is running through the tall green grass",
    "a dog runs on a field",
    "two men jump over a skateboard in a park full of people and many other things",
)


def picture(shade: int, size: tuple[int, int] = (32, 24)) -> Image.Image:
    return Image.new("RGB", size, (shade, 120, 255 - shade))


def a_track(rounds: int = 6, *, text_first: bool = False) -> Track:
    turns = tuple(
        Turn(t, tuple(SENTENCES[t % 3].split()), None if text_first and t == 0 else picture(40 * t))
        for t in range(rounds)
    )
    return Track("s0-seed0", "s0", 0, turns)


def estimate(half_life: float) -> Estimate:
    value = 2 ** (-ROUNDS / half_life)
    return Estimate(value, value - 0.05, value + 0.05)


def _scatter(axes=None):
    x = np.linspace(0, 1, 9)
    return figures.meaning_and_looks(x, x**2, axes, sources=[str(i) for i in range(9)], resamples=20)


CURVES = {name: estimate(i + 1) for i, name in enumerate(("tf-idf cosine", "content F1", "ROUGE-L", "Lite2 cosine"))}

# Every figure that is drawn in axes, and every one that fills a figure.
IN_AXES = {
    "similarity_curves": lambda axes=None: figures.similarity_curves(
        ROUNDS, CURVES, axes, levels={"chance": 0.05, "person against person": 0.7}
    ),
    "survival_curves": lambda axes=None: figures.survival_curves(ROUNDS, {"colour": estimate(1)}, axes),
    "caption_changes": lambda axes=None: figures.caption_changes([text.split() for text in SENTENCES], axes),
    "attractor_histogram": lambda axes=None: figures.attractor_histogram([text.split() for text in SENTENCES], axes),
    "meaning_and_looks": _scatter,
}
IN_FIGURES = {
    "film_strip": lambda figure=None: figures.film_strip(a_track(), figure),
    "image_grid": lambda figure=None: figures.image_grid([a_track(), a_track(text_first=True)], figure),
}


def drawn(name: str) -> Figure:
    return IN_AXES[name]().figure if name in IN_AXES else IN_FIGURES[name]()


@pytest.fixture(params=[*IN_AXES, *IN_FIGURES])
def name(request) -> str:
    return request.param


def pdf_text(path: Path) -> bytes:
    """A PDF with its streams unpacked: fonts and page size can be searched for."""
    content = path.read_bytes()
    for packed in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            content += zlib.decompress(packed)
        except zlib.error:
            continue
    return content
