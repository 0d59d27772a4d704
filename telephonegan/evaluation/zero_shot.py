"""How well texts describe classes that no training saw: zero-shot classification and retrieval.

Reed et al., "Learning Deep Representations of Fine-Grained Visual Descriptions" (2016), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from telephonegan.errors import SettingsError
from telephonegan.evaluation.pictures import Features, as_features

_KS = (1, 5, 10, 50)


@dataclass(frozen=True)
class ClassScores:
    """The share of pictures whose class scores best, and mean precision among the first k pictures of each class.

    `top1_cosine` compares classes at equal length: by inner products, those whose sentences agree most are the longest
    and win too often. `classes` of them, `pictures` in all; `chance` is the share that guessing finds.
    """

    top1: float
    top1_cosine: float
    precision: dict[int, float]
    classes: int
    pictures: int

    @property
    def chance(self) -> float:
        return 1 / self.classes


def class_scores(
    codes: Features,
    labels: Sequence[int],
    sentences: Features,
    sentence_labels: Sequence[int],
    *,
    ks: Sequence[int] = _KS,
) -> ClassScores:
    """Classify pictures (N,D) by sentences (M,D) of their classes, and retrieve pictures by class.

    A class is the mean of the embeddings of all its sentences; the score of a picture and a class is their inner
    product, as in the paper. Precision at k (AP@k there) is the share of the class among the k pictures that score
    best, or among as many as there are. A tie counts against the right answer, so constant embeddings score 0. Raises
    SettingsError for arrays that do not fit, and for a class of pictures without a sentence.

    >>> class_scores(np.eye(2), [0, 1], np.eye(2), [0, 1]).top1
    1.0
    """
    codes, sentences = as_features(codes, "codes"), as_features(sentences, "sentences")
    labels, owners = np.asarray(labels), np.asarray(sentence_labels)
    _check(codes, labels, sentences, owners)
    numbers = np.unique(labels)
    means = np.stack([sentences[owners == number].mean(0) for number in numbers])
    scores = codes @ means.T
    own = labels[:, None] == numbers
    lengths = np.linalg.norm(means, axis=1)
    found = {k: float(np.mean([_precision(scores[:, i], own[:, i], k) for i in range(len(numbers))])) for k in ks}
    cosines = scores / np.where(lengths > 0, lengths, 1)
    return ClassScores(_top1(scores, own), _top1(cosines, own), found, len(numbers), len(codes))


def _top1(scores: np.ndarray, own: np.ndarray) -> float:
    return float((scores[own] > np.where(own, -np.inf, scores).max(1)).mean())


def _precision(scores: np.ndarray, is_own: np.ndarray, k: int) -> float:
    # Of equal scores, pictures of other classes come first.
    order = np.lexsort((is_own, -scores))
    return float(is_own[order[:k]].mean())


def _check(codes: np.ndarray, labels: np.ndarray, sentences: np.ndarray, owners: np.ndarray) -> None:
    if codes.shape[1] != sentences.shape[1] or len(codes) != len(labels) or len(sentences) != len(owners):
        raise SettingsError(
            f"{codes.shape} codes with {len(labels)} labels and {sentences.shape} sentences with {len(owners)} labels "
            "do not fit: give (N,D) with N labels, and (M,D) with M labels."
        )
    if silent := sorted(set(labels.tolist()) - set(owners.tolist())):
        raise SettingsError(f"There is no sentence of class {silent[0]}, so its pictures cannot be classified.")
    if len(set(labels.tolist())) < 2:
        raise SettingsError("Pictures of one class only cannot be classified; give at least two classes.")
