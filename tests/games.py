"""Games made by hand: what shows them needs no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from telephonegan.chains import Chain, Round
from telephonegan.results import Caption, Picture

SENTENCES = ("a man in a red coat", "a man in a blue coat", "a dog in the snow")


def picture(number: int, size: tuple[int, int] = (16, 16)) -> Image.Image:
    """A picture that no other number gives."""
    levels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(levels)


def maps(words: int) -> np.ndarray:
    """One map per word, each with its own bright cell."""
    seen = np.full((words, 4, 4), 0.01, dtype=np.float32)
    seen[np.arange(words), np.arange(words) // 4, np.arange(words) % 4] = 1
    return seen


def caption(text: str, number: int = 0, *, attention: bool = True) -> Caption:
    words = text.split()
    return Caption(text, words, [0.5] * len(words), maps(len(words)) if attention else None, image=picture(number))


def chain(sentences: Sequence[str] = SENTENCES, *, seed: int = 0, attention: bool = True) -> Chain:
    rounds = []
    for t, text in enumerate(sentences):
        source = sentences[t - 1] if t else ""
        seen = maps(len(source.split())) if t and attention else None
        painted = Picture(picture(100 * seed + t), text=source, words=source.split(), attention=seen)
        rounds.append(Round(t, caption(text, 100 * seed + t, attention=attention), painted))
    models = {kind: {"name": "tiny", "sha256": 64 * "0"} for kind in ("captioner", "generator")}
    return Chain(rounds[0].picture.image, seed=seed, wanted=len(sentences) - 1, models=models, rounds=rounds)


def chain_from_text(text: str) -> Chain:
    first = Round(0, Caption(text, text.split()), None)
    second = Round(1, caption("a dog"), Picture(picture(1), text=text))
    return Chain(text, wanted=1, rounds=[first, second])
