"""Painting a text several times and keeping the picture that matches it best, in the eyes of the generator's teacher.

The choice is DAMSM's (Xu et al. 2018): cosine of the sentence and the whole picture. What it keeps is more faithful and
less varied, so measure it apart from single pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from telephonegan.errors import SettingsError
from telephonegan.images import to_tensor
from telephonegan.inference import derived_seed, in_batches
from telephonegan.text import tokenise

if TYPE_CHECKING:
    from telephonegan.generation import TextToImage
    from telephonegan.matcher import Judge
    from telephonegan.results import Picture

MOST_CANDIDATES = 64


def candidate_seeds(seed: int, candidates: int) -> list[int]:
    """The seed itself, and others that follow from it: no two neighbouring seeds share a candidate.

    >>> candidate_seeds(3, 2)[0]
    3
    """
    return [seed, *(derived_seed(seed, "candidate", k) for k in range(1, candidates))]


def best_pictures(
    painter: TextToImage, texts: Sequence[str], seeds: Sequence[int], candidates: int, *, truncation: float
) -> list[Picture]:
    """For every text the best of so many pictures (2–64); its `seed` paints it again, alone.

    Raises SettingsError for a generator whose DAMSM has no image encoder.
    """
    judge = _teacher(painter)
    chosen: list[Picture] = []
    for text, seed in zip(texts, seeds, strict=True):
        painted = painter([text] * candidates, seeds=candidate_seeds(seed, candidates), truncation=truncation)
        scores = torch.cat(in_batches(lambda part, words=text: [_scores(judge, part, words)], painted))
        chosen.append(painted[int(scores.argmax())])
    return chosen


def _scores(judge: Judge, pictures: Sequence[Picture], text: str) -> torch.Tensor:
    codes = judge.see(to_tensor([picture.image for picture in pictures], pictures[0].image.width)).codes
    return F.cosine_similarity(codes.float().cpu(), judge.read([tokenise(text)]))


def _teacher(painter: TextToImage) -> Judge:
    if painter.matching is None:
        raise SettingsError(f"candidates needs a DAMSM beside the generator {painter.name!r}, and it has none.")
    return _judge(painter.matching, painter.device)


@cache
def _judge(name: str, device: torch.device) -> Judge:
    from telephonegan.matcher import Judge

    return Judge(name, device)
