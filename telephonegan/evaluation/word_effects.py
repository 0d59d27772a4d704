"""Word effects: whether exchanging a word changes the picture accordingly.

A caption and the same caption with one word replaced by another of its kind are painted with the same noise. A judge
then scores both pictures with both texts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from telephonegan.evaluation.pictures import Features, as_features
from telephonegan.inference import derived_seed

# Words that can replace each other in a sentence; no two words of a kind are synonyms.
KINDS = {
    "colour": ("black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow"),
    "person": ("baby", "boy", "girl", "man", "woman"),
    "animal": ("bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra"),
    "clothing": ("coat", "dress", "hat", "helmet", "shirt", "suit", "sweater", "uniform"),
    "thing": ("ball", "banana", "bench", "cake", "chair", "frisbee", "kite", "pizza", "rope", "stick", "umbrella"),
    "vehicle": ("bike", "boat", "bus", "car", "motorcycle", "skateboard", "surfboard", "train", "truck"),
    "ground": ("dirt", "grass", "ice", "mud", "sand", "snow", "water"),
    "place": ("beach", "city", "field", "forest", "kitchen", "mountain", "pool", "street"),
}
# Closer cosines count as equal, so that rounding errors do not make equal pictures prefer a text.
_TIE = 1e-6


@dataclass(frozen=True)
class Swap:
    """A caption with a word of `kind` replaced; `row` is the number of the caption or its photograph."""

    row: int
    kind: str
    old: str
    new: str
    caption: list[str]
    swapped: list[str]


@dataclass(frozen=True)
class Effect:
    """The effect of a word or a kind of words, from n pairs.

    `margin` is the mean over the pairs of [s(A,a) - s(A,b) + s(B,b) - s(B,a)] / 2, where s is the score of a picture
    (A, B) with a text (a, b); it is 0 if the word has no effect. `both_prefer` is the share of pairs in which both
    pictures score higher with their own text: 0 if the word has no effect, 0.25 if it changes the picture at random.
    """

    n: int
    margin: float
    both_prefer: float


def draw_swaps(
    captions: Iterable[tuple[int, Sequence[str]]],
    kind: str,
    *,
    knows: Callable[[str], bool],
    differ: Callable[[list[str], list[str]], bool],
    limit: int,
    seed: int,
) -> list[Swap]:
    """At most `limit` swaps of words of one kind, sampled from the captions (row, words) that contain one.

    Each caption gives at most one swap. Only words for which `knows` is true are used; `differ` says whether two
    captions still differ for a model, which may cut them off at a word limit.

    >>> swaps = draw_swaps([(0, "a red ball".split())], "colour", knows=lambda word: word in ("red", "blue"),
    ...                    differ=lambda first, second: True, limit=1, seed=0)
    >>> " ".join(swaps[0].swapped)
    'a blue ball'
    """
    rng = random.Random(derived_seed("swaps", kind, seed))
    known = [word for word in KINDS[kind] if knows(word)]
    holding = [(row, list(words)) for row, words in captions if not set(known).isdisjoint(words)]
    rng.shuffle(holding)
    swaps: list[Swap] = []
    for row, words in holding:
        if len(swaps) == limit:
            break
        place = rng.choice([i for i, word in enumerate(words) if word in known])
        others = [word for word in known if word not in words]
        if not others:
            continue
        new = rng.choice(others)
        swapped = exchanged(words, place, new)
        if differ(words, swapped):
            swaps.append(Swap(row, kind, words[place], new, words, swapped))
    return swaps


def exchanged(words: Sequence[str], place: int, new: str) -> list[str]:
    """The words with the one at `place` replaced, and "a" or "an" before it adjusted.

    >>> exchanged(["a", "red", "ball"], 1, "orange")
    ['an', 'orange', 'ball']
    """
    changed = [*words[:place], new, *words[place + 1 :]]
    if place and changed[place - 1] in ("a", "an"):
        changed[place - 1] = "an" if new[0] in "aeio" or new == "umbrella" else "a"
    return changed


def pair_scores(pictures: Sequence[Features], texts: Sequence[Features]) -> np.ndarray:
    """Cosines of both pictures with both texts of each pair, from codes (N,D): (N,2,2), picture by text.

    >>> a, b = np.eye(2)[[0, 0]], np.eye(2)[[1, 1]]
    >>> pair_scores((a, b), (a, b))[0].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    seen, said = (np.stack([_unit(as_features(codes)) for codes in pair], axis=1) for pair in (pictures, texts))
    return np.einsum("nid,njd->nij", seen, said)


def effect(scores: np.ndarray) -> Effect:
    """The effect computed from the scores (N,2,2) of `pair_scores`; see `Effect`.

    >>> effect(np.array([[[0.5, 0.25], [0.0, 0.5]]]))
    Effect(n=1, margin=0.375, both_prefer=1.0)
    """
    first, second = scores[:, 0, 0] - scores[:, 0, 1], scores[:, 1, 1] - scores[:, 1, 0]
    both = (first > _TIE) & (second > _TIE)
    return Effect(len(scores), float((first + second).mean() / 2), float(both.mean()))


def effects_by_kind(swaps: Sequence[Swap], scores: np.ndarray) -> dict[str, Effect]:
    """The effect of each kind of word that has swaps."""
    kinds = np.array([swap.kind for swap in swaps])
    return {kind: effect(scores[kinds == kind]) for kind in KINDS if (kinds == kind).any()}


def effects_by_word(swaps: Sequence[Swap], scores: np.ndarray) -> dict[str, Effect]:
    """The effect of each word, in alphabetical order, over the pairs in which it is the old or the new word."""
    rows: dict[str, list[int]] = {}
    for row, swap in enumerate(swaps):
        rows.setdefault(swap.old, []).append(row)
        rows.setdefault(swap.new, []).append(row)
    return {word: effect(scores[rows[word]]) for word in sorted(rows)}


def _unit(codes: np.ndarray) -> np.ndarray:
    return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
