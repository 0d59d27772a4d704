"""METEOR, where NLTK's WordNet is installed: matches count by word, by stem and by synonym."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from telephonegan.errors import DataError

WordLists = Sequence[Sequence[str]]


def meteor(candidates: WordLists, references: Sequence[WordLists]) -> float:
    """Mean METEOR over the pictures, each against its best reference: in [0, 1].

    NLTK's METEOR with its parameters (alpha 0.9, beta 3, gamma 0.5); the Java program of the COCO evaluation gives
    other numbers. Nothing is downloaded: DataError, with the remedy, where WordNet is not installed. Banerjee and Lavie
    2005; Lavie and Agarwal 2007.

    >>> meteor(["a dog runs".split()], [["a dog runs".split()]])  # doctest: +SKIP
    0.9814814814814815
    """
    wordnet = installed_wordnet()
    from nltk.translate.meteor_score import meteor_score

    scores = [
        meteor_score(picture, candidate, wordnet=wordnet)
        for candidate, picture in zip(candidates, references, strict=True)
    ]
    return sum(scores) / len(scores)


def installed_wordnet() -> Any:
    """NLTK's reader of WordNet. Raises DataError when the words themselves are not on this machine."""
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise DataError(
            "METEOR needs WordNet, which is not on this machine. Get it with: python -m nltk.downloader wordnet"
        ) from error
    return wordnet
