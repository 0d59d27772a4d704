"""Gradient saliency: it is the gradient, for captioners with and without attention, and nothing stays behind."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan.captioning import Captioner
from telephonegan.errors import SettingsError
from telephonegan.results import Caption
from telephonegan.saliency import saliency, word_gradients
from tests.tiny import register_tiny


@pytest.fixture(scope="module", params=[True, False], ids=["attention", "lstm"])
def captioner(request, tmp_path_factory) -> Iterator[Captioner]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TELEPHONEGAN_HOME", str(tmp_path_factory.mktemp("home")))
        register_tiny("tiny", attention=request.param)
        yield Captioner.load("tiny", "cpu")


@pytest.fixture(scope="module")
def image() -> Image.Image:
    levels = np.random.default_rng(0).integers(60, 196, (64, 64, 3), dtype=np.uint8)
    return Image.fromarray(levels)


@pytest.fixture(scope="module")
def caption(captioner, image) -> Caption:
    return captioner([image])[0]


def test_one_map_per_word_each_summing_to_one(captioner, caption):
    seen = saliency(captioner, caption)
    assert seen.shape == (len(caption.words), 32, 32) and seen.dtype == np.float32
    np.testing.assert_allclose(seen.sum((1, 2)), 1, rtol=1e-5)
    assert (seen >= 0).all() and seen.std((1, 2)).min() > 0


def test_the_gradient_foretells_what_a_changed_picture_does(captioner, image, caption):
    gradient = word_gradients(captioner, caption)[0]
    strongest = gradient.abs() >= gradient.abs().flatten().topk(10).values[-1]  # of more, it foretells less
    direction = (gradient.sign() * strongest).permute(1, 2, 0).numpy()
    darker, lighter = (Image.fromarray((np.asarray(image) + sign * direction).astype(np.uint8)) for sign in (-1, 1))
    expected = 2 / 128 * float(gradient[strongest].abs().sum())  # the network is given (grey level - 127) / 128
    after, before = (log_probability_of_first(captioner, picture, caption) for picture in (lighter, darker))
    assert after - before == pytest.approx(expected, rel=0.15)


def log_probability_of_first(captioner: Captioner, image: Image.Image, caption: Caption) -> float:
    """Of the first word, whatever follows."""
    vision, decoder = captioner.vision, captioner.vision.decoder
    with torch.no_grad():
        state = decoder.start(vision.features(vision.pixels([image])))
        logits, _, _ = decoder.step(torch.tensor([captioner.markers.start]), state)
    log_probabilities = logits.index_fill(1, torch.tensor(captioner.markers.never), float("-inf")).log_softmax(1)
    return float(log_probabilities[0, captioner.vocabulary.ids[caption.words[0]]])


def test_later_words_have_gradients_of_their_own(captioner, image):
    seen = saliency(captioner, Caption("a dog runs", ["a", "dog", "runs"], image=image))
    assert np.abs(seen[0] - seen[1]).max() > 1e-6 and np.abs(seen[1] - seen[2]).max() > 1e-6


def test_nothing_stays_behind(captioner, image, caption):
    saliency(captioner, caption)
    [again] = captioner([image])
    assert again.text == caption.text and again.log_probability == caption.log_probability
    assert all(parameter.grad is None for parameter in captioner.vision.model.parameters())


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(captioner, caption, off):
    expected = saliency(captioner, caption)
    with off():
        assert (saliency(captioner, caption) == expected).all()


@pytest.mark.parametrize(("given", "told"), [
    (Caption("a dog", ["a", "dog"]), "its picture"),
    (Caption("", image=Image.new("RGB", (8, 8))), "with words"),
    (Caption("a zebra", ["a", "zebra"], model="other", image=Image.new("RGB", (8, 8))), "'zebra'.*'other'"),
])  # fmt: skip
def test_what_has_no_gradient_is_refused(captioner, given, told):
    with pytest.raises(SettingsError, match=told):
        saliency(captioner, given)
