"""Inputs of evaluations: batches of photographs, their captions, and painted pictures."""

from __future__ import annotations

import random
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
from telephonegan.inference import BATCH, check_whole, derived_seed


class Text(NamedTuple):
    """One caption of the photograph in row `photo`."""

    photo: int
    words: list[str]


def sampled(count: int, most: int, seed: int = 0) -> list[int]:
    """At most `most` of `count` rows, sampled without replacement, in ascending order.

    The first rows would not be representative, because many data sets are sorted by class.

    >>> sampled(5, 9), len(sampled(1000, 10))
    ([0, 1, 2, 3, 4], 10)
    """
    if count <= most:
        return list(range(count))
    return sorted(random.Random(derived_seed("rows", seed)).sample(range(count), most))


def read_split(data: str | Path, split: str, limit: int | None = None) -> CaptionedPhotos:
    """The `split` of a data folder ("train", "dev" or "test"), or a sample of `limit` photographs, always the same.

    Raises SettingsError for an invalid limit, DataError for the folder or the split.

    >>> len(read_split("flickr8k", "test", limit=100))  # doctest: +SKIP
    100
    """
    if limit is not None:
        check_whole(limit, "limit", 1, 10**9)
    photos = read_data(data, split)
    return photos if limit is None else photos.take(sampled(len(photos), limit))


def of_classes(photos: CaptionedPhotos, classes: Collection[int], limit: int | None = None) -> CaptionedPhotos:
    """The photographs of these class numbers, or a sample of `limit` of them. Raises DataError if there are none.

    >>> photos = CaptionedPhotos(None, ["a", "b"], [[["dog"]], [["cat"]]], classes=[1, 2])
    >>> of_classes(photos, [2]).names
    ['b']
    """
    rows = photos.rows_of(classes)
    if not rows:
        raise DataError(f"None of the {len(photos)} photographs of {photos.folder} has one of the given classes.")
    return photos.take(rows if limit is None else [rows[k] for k in sampled(len(rows), limit)])


def photographs(
    photos: CaptionedPhotos, size: int, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> Iterator[Tensor]:
    """Batches (B,3,size,size) in [-1,1] of the photographs, in order, resized to squares with antialiasing."""
    for images in image_batches(photos):
        yield to_tensor(images, size, resample=resample)


def image_batches(photos: CaptionedPhotos) -> Iterator[list[Image.Image]]:
    """The photographs at their own size, in order, at most 32 at a time."""
    for start in _batches(len(photos), "photographs"):
        yield [photos.image(row) for row in range(start, min(start + BATCH, len(photos)))]


def paintings(
    generator: Generator, texts: Sequence[Sequence[str]], seeds: Sequence[int], **how: Any
) -> Iterator[Tensor]:
    """Batches (B,3,S,S) in [-1,1] of the generator's pictures of word lists, rounded to 256 levels as in files.

    `how` is truncation and candidates, see `Generator`.
    """
    for start in _batches(len(texts), "painting"):
        part = slice(start, start + BATCH)
        painted = generator([" ".join(words) for words in texts[part]], seeds=seeds[part], **how)
        yield to_tensor([picture.image for picture in painted], painted[0].image.width)


def choose_texts(photos: CaptionedPhotos, count: int | None, knows: Callable[[str], bool]) -> tuple[list[Text], int]:
    """`count` captions (default: as many as photographs), and how many were left out for having no known word.

    All photographs have the same number of captions, up to one: second captions are taken only after all first ones,
    and so on. Photographs with one more than the others are sampled, always the same. Raises SettingsError if there are
    not enough captions.

    >>> photos = CaptionedPhotos(None, ["a.jpg", "b.jpg"], [[["dog"], ["cat"]], [["man"]]])
    >>> [" ".join(text.words) for text in choose_texts(photos, 3, lambda text: True)[0]]
    ['dog', 'man', 'cat']
    """
    wanted = len(photos) if count is None else count
    chosen: list[Text] = []
    left_out = 0
    for texts in _turns(photos):
        known = [text for text in texts if knows(" ".join(text.words))]
        left_out += len(texts) - len(known)
        chosen += [known[row] for row in sampled(len(known), wanted - len(chosen))]
    if len(chosen) < max(wanted, 1):
        raise SettingsError(
            f"{wanted} captions were requested, but the {len(photos)} photographs have only {len(chosen)} with a word "
            "the generator knows. Give a smaller --samples."
        )
    return chosen, left_out


def all_texts(photos: CaptionedPhotos) -> list[Text]:
    """The first captions of all photographs, then the second ones, and so on."""
    return [text for texts in _turns(photos) for text in texts]


def _turns(photos: CaptionedPhotos) -> list[list[Text]]:
    most = max(map(len, photos.captions), default=0)
    return [
        [Text(row, captions[k]) for row, captions in enumerate(photos.captions) if k < len(captions)]
        for k in range(most)
    ]


def _batches(count: int, what: str) -> Iterable[int]:
    return tqdm(range(0, count, BATCH), desc=what, disable=None, leave=False, mininterval=2)
