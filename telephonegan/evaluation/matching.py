"""R-precision and retrieval recall of pictures and captions, from the codes of a joint encoder."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from telephonegan.errors import SettingsError
from telephonegan.evaluation.pictures import Features, as_features, group_numbers, spread

# Closer cosines count as equal, so that a constant encoder cannot win by rounding errors.
_TIE = 1e-9
_BLOCK = 64


@dataclass(frozen=True)
class RPrecision:
    """R-precision of n pictures: mean in [0, 1], and standard deviation over the folds (nan for one fold)."""

    mean: float
    std: float
    n: int
    candidates: int
    folds: int

    @property
    def chance(self) -> float:
        """The expected score of random guessing."""
        return 1 / self.candidates


@dataclass(frozen=True)
class Recall:
    """Recall at each k, in [0, 1], of captions given pictures and of pictures given captions."""

    image_to_text: dict[int, float]
    text_to_image: dict[int, float]


def r_precision(
    image_codes: Features,
    text_codes: Features,
    *,
    candidates: int = 100,
    seed: int = 0,
    folds: int = 10,
    groups: Sequence[Hashable] | None = None,
) -> RPrecision:
    """How often a picture is closer (by cosine) to its own caption than to candidates-1 captions of other pictures.

    Codes are (N,D); rows i of both belong together. Mismatched captions are sampled without replacement, never from
    the picture's own group: give `groups`, such as the photograph or class, if rows share one. A tie is a failure, so a
    constant encoder scores 0; equal captions of different pictures therefore need the same group. `std` is over `folds`
    random disjoint parts of the pictures. The same seed gives the same samples. Raises SettingsError. Xu et al. 2018
    (AttnGAN), section 4.1, R = 1.

    >>> codes = np.eye(4)
    >>> r_precision(codes, codes, candidates=3, folds=2).mean
    1.0
    """
    images, texts = _unit(as_features(image_codes, "image_codes")), _unit(as_features(text_codes, "text_codes"))
    if images.shape != texts.shape:
        raise SettingsError(
            f"image_codes has shape {images.shape} and text_codes {texts.shape}. Give two arrays (N,D) whose rows "
            "belong together."
        )
    n = len(images)
    labels = np.arange(n) if groups is None else group_numbers(groups, n)
    check_draw(labels, candidates, folds)
    rng = np.random.default_rng(seed)
    won = np.concatenate(
        [
            _wins(images, texts, labels, np.arange(start, min(start + _BLOCK, n)), candidates - 1, rng)
            for start in range(0, n, _BLOCK)
        ]
    )
    fold_means = [fold.mean() for fold in np.array_split(rng.permutation(won), folds)]
    return RPrecision(float(won.mean()), spread(fold_means), n, candidates, folds)


def normalised(value: float, real: float, chance: float) -> float:
    """A score on the scale from chance (0) to real pictures (1): (value - chance) / (real - chance).

    Below chance it is negative, above 1 it is better than real pictures. Raises SettingsError if real equals chance or
    a number is not finite.

    >>> normalised(0.5, real=0.75, chance=0.25)
    0.5
    """
    if not np.isfinite([value, real, chance]).all() or real == chance:
        raise SettingsError(
            f"value {value}, real {real} and chance {chance} were given. All must be finite, and real must differ from "
            "chance."
        )
    return (value - chance) / (real - chance)


def recall_at_k(scores: Features, ks: Sequence[int] = (1, 5, 10), *, owners: Sequence[int] | None = None) -> Recall:
    """Retrieval recall in both directions from similarities (N pictures, M captions).

    Caption j belongs to picture `owners[j]`, by default to picture j. A picture succeeds at k if any of its captions is
    among the k most similar, a caption if its picture is. Ties are failures: everything as similar as the right answer
    ranks before it. Raises SettingsError if k is larger than the number of items, or a picture has no caption. Hodosh
    et al. 2013.

    >>> recall_at_k(np.array([[0.9, 0.1], [0.8, 0.2]]), ks=[1]).image_to_text
    {1: 0.5}
    """
    scores = as_features(scores, "scores")
    pictures, captions = scores.shape
    owned = _owned(owners, pictures, captions)
    _check_ks(ks, min(pictures, captions))
    best = np.where(owned, scores, -np.inf).max(axis=1, keepdims=True)
    own = scores.T[owned.T][:, None]
    image_rank = ((scores >= best) & ~owned).sum(axis=1)
    text_rank = ((own <= scores.T) & ~owned.T).sum(axis=1)
    return Recall(
        {int(k): float((image_rank < k).mean()) for k in ks}, {int(k): float((text_rank < k).mean()) for k in ks}
    )


def _wins(
    images: np.ndarray, texts: np.ndarray, labels: np.ndarray, rows: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Whether each of the pictures `rows` is strictly closer to its own caption than to `count` sampled others."""
    # The smallest of independent uniform keys are a sample without replacement, for all rows at once.
    keys = rng.random((len(rows), len(texts)))
    keys[labels[rows, None] == labels] = np.inf
    others = np.argpartition(keys, count - 1, axis=1)[:, :count]
    own = np.einsum("nd,nd->n", images[rows], texts[rows])
    rivals = np.einsum("nd,ncd->nc", images[rows], texts[others])
    return own > rivals.max(axis=1) + _TIE


def _unit(codes: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1. A zero row has no direction and stays zero, so it is similar to nothing."""
    length = np.linalg.norm(codes, axis=1, keepdims=True)
    return np.divide(codes, length, out=np.zeros_like(codes), where=length > 0)


def check_draw(groups: Sequence[Hashable], candidates: int, folds: int) -> None:
    """Raise SettingsError unless each picture has candidates-1 captions outside its group to sample from.

    >>> check_draw([0, 1, 2], candidates=3, folds=1)
    """
    labels = group_numbers(groups, len(groups))
    n = len(labels)
    others = n - int(np.bincount(labels).max())
    if not 2 <= candidates <= others + 1:
        raise SettingsError(
            f"candidates is {candidates}, but must be from 2 to {others + 1}, because a picture has only {others} "
            "captions outside its group to sample from. Give more pictures, or fewer candidates and report the number."
        )
    if not 1 <= folds <= n:
        raise SettingsError(f"folds must be from 1 to {n}, the number of pictures; {folds} was given.")


def _owned(owners: Sequence[int] | None, pictures: int, captions: int) -> np.ndarray:
    """(pictures, captions), True where a caption belongs to a picture."""
    if owners is None:
        if pictures != captions:
            raise SettingsError(
                f"scores has shape ({pictures}, {captions}), but without owners every picture needs exactly one "
                "caption. Give owners: for each caption the row of its picture."
            )
        return np.eye(pictures, dtype=bool)
    rows = np.asarray(owners.cpu() if isinstance(owners, torch.Tensor) else owners)
    if rows.shape != (captions,) or rows.dtype.kind not in "iu":
        raise SettingsError(
            f"owners has shape {rows.shape} of {rows.dtype}. Give {captions} whole numbers, one per caption."
        )
    if set(rows.tolist()) != set(range(pictures)):
        raise SettingsError(f"owners must contain each picture from 0 to {pictures - 1} at least once, and no other.")
    return rows == np.arange(pictures)[:, None]


def _check_ks(ks: Sequence[int], largest: int) -> None:
    wrong = [k for k in ks if not 1 <= k <= largest]
    if wrong or len(ks) == 0:
        raise SettingsError(f"ks must be from 1 to {largest}, the number of items to retrieve; {list(ks)} was given.")
