"""The loss ledger: who loses the meaning in one round, the painter, the listener, or the sentence itself?

Each control replaces one part of a round by something better and measures the share of the words of the first caption
that the second one keeps. The captioner does not even agree with itself about the same photograph mirrored, and no
painter can be blamed for that. What a control shows depends on how it is made: a retrieved photograph keeps less than
a perfect painting would, because the nearest photograph there is need not show what the sentence says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from telephonegan.captioning import Captioner
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.drift.cross_modal import caption_codes, picture_codes
from telephonegan.drift.information import weighed_words
from telephonegan.drift.statistics import Estimate, Resamples
from telephonegan.drift.tracks import Words
from telephonegan.drift.words import content_words
from telephonegan.errors import DataError
from telephonegan.generation import Generator
from telephonegan.inference import derived_seed
from telephonegan.matcher import Matcher
from telephonegan.text import tokenise

LEAST_PHOTOGRAPHS = 20
_AT_ONCE = 200  # photographs in memory


@dataclass(frozen=True, eq=False)
class Entry:
    """One control: its `name`, what it replaces, and the share of words `kept`, per photograph in `shares` (N,)."""

    name: str
    what: str
    kept: Estimate
    shares: np.ndarray


@dataclass(frozen=True, eq=False)
class Ledger:
    """The controls of one captioner and generator, from the mildest to the whole round.

    Each is measured on its own; differences of neighbours are losses in this order, and other orders give others.
    `pool` is the number of photographs to retrieve from.
    """

    entries: tuple[Entry, ...]
    photographs: int
    pool: int

    def entry(self, name: str) -> Entry:
        """The control of that name."""
        return next(each for each in self.entries if each.name == name)


def loss_ledger(
    photographs: CaptionedPhotos,
    pool: CaptionedPhotos,
    *,
    captioner: Captioner,
    generator: Generator,
    judge: Matcher,
    candidates: int = 8,
    seed: int = 0,
    resamples: int = 2000,
    on_step: Callable[[str], object] | None = None,
) -> Ledger:
    """Measure the controls on `photographs`; retrieve from `pool`, which holds none of them.

    - "the same photograph": 1 by definition. "mirrored": what the captioner says of it mirrored, its own instability.
    - "small": of the photograph at the generator's resolution.
    - "retrieved by people" and "retrieved by the judge": a perfect painter, if real photographs were paintings: the
      photograph of the pool with the human caption most like the sentence, or that the judge finds to fit it best.
    - "painted": the generator. "best of N": the best of so many paintings, as its own teacher sees it.
    - "perfect listener": the judge looks at the painting and picks one of all first captions, the true one among them.

    `on_step` is called with the name of each control before it is measured. Raises DataError for fewer than 20
    photographs, or a pool that is smaller than that or holds one of them.

    >>> data = open_data("flickr8k")  # doctest: +SKIP
    >>> loss_ledger(data.split("test")[:200], data.split("dev"), captioner=…, generator=…, judge=…)  # doctest: +SKIP
    """
    if min(len(photographs), len(pool)) < LEAST_PHOTOGRAPHS:
        raise DataError(
            f"A ledger needs {LEAST_PHOTOGRAPHS} photographs and a pool of as many others; {len(photographs)} and "
            f"{len(pool)} were given."
        )
    if shared := set(photographs.names) & set(pool.names):
        raise DataError(f"The pool holds {sorted(shared)[0]}, which is measured. Give another split as the pool.")
    tell = on_step or (lambda name: None)
    rows = range(len(photographs))
    found: dict[str, list[Words]] = {}

    def describe(name: str, picture: Callable[[int], Image.Image]) -> list[Words]:
        tell(name)
        said: list[Words] = []
        for start in range(0, len(photographs), _AT_ONCE):
            part = [picture(row) for row in rows[start : start + _AT_ONCE]]
            seeds = [derived_seed(seed, start + i, "caption") for i in range(len(part))]
            said += [tuple(tokenise(caption.text)) for caption in captioner(part, seeds=seeds)]
        found[name] = said
        return said

    first = describe("the same photograph", photographs.image)
    texts = [" ".join(words) for words in first]
    describe("mirrored", lambda row: photographs.image(row).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    describe("small", lambda row: _at_resolution(photographs.image(row), generator.size))
    by_people = _by_people(first, pool)
    describe("retrieved by people", lambda row: pool.image(by_people[row]))
    tell("the pool, in the eyes of the judge")
    by_judge = _by_judge(first, pool, judge)
    describe("retrieved by the judge", lambda row: pool.image(by_judge[row]))
    seeds = [derived_seed(seed, row, 1, "picture") for row in rows]
    painted = generator(texts, seeds=seeds)
    describe("painted", lambda row: painted[row].image)
    if candidates > 1:
        best = generator(texts, seeds=seeds, candidates=candidates)
        describe(f"best of {candidates}", lambda row: best[row].image)
    tell("perfect listener")
    codes = picture_codes([picture.image for picture in painted], judge), caption_codes(first, judge)
    picked = np.argmax(_unit(codes[0]) @ _unit(codes[1]).T, axis=1)
    found["perfect listener"] = [first[row] for row in picked]

    drawn = Resamples(photographs.names, resamples)
    entries = []
    for name, said in found.items():
        shares = np.array([kept_share(a, b) for a, b in zip(first, said, strict=True)])
        what = _WHAT.get(name, "the painting that the teacher likes best")
        entries.append(Entry(name, what, drawn.estimate(drawn.means(shares)), shares))
    return Ledger(tuple(entries), len(photographs), len(pool))


_WHAT = {
    "the same photograph": "nothing: the first caption itself",
    "mirrored": "the captioner, of the photograph mirrored",
    "small": "the captioner, of the photograph at the generator's resolution",
    "retrieved by people": "a photograph in place of the painting, found by people's captions",
    "retrieved by the judge": "a photograph in place of the painting, found by the judge",
    "painted": "one round of the game",
    "perfect listener": "the judge in place of the captioner, choosing among all first captions",
}


def kept_share(earlier: Sequence[str], later: Sequence[str]) -> float:
    """The share of the content words of one caption that another has; NaN where it has none.

    >>> kept_share(["red", "dog"], ["a", "dog"])
    0.5
    """
    words = set(content_words(earlier))
    return len(words & set(later)) / len(words) if words else float("nan")


def _at_resolution(image: Image.Image, size: int) -> Image.Image:
    """Smaller, its shorter side `size` pixels long."""
    scale = size / min(image.size)
    if scale >= 1:
        return image
    shape = tuple(max(1, round(side * scale)) for side in image.size)
    return image.resize(shape, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _by_people(texts: Sequence[Words], pool: CaptionedPhotos) -> list[int]:
    captions = [tuple(words) for each in pool.captions for words in each]
    owner = [row for row, each in enumerate(pool.captions) for _ in each]
    score = weighed_words(captions)
    return [owner[i] for i in np.argmax(score(list(texts), captions), axis=1)]


def _by_judge(texts: Sequence[Words], pool: CaptionedPhotos, judge: Matcher) -> list[int]:
    parts = [
        picture_codes([pool.image(row) for row in range(start, min(start + _AT_ONCE, len(pool)))], judge)
        for start in range(0, len(pool), _AT_ONCE)
    ]
    return np.argmax(_unit(caption_codes(texts, judge)) @ _unit(np.concatenate(parts)).T, axis=1).tolist()


def _unit(codes: np.ndarray) -> np.ndarray:
    return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)


def ledger_record(ledger: Ledger) -> dict[str, Any]:
    """A ledger as JSON values, without its photographs one by one; `ledger_of` reads it back."""
    kept = {
        each.name: {"what": each.what, **{part: float(getattr(each.kept, part)) for part in ("value", "low", "high")}}
        for each in ledger.entries
    }
    return {"photographs": ledger.photographs, "pool": ledger.pool, "kept": kept}


def ledger_of(record: Mapping[str, Any]) -> Ledger:
    """A ledger that `ledger_record` wrote. Raises DataError for anything else."""
    try:
        entries = tuple(
            Entry(name, told["what"], Estimate(told["value"], told["low"], told["high"]), np.array([]))
            for name, told in record["kept"].items()
        )
        return Ledger(entries, record["photographs"], record["pool"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError("This is not a ledger's record. Make one with: telephonegan drift ledger --json") from error
