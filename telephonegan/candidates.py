"""Painting a text several times and keeping the picture that the generator's own DAMSM says matches it best.

The choice is DAMSM's (Xu et al. 2018): cosine of the sentence and the whole picture. The pictures kept are more
faithful and less varied, so measure them separately from single pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from telephonegan.images import to_tensor
from telephonegan.inference import derived_seed, in_batches
from telephonegan.matcher import Matcher
from telephonegan.results import Picture
from telephonegan.text import tokenise

MOST_CANDIDATES = 64


def candidate_seeds(seed: int, candidates: int) -> list[int]:
    """The seed itself, and others derived from it: neighbouring seeds share no candidates.

    >>> candidate_seeds(3, 2)[0]
    3
    """
    return [seed, *(derived_seed(seed, "candidate", k) for k in range(1, candidates))]


def best_pictures(
    paint: Callable[..., list[Picture]],
    teacher: Matcher,
    texts: Sequence[str],
    seeds: Sequence[int],
    candidates: int,
) -> list[Picture]:
    """For every text the best of `candidates` pictures (2–64); painting with its `seed` alone gives it again.

    `paint(texts, seeds=…)` is the call of a generator.
    """
    chosen: list[Picture] = []
    for text, seed in zip(texts, seeds, strict=True):
        painted = paint([text] * candidates, seeds=candidate_seeds(seed, candidates))
        scores = torch.cat(in_batches(lambda part, text=text: [_scores(teacher, part, text)], painted))
        chosen.append(painted[int(scores.argmax())])
    return chosen


def _scores(teacher: Matcher, pictures: Sequence[Picture], text: str) -> torch.Tensor:
    return teacher.score(to_tensor([picture.image for picture in pictures], pictures[0].image.width), [tokenise(text)])
