"""Captioning: batches, decoding methods, seeds, and what a caption carries."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan import inference
from telephonegan.captioning import Captioner
from telephonegan.errors import ImageError, SettingsError, UnknownModelError, WeightsError
from telephonegan.zoo import catalogue
from tests.tiny import WORDS, register_tiny


@pytest.fixture
def captioner(phone) -> Captioner:
    return phone.captioner


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    return [Image.fromarray(noise.integers(0, 256, (s, s, 3), dtype=np.uint8)).resize((80, 60)) for s in range(2, 9)]


@pytest.mark.parametrize("how", [{}, {"method": "greedy"}, {"method": "sample", "temperature": 2.0, "top_p": 0.9}])
def test_a_caption_does_not_depend_on_its_neighbours(captioner, pictures, how):
    seeds = list(range(len(pictures)))
    together = captioner(pictures, seeds=seeds, **how)
    for picture, seed, caption in zip(pictures, seeds, together, strict=True):
        [alone] = captioner([picture], seeds=[seed], **how)
        assert alone.words == caption.words
        assert alone.probabilities == pytest.approx(caption.probabilities, abs=1e-4)
    assert len({caption.text for caption in together}) > 1


def test_a_caption_says_how_it_came_about(captioner, pictures):
    [caption] = captioner(pictures[:1], beam_width=4)
    assert caption.words and set(caption.words) <= set(WORDS)
    assert str(caption) == caption.text == " ".join(caption.words)
    assert len(caption.probabilities) == len(caption.words) and all(0 < p <= 1 for p in caption.probabilities)
    assert caption.attention.shape == (len(caption.words), 2, 2)
    np.testing.assert_allclose(caption.attention.sum((1, 2)), 1, atol=1e-5)
    assert len(caption.alternatives) == 3
    assert caption.log_probability < 0
    assert caption.model == "tiny"
    assert caption.seed is None


def test_the_seed_matters_to_sampling_alone(captioner, pictures):
    same = [pictures[0]] * 12
    drawn = captioner(same, method="sample", temperature=3.0, seeds=range(12))
    assert len({caption.text for caption in drawn}) > 1
    assert [caption.seed for caption in drawn] == list(range(12))
    assert len({caption.text for caption in captioner(same, seeds=range(12))}) == 1


def test_a_beam_width_of_one_is_greedy(captioner, pictures):
    wide, greedy = captioner(pictures, beam_width=1), captioner(pictures, method="greedy")
    assert [c.text for c in wide] == [c.text for c in greedy]


def test_no_pictures_give_no_captions(captioner):
    assert captioner([]) == []


def test_more_pictures_than_a_batch_keep_their_order(captioner, pictures, monkeypatch):
    whole = captioner(pictures)
    monkeypatch.setattr(inference, "BATCH", 2)
    assert [c.text for c in captioner(pictures)] == [c.text for c in whole]


def test_a_tensor_from_to_tensor_gets_the_caption_of_its_picture(captioner):
    picture = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    unit = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    [expected] = captioner([picture])
    with pytest.warns(UserWarning, match="read as 0 to 1"):
        [guessed] = captioner([unit])
    [said] = captioner([unit], value_range=(0, 1))
    [other] = captioner([unit], value_range=(-1, 1))
    assert guessed.image.tobytes() == said.image.tobytes() == expected.image.tobytes() != other.image.tobytes()
    assert guessed.text == said.text == expected.text


def test_a_large_photograph_is_kept_at_the_size_it_was_captioned_at(captioner):
    [caption] = captioner([Image.new("RGB", (3000, 1500), "red")])
    assert caption.image.size == (1024, 512)


@pytest.mark.parametrize("how", [
    {"method": "guess"}, {"beam_width": 0}, {"beam_width": 2.0}, {"beam_width": True}, {"temperature": 0.5},
    {"method": "sample", "temperature": 0}, {"method": "sample", "temperature": float("nan")},
    {"method": "sample", "top_p": 0}, {"method": "sample", "top_p": 1.5}, {"method": "greedy", "beam_width": 3},
    {"method": "sample", "seeds": [1, 2]}, {"method": "sample", "seeds": [-1]}, {"method": "sample", "seeds": ["x"]},
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(captioner, pictures, how):
    with pytest.raises(SettingsError):
        captioner(pictures[:1], **how)


def test_an_unreadable_picture_is_refused(captioner, pictures):
    with pytest.raises(ImageError):
        captioner([pictures[0], b"no picture"])


def test_a_captioner_without_attention_works_too(tiny, pictures):
    register_tiny("plain", attention=False)
    captions = Captioner.load("plain", "cpu")(pictures)
    assert all(caption.attention is None and caption.words for caption in captions)


def test_an_unknown_name_lists_the_names(tiny):
    with pytest.raises(UnknownModelError, match="tiny"):
        Captioner.load("bigger")


def test_a_model_of_another_architecture_is_refused(tiny):
    with pytest.raises(WeightsError, match="lite0-caption-model"):
        Captioner(catalogue.find("generator", tiny))


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda0", "", "cpu:0", "cuda:99"])
def test_an_impossible_device_is_refused(device):
    with pytest.raises(SettingsError, match="device"):
        inference.resolve_device(device)


def test_seeds_derived_from_the_same_parts_never_change():
    assert inference.derived_seed(0, 0, 1, "picture") == 2156702964  # printf 0/0/1/picture | sha256sum: bytes 5 to 8
    assert inference.derived_seed(1, 23) != inference.derived_seed(12, 3)
