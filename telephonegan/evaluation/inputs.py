"""Inputs of evaluations: photographs as batches of pixels, captions chosen from them, and painted pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from telephonegan.data.layouts import read_data
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import DataError, SettingsError
from telephonegan.generation import Generator
from telephonegan.images import to_tensor
from telephonegan.inference import BATCH, check_whole


class Text(NamedTuple):
    """One caption of the photograph in row `photo`."""

    photo: int
    words: list[str]


def read_split(data: str | Path, split: str, limit: int | None = None) -> CaptionedPhotos:
    """A split of a data folder ("train", "dev" or "test"), or its first `limit` photographs.

    Raises SettingsError for the limit, DataError for the folder and the split.

    >>> len(read_split("flickr8k", "test", limit=100))  # doctest: +SKIP
    100
    """
    if limit is not None:
        check_whole(limit, "limit", 1, 10**9)
    return read_data(data, split)[:limit]


def of_classes(photos: CaptionedPhotos, classes: Collection[int]) -> CaptionedPhotos:
    """The photographs of these class numbers, with their captions. Raises DataError where there are none.

    >>> photos = CaptionedPhotos(None, ["a", "b"], [[["dog"]], [["cat"]]], classes=[1, 2])
    >>> of_classes(photos, [2]).names
    ['b']
    """
    rows = photos.rows_of(classes)
    if not rows:
        raise DataError(f"None of the {len(photos)} photographs of {photos.folder} is of the classes that were given.")
    return photos.take(rows)


def photographs(
    photos: CaptionedPhotos, size: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> Iterator[Tensor]:
    """Batches (B,3,size,size) in [-1,1] of the photographs, in order, squashed to squares; antialiased when shrunk."""
    for images in image_batches(photos):
        yield to_tensor(images, size, resample=resample)


def image_batches(photos: CaptionedPhotos) -> Iterator[list[Image.Image]]:
    """The photographs themselves, at most 32 at a time, in order."""
    for start in _batches(len(photos), "photographs"):
        yield [photos.image(row) for row in range(start, min(start + BATCH, len(photos)))]


def paintings(
    generator: Generator, texts: Sequence[Sequence[str]], seeds: Sequence[int], **how: Any
) -> Iterator[Tensor]:
    """Batches (B,3,S,S) in [-1,1] of the generator's pictures of these word lists, of 256 levels as files have them.

    `how` is truncation and candidates, as the generator takes them.
    """
    for start in _batches(len(texts), "painting"):
        part = slice(start, start + BATCH)
        painted = generator([" ".join(words) for words in texts[part]], seeds=seeds[part], **how)
        yield to_tensor([picture.image for picture in painted], painted[0].image.width)


def choose_texts(photos: CaptionedPhotos, count: int | None, knows: Callable[[str], bool]) -> tuple[list[Text], int]:
    """`count` captions (default: as many as photographs), and how many on the way held no known word.

    The first caption of every photograph comes first, then the second of every one, and so on. Raises SettingsError
    when there are fewer.

    >>> photos = CaptionedPhotos(None, ["a.jpg", "b.jpg"], [[["dog"], ["cat"]], [["man"]]])
    >>> [" ".join(text.words) for text in choose_texts(photos, 3, lambda text: True)[0]]
    ['dog', 'man', 'cat']
    """
    wanted = len(photos) if count is None else count
    chosen: list[Text] = []
    left_out = 0
    for text in all_texts(photos):
        if len(chosen) == wanted:
            break
        if knows(" ".join(text.words)):
            chosen.append(text)
        else:
            left_out += 1
    if len(chosen) < max(wanted, 1):
        raise SettingsError(
            f"{wanted} captions were requested; the {len(photos)} photographs have {len(chosen)} with a word the "
            "generator knows. Give a smaller --samples."
        )
    return chosen, left_out


def all_texts(photos: CaptionedPhotos) -> list[Text]:
    """The first caption of every photograph, then the second of every one, and so on."""
    most = max(map(len, photos.captions), default=0)
    return [
        Text(row, captions[k]) for k in range(most) for row, captions in enumerate(photos.captions) if k < len(captions)
    ]


def _batches(count: int, what: str) -> Iterable[int]:
    return tqdm(range(0, count, BATCH), desc=what, disable=None, leave=False, mininterval=2)
