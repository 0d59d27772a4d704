"""Measuring models on photographs and captions that were not used in training; functions return numbers by name.

>>> from telephonegan import evaluation
>>> evaluation.captioner_scores("flickr8k", "flickr8k")["CIDEr-D"]  # doctest: +SKIP
0.557
"""

from __future__ import annotations

import importlib
from typing import Any

# Everything is loaded on first use, which keeps the import cheap.
_HOMES = {
    "captioner_scores": "captioners",
    "cycle_scores": "captioners",
    "embedding_scores": "embeddings",
    "generator_scores": "generators",
    "guided_caption_scores": "guided",
    "guided_scores": "guided",
    "inversion_scores": "inversions",
    "matcher_scores": "matchers",
    "nearest_scores": "captioners",
    "reconstruction_scores": "reconstructions",
    "word_scores": "generators",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"telephonegan.evaluation has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"telephonegan.evaluation.{_HOMES[name]}"), name)
