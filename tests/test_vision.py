"""What captioners see: the published transform, of every kind of picture; and gradients back to the pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from telephonegan.captioning import Captioner
from telephonegan.errors import WeightsError
from telephonegan.images import to_tensor
from telephonegan.networks.captioner import LSTMDecoder
from telephonegan.networks.decoding import log_probabilities
from telephonegan.networks.resnet import ResNetEncoder
from telephonegan.text import END, PAD, START, UNKNOWN
from telephonegan.vision import ResNetVision
from telephonegan.zoo import catalogue, store
from tests.tiny import register_tiny

WORDS = [PAD, START, END, UNKNOWN, "a", "dog", "runs", "."]
DECODER = {"embedding_width": 8, "hidden_width": 16, "layers": 1}
SETTINGS = {
    "network": {"encoder": {"embedding_width": 8}, "decoder": DECODER},
    "input_size": 224,
    "beam_width": 1,
    "length_power": 0.0,
    "words_limit": 19,
}


@pytest.fixture(scope="module")
def shallow():
    """One block per stage: the same path in an eighth of the time."""
    blocks = torchvision.models.resnet.Bottleneck
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchvision.models.resnet152", lambda weights: torchvision.models.ResNet(blocks, [1, 1, 1, 1]))
        yield


@pytest.fixture(scope="module")
def networks(shallow) -> torch.nn.ModuleDict:
    torch.manual_seed(1)
    parts = {"encoder": ResNetEncoder(8), "decoder": LSTMDecoder(len(WORDS), **DECODER)}
    return torch.nn.ModuleDict(parts).eval()


@pytest.fixture(scope="module")
def entry(networks, tmp_path_factory) -> catalogue.Entry:
    return store.register(
        "captioner",
        "published",
        networks.state_dict(),
        architecture="resnet152-lstm",
        settings=SETTINGS,
        vocabulary=WORDS,
        full_precision=("*",),
        folder=tmp_path_factory.mktemp("models"),
    )


@pytest.fixture(scope="module")
def vision(entry) -> ResNetVision:
    return Captioner(entry, "cpu").vision


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    sizes = ((30, 40), (224, 224), (400, 300), (1, 7))
    return [Image.fromarray(noise.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def as_published(picture: Image.Image) -> torch.Tensor:
    """The published transform: 224 × 224 without regard to the shape, LANCZOS, ImageNet's mean and deviation."""
    pixels = np.asarray(picture.resize((224, 224), Image.Resampling.LANCZOS), np.float64) / 255
    return torch.from_numpy((pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).permute(2, 0, 1).float()[None]


@torch.inference_mode()
def test_pictures_are_seen_through_the_published_transform(vision, networks, pictures):
    features = vision.features(vision.pixels(pictures))
    assert features.shape == (len(pictures), 8) and vision.grid is None
    for row, picture in zip(features, pictures, strict=True):
        torch.testing.assert_close(row, networks["encoder"](as_published(picture))[0], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_another_way_of_shrinking_would_be_noticed(vision, networks, pictures):
    """The comparison above is finer than the difference between bicubic and LANCZOS."""
    picture = pictures[2]
    bicubic = picture.resize((224, 224), Image.Resampling.BICUBIC)
    features = vision.features(vision.pixels([picture]))
    assert (features - networks["encoder"](as_published(bicubic))).abs().max() > 1e-3


@torch.inference_mode()
@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "1", "LA"])
def test_pictures_that_broke_the_published_script_are_seen(entry, mode):
    captioner = Captioner(entry, "cpu")
    picture = Image.new("RGB", (50, 40), (200, 30, 90))
    picture = Image.new("I;16", (50, 40), 999) if mode == "I;16" else picture.convert(mode)
    [caption] = captioner([picture])
    assert set(caption.words) <= {"a", "dog", "runs", "."}


def test_a_caption_has_no_attention_and_does_not_depend_on_its_neighbours(entry, pictures):
    captioner = Captioner(entry, "cpu")
    for how in ({}, {"method": "greedy"}, {"method": "sample"}, {"beam_width": 3}):
        together = captioner(pictures, seeds=range(4), **how)
        for seed, (picture, caption) in enumerate(zip(pictures, together, strict=True)):
            [alone] = captioner([picture], seeds=[seed], **how)
            assert alone.words == caption.words
            assert caption.attention is None and len(caption.words) <= 19
    assert len(together[0].alternatives) == 2


def test_the_usual_way_is_the_published_one_greedy(entry, pictures):
    captioner = Captioner(entry, "cpu")
    assert [c.words for c in captioner(pictures)] == [c.words for c in captioner(pictures, method="greedy")]


@pytest.mark.parametrize(
    "change",
    [
        {"network": {"encoder": {}}},
        {"network": {"encoder": {"width": 8}, "decoder": DECODER}},
        {"network": {"encoder": {"embedding_width": 9}, "decoder": DECODER}},
        {"network": {"encoder": {"embedding_width": 8}, "decoder": DECODER | {"layers": 2}}},
        {"network": None},
    ],
)
def test_settings_that_do_not_fit_the_weights_are_refused(entry, change):
    other = dataclasses.replace(entry, settings=SETTINGS | change)
    with pytest.raises(WeightsError):
        Captioner(other, "cpu")


def test_a_model_of_another_architecture_is_refused_with_those_there_are(entry):
    with pytest.raises(WeightsError, match=r"'lite0-caption-model' or 'resnet152-lstm' or .* is needed"):
        Captioner(dataclasses.replace(entry, architecture="vgg-lstm"), "cpu")


# ------------------------------------------------------------------------------------------------- gradients


@pytest.fixture(params=["cells", "pooled", "resnet"])
def any_captioner(request, entry, tmp_path, monkeypatch) -> Captioner:
    if request.param == "resnet":
        return Captioner(entry, "cpu")
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path))
    register_tiny("tiny", attention=request.param == "cells")
    return Captioner.load("tiny", "cpu")


def log_likelihood(captioner: Captioner, pixels: torch.Tensor) -> torch.Tensor:
    """Of "a dog runs", for each picture."""
    ids = torch.tensor([[captioner.vocabulary.ids[word] for word in ("a", "dog", "runs")]] * len(pixels))
    state = captioner.vision.decoder.start(captioner.vision.features(pixels))
    return log_probabilities(captioner.vision.decoder, state, ids, captioner.markers).sum(1)


def test_gradients_of_a_caption_reach_the_pixels_and_nothing_else(any_captioner, pictures):
    pixels = any_captioner.vision.pixels(pictures[:2]).requires_grad_()
    log_likelihood(any_captioner, pixels).sum().backward()
    assert pixels.grad.shape == pixels.shape and pixels.grad.isfinite().all()
    assert (pixels.grad.abs().amax((1, 2, 3)) > 0).all()
    assert all(parameter.grad is None for parameter in any_captioner.vision.decoder.parameters())


def test_without_gradients_no_graph_is_kept(any_captioner, pictures):
    pixels = any_captioner.vision.pixels(pictures[:1])
    assert log_likelihood(any_captioner, pixels).grad_fn is None
    with torch.no_grad():
        assert log_likelihood(any_captioner, pixels.requires_grad_()).grad_fn is None


def test_a_tensor_is_seen_as_the_picture_it_is(any_captioner, pictures):
    vision = any_captioner.vision
    fitting = pictures[0].resize((vision.input_size,) * 2)
    torch.testing.assert_close(vision.pixels(to_tensor([fitting], vision.input_size)), vision.pixels([fitting]))
    smooth = Image.radial_gradient("L").convert("RGB")
    squashed = vision.pixels(to_tensor([smooth], 256))
    assert (squashed - vision.pixels([smooth])).abs().mean() < 0.05


def test_the_grid_is_that_of_the_cells(any_captioner, pictures):
    vision = any_captioner.vision
    features = vision.features(vision.pixels(pictures[:1]))
    if features.ndim == 3:
        assert vision.grid[0] * vision.grid[1] == features.shape[1]
