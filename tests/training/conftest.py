"""Runs over drawn pictures, of networks so small that two steps take a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from telephonegan import training
from telephonegan.training import loop

SETTINGS = {
    "damsm": {
        **{"picture_size": 32, "input_size": 64, "views": 2, "minimum_count": 2},
        **{"word_width": 8, "width": 16, "batch_size": 6},
    },
    "attngan": {
        **{"base_size": 8, "branches": 2, "channels": 4, "backbone_input": 64},
        **{"head_width": 4, "batch_size": 4, "words_limit": 8},
    },
    "captioner": {
        **{"input_size": 64, "stored_size": 48, "small_size": 16, "minimum_count": 2, "words_limit": 8},
        **{"embedding_width": 8, "hidden_width": 8, "photos_per_batch": 3},
    },
}


@pytest.fixture(scope="session")
def train(drawings: Path, cache: Path) -> Callable[..., bool]:
    """`training.train` with all that a test is not about; its settings are added to the small ones."""

    def run(recipe: str, folder: Path, *, settings: dict | None = None, steps: int = 2, **how: object) -> bool:
        given = {"data": drawings, "cache": cache, "device": "cpu"} | how
        small = SETTINGS.get(recipe, {})
        return training.train(recipe, run=folder, settings=small | (settings or {}), steps=steps, **given)

    return run


@pytest.fixture(scope="session")
def damsm_run(train: Callable[..., bool], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished DAMSM run without evaluations."""
    folder = tmp_path_factory.mktemp("runs") / "damsm"
    with pytest.MonkeyPatch.context() as patch:
        run = loop.run
        patch.setattr(loop, "run", lambda *given, **options: run(*given, **{**options, "evaluate_every": 0}))
        train("damsm", folder)
    return folder


@pytest.fixture(scope="session")
def captioner_run(train: Callable[..., bool], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "captioner"
    train("captioner", folder)
    return folder
