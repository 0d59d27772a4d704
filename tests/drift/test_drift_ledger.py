"""The loss ledger in a world of colours, where it is known who loses what."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan.drift.ledger import kept_share, ledger_of, ledger_record, loss_ledger
from telephonegan.errors import DataError

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
NAMES = list(COLOURS)


class Photos:
    """Photographs of one colour each, 40 pixels wide, the left half darker; people name the colour."""

    def __init__(self, colours: list[str], title: str) -> None:
        self.colours, self.names = colours, [f"{title}{i}" for i in range(len(colours))]
        self.captions = [[["a", colour, "wall"], ["something"]] for colour in colours]

    def __len__(self) -> int:
        return len(self.colours)

    def image(self, row: int) -> Image.Image:
        image = Image.new("RGB", (40, 40), COLOURS[self.colours[row]])
        image.paste(tuple(part // 2 for part in COLOURS[self.colours[row]]), (0, 0, 20, 40))
        return image


def colour_of(image: Image.Image) -> str:
    right = np.asarray(image.convert("RGB"), dtype=float)[:, -1].mean(axis=0)
    shades = np.array([COLOURS[name] for name in NAMES], dtype=float)
    return NAMES[int(np.argmin(((shades / 255 - right / max(right.max(), 1)) ** 2).sum(axis=1)))]


def captioner(images, *, seeds):
    """Names the colour, and says "bright" where the right half is the brighter one: no mirrored photograph is."""
    assert len(seeds) == len(images)
    bright = [np.asarray(image)[:, -1].max() > np.asarray(image)[:, 0].max() for image in images]
    found = zip(images, bright, strict=True)
    return [SimpleNamespace(text=f"a {'bright ' if is_bright else ''}{colour_of(image)}") for image, is_bright in found]


class Generator:
    """Paints a plain wall of the right colour, but red for blue, unless it may try several times."""

    size = 20

    def __call__(self, texts, *, seeds, candidates=1):
        found = []
        for text in texts:
            colour = next(name for name in NAMES if name in text.split())
            shown = "red" if colour == "blue" and candidates == 1 else colour
            found.append(SimpleNamespace(image=Image.new("RGB", (20, 20), COLOURS[shown])))
        return found


class Judge:
    picture_size, vocabulary = 8, set(NAMES)

    def look(self, batches):
        return torch.cat([batch[:, :, :, -1].mean(dim=2) + 1 for batch in batches])

    def read(self, captions):
        rows = [COLOURS[next((word for word in words if word in COLOURS), "white")] for words in captions]
        return torch.tensor(rows, dtype=torch.float32)


@pytest.fixture(scope="module")
def ledger():
    photographs, pool = Photos(NAMES * 6, "test"), Photos(NAMES * 6, "dev")
    parts = {"captioner": captioner, "generator": Generator(), "judge": Judge()}
    return loss_ledger(photographs, pool, **parts, resamples=50)


def test_everybody_loses_what_they_lose(ledger):
    kept = {each.name: float(each.kept.value) for each in ledger.entries}
    assert kept == pytest.approx(
        {
            "the same photograph": 1,
            "mirrored": 0.5,  # "bright" is lost
            "small": 1,
            "retrieved by people": 1,  # the pool has a photograph of every colour, as bright
            "retrieved by the judge": 1,
            "painted": 0.5 * 0.75,  # a plain wall is not bright, and blue ones come out red
            "best of 8": 0.5,
            "perfect listener": 0.75 + 0.25 * 0.5,  # picks a first caption of the colour painted, "bright" as all are
        }
    )


def test_its_record_is_read_back(ledger):
    again = ledger_of(ledger_record(ledger))
    assert [(each.name, each.kept.value) for each in again.entries] == [
        (each.name, each.kept.value) for each in ledger.entries
    ]
    assert (again.photographs, again.pool) == (24, 24)
    with pytest.raises(DataError, match="not a ledger's record"):
        ledger_of({"kept": 3})


def test_a_share_of_no_words_is_unknown():
    assert np.isnan(kept_share(["a", "the"], ["a"])) and kept_share(["red", "dog"], ["red"]) == 0.5


def test_a_pool_must_be_large_enough_and_of_others():
    parts = {"captioner": captioner, "generator": Generator(), "judge": Judge()}
    with pytest.raises(DataError, match="needs 20 photographs and a pool of as many others; 24 and 4"):
        loss_ledger(Photos(NAMES * 6, "test"), Photos(NAMES, "dev"), **parts)
    with pytest.raises(DataError, match="holds test0"):
        loss_ledger(Photos(NAMES * 6, "test"), Photos(NAMES * 6, "test"), **parts)
