"""Tiny models of random weights: the whole path from picture to words and back, in milliseconds."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from telephonegan.networks.attngan import Generator, initialise
from telephonegan.networks.captioner import CaptionModel
from telephonegan.networks.char_cnn_rnn import CharCNNRNN, PooledImageEncoder
from telephonegan.networks.damsm import ImageEncoder, TextEncoder
from telephonegan.networks.free import FreeGenerator
from telephonegan.networks.gan_cls import Generator as GanClsGenerator
from telephonegan.text import END, PAD, START, UNKNOWN
from telephonegan.zoo import store

NAME = "tiny"
WORDS = [
    "a",
    "the",
    "dog",
    "man",
    "child",
    "runs",
    "jumps",
    "through",
    "grass",
    "snow",
    "water",
    "red",
    "blue",
    "brown",
    "ball",
    "beach",
    "two",
    "people",
    "on",
    "in",
]


def register_tiny(name: str = NAME, *, seed: int = 0, attention: bool = True) -> None:
    """Register captioner/name, damsm/name and generator/name in the user's own folder of models."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _register_captioner(name, attention)
        _register_text_encoder(name)
        _register_generator(name)


def _register_captioner(name: str, attention: bool) -> None:
    network = {"attention": attention, "embedding_width": 16, "hidden_width": 16, "dropout": 0.0}
    vocabulary = [PAD, START, END, UNKNOWN, *WORDS]
    model = _livelier(CaptionModel(len(vocabulary), **network))
    settings = {
        "network": network,
        "backbone": "lite0",
        "input_size": 64,
        "beam_width": 3,
        "length_power": 0.7,
        "words_limit": 6,
    }
    store.register(
        "captioner",
        name,
        model.state_dict(),
        architecture="lite0-caption-model",
        settings=settings,
        vocabulary=vocabulary,
        licence="MIT",
        quality={"BLEU-4": 0.1},
        description="random words",
    )


def _register_text_encoder(name: str) -> None:
    text, image = {"word_width": 8, "width": 8, "dropout": 0.1}, {"width": 8}
    encoder = TextEncoder(1 + len(WORDS), **text)
    networks = nn.ModuleDict({"text_encoder": encoder, "image_encoder": ImageEncoder(**image)})
    settings = {
        "text": text,
        "image": image,
        "backbone": "lite0",
        "picture_size": 16,
        "input_size": 64,
        "words_limit": 8,
    }
    store.register(
        "damsm",
        name,
        _livelier(networks).state_dict(),
        architecture="damsm",
        settings=settings,
        vocabulary=[PAD, *WORDS],
    )


def _register_generator(name: str) -> None:
    network = {
        "channels": 4,
        "base_size": 8,
        "branches": 2,
        "residual_blocks": 1,
        "embedding_width": 8,
        "condition_width": 8,
        "noise_width": 8,
        "conditional": True,
    }
    settings = {"network": network, "damsm": name, "words_limit": 8}
    store.register(
        "generator",
        name,
        _livelier(Generator(**network)).state_dict(),
        architecture="attngan",
        settings=settings,
        description="random pictures",
    )


def register_free(name: str = "free", *, seed: int = 0) -> None:
    """Register generator/name, which paints 16 pixels without text."""
    network = {"channels": 8, "size": 16, "noise_width": 16}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = FreeGenerator(**network)
        initialise(net)
    tensors = net.state_dict()
    store.register("generator", name, tensors, architecture="free", settings={"network": network}, replace=True)


def register_axes(name: str, generator: str, *, seed: int = 0) -> None:
    """Register axes/name of random directions in the noise of a registered generator: warmth, contrast, sharpness."""
    from telephonegan.latent import AxisSet
    from telephonegan.zoo import catalogue

    entry = catalogue.find("generator", generator)
    columns = np.random.default_rng(seed).normal(size=(entry.settings["network"]["noise_width"], 3))
    names, ends = ("warmth", "contrast", "sharpness"), {"warmth": ("colder", "warmer")}
    AxisSet(
        names,
        columns / np.linalg.norm(columns, axis=0),
        np.ones(3),
        generator=generator,
        sha256=entry.sha256,
        ends=ends,
    ).register(name, replace=True)


def register_gan_cls(name: str = NAME, *, seed: int = 0) -> None:
    """Register embedding/name, a Char-CNN-RNN with an image side, and generator/name-cls, a GAN-CLS over it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text, image = {"channels": 8, "cell": "rnn", "width": 6}, {"code_channels": 1280, "components": 6}
        networks = nn.ModuleDict({"text_encoder": CharCNNRNN(**text), "image_encoder": PooledImageEncoder(**image)})
        nn.init.normal_(networks["image_encoder"].whitening)
        sizes = {"backbone": "lite0", "picture_size": 16, "input_size": 64}
        store.register(
            "embedding",
            name,
            _livelier(networks).state_dict(),
            architecture="char-cnn-rnn",
            settings={"text": text, "image": image, "plain": True, **sizes},
        )
        network = {"channels": 4, "size": 16, "noise_width": 5, "embedding_width": 6, "text_width": 8}
        store.register(
            "generator",
            f"{name}-cls",
            _livelier(GanClsGenerator(**network)).state_dict(),
            architecture="gan-cls",
            settings={"network": network, "embedding": name},
        )


def register_codes(name: str = "photos", *, size: int = 16, code: str = "layout", seed: int = 0) -> None:
    """Register ppgn/name, a generator of codes whose pictures are random but differ from code to code."""
    from telephonegan.latent.codes import CodeModel

    model = CodeModel.random(size, channels=4, code=code, seed=seed)
    parts = nn.ModuleDict({"encoder": model.encoder, "generator": model.generator, "autoencoder": model.autoencoder})
    store.register(
        "ppgn",
        name,
        parts.state_dict(),
        architecture="ppgn",
        settings={"backbone": "lite0", "network": {"channels": 4, "size": size, "code": code}},
    )


def _livelier(model: nn.Module) -> nn.Module:
    """Larger weights, or every picture would get the same words and every text the same grey."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.dim() > 1 else 1)
    return model
