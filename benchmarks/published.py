"""The networks of the published sizes with random weights, for the benchmarks: they need no download."""

from __future__ import annotations

import torch
from torch import nn

from telephonegan.captioning import Captioner
from telephonegan.errors import UnknownModelError
from telephonegan.generation import Generator
from telephonegan.networks import attngan
from telephonegan.networks.captioner import LSTMDecoder
from telephonegan.networks.damsm import TextEncoder
from telephonegan.networks.resnet import ResNetEncoder
from telephonegan.text import END, PAD, START, UNKNOWN
from telephonegan.zoo import catalogue, store

NAME = "random-published"
WORDS = ["a", "brown", "dog", "runs", "through", "the", "green", "grass", *(f"word{i}" for i in range(9900))]
SIZES = {"channels": 48, "base_size": 64, "branches": 3, "residual_blocks": 3, "embedding_width": 256}  # of COCO


def generator() -> Generator:
    """AttnGAN for COCO: 256 pixels."""
    return Generator.of(_registered("generator"), "cpu")


def captioner() -> Captioner:
    """ResNet-152 and an LSTM, as TelephoneGAN used them."""
    return Captioner.of(_registered("captioner"), "cpu")


_NETWORKS = {
    "encoder": ResNetEncoder,
    "decoder": lambda: LSTMDecoder(4 + len(WORDS)),
    "text_encoder": lambda: TextEncoder(1 + len(WORDS), word_width=300, width=256),
    "generator": lambda: attngan.Generator(**SIZES),
}


def networks(*names: str) -> dict[str, nn.Module]:
    """Those of the four networks, or all, as plain modules with the same weights at every call."""
    made = {}
    with torch.random.fork_rng(devices=[]):
        for name in names or _NETWORKS:
            torch.manual_seed(0)
            made[name] = _NETWORKS[name]().eval()
    return made


def _registered(kind: str) -> catalogue.Entry:
    try:
        return catalogue.find(kind, NAME)
    except UnknownModelError:
        register()
        return catalogue.find(kind, NAME)


def register() -> None:
    """Store them in the user's folder of models, which a benchmark has chosen as a temporary one."""
    made = networks()
    parts = nn.ModuleDict({name: made[name] for name in ("encoder", "decoder")})
    store.register(
        "captioner",
        NAME,
        parts.state_dict(),
        architecture="resnet152-lstm",
        settings={
            "network": {"encoder": {}, "decoder": {}},
            "input_size": 224,
            "beam_width": 1,
            "length_power": 0.0,
            "words_limit": 20,
        },
        vocabulary=[PAD, START, END, UNKNOWN, *WORDS],
        full_precision=["*"],
        replace=True,
    )
    text = {"word_width": 300, "width": 256, "dropout": 0.5}
    store.register(
        "damsm",
        NAME,
        {f"text_encoder.{name}": value for name, value in made["text_encoder"].state_dict().items()},
        architecture="damsm",
        settings={"text": text, "words_limit": None},
        vocabulary=["<pad>", *WORDS],
        full_precision=["*"],
        replace=True,
    )
    store.register(
        "generator",
        NAME,
        made["generator"].state_dict(),
        architecture="attngan",
        settings={"network": SIZES, "damsm": NAME, "words_limit": None},
        full_precision=["*"],
        replace=True,
    )
