"""Small experiments: texts and pictures to begin with, played by the tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from telephonegan.experiment import Plan

TEXTS = ["a red dog runs", "two people on the beach", "a child jumps in the snow", "the man", "blue water"]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A file of five captions."""
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three pictures of noise."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def plan_of(tiny: str):
    """A plan for the tiny models: three rounds in blocks of two chains."""

    def plan(sources: Path, **changes: Any) -> Plan:
        usual = {"rounds": 3, "seeds": [0, 7], "block": 2}
        return Plan.of({"sources": str(sources), "captioner": tiny, "generator": tiny, **usual, **changes})

    return plan


@pytest.fixture
def contents():
    """All that two runs of one plan have in common: files by name."""

    def read(folder: Path) -> dict[str, bytes]:
        varying = {"place.json", "log.jsonl", ".jobs"}
        paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        return {path.as_posix(): (folder / path).read_bytes() for path in paths if not varying & {*path.parts}}

    return read
