"""Generation: seeds, batches, words that are left out, and what a picture carries."""

from __future__ import annotations

import numpy as np
import pytest

from telephonegan.errors import SettingsError, TextError
from telephonegan.generation import TextToImage

TEXTS = ["a dog", "the brown dog runs through the red grass", "two people on the beach", "snow", "a child in water"]


@pytest.fixture
def painter(phone) -> TextToImage:
    return phone.generator


def pixels(picture) -> np.ndarray:
    return np.asarray(picture.image).astype(int)


def test_a_picture_does_not_depend_on_its_neighbours(painter):
    together = painter(TEXTS, seeds=range(5))
    for text, seed, picture in zip(TEXTS, range(5), together, strict=True):
        [alone] = painter([text], seeds=[seed])
        assert np.abs(pixels(alone) - pixels(picture)).max() <= 1
        np.testing.assert_allclose(alone.attention, picture.attention, atol=1e-4)


def test_seed_and_text_both_matter(painter):
    first, again, reseeded, reworded = painter(["a dog", "a dog", "a dog", "two people"], seeds=[1, 1, 2, 1])
    assert np.abs(pixels(first) - pixels(again)).max() <= 1
    assert np.abs(pixels(first) - pixels(reseeded)).max() > 8
    assert np.abs(pixels(first) - pixels(reworded)).max() > 8


def test_without_noise_every_seed_gives_the_same_picture(painter):
    one, other = painter(["a dog"] * 2, seeds=[1, 2], truncation=0)
    assert np.abs(pixels(one) - pixels(other)).max() <= 1


def test_a_picture_says_how_it_came_about(painter):
    [picture] = painter(["The dog: a BROWN zebra, 🐶 zebra"], seeds=[7])
    assert [stage.size for stage in picture.stages] == [(8, 8), (16, 16)]
    assert picture.image is picture.stages[-1]
    assert picture.words == ["the", "dog", "a", "brown"]
    assert picture.dropped_words == ["zebra", "🐶"]
    assert (picture.truncated, picture.seed, picture.model) == (0, 7, "tiny")
    assert picture.attention.shape == (4, 8, 8)
    np.testing.assert_allclose(picture.attention.sum(0), 1, atol=1e-5)


def test_a_text_of_ten_thousand_words_is_cut_and_says_so(painter):
    [picture] = painter(["dog " * 10_000], seeds=[0])
    assert len(picture.words) == 8
    assert picture.truncated == 9_992


def test_nul_bytes_and_emoji_do_no_harm(painter):
    [odd, plain] = painter(["a\0dog 🐕‍🦺\n", "a dog"], seeds=[0, 0])
    assert odd.words == plain.words


@pytest.mark.parametrize("text", ["", "   ", "🐶", "\0", "zebra", "<pad>", 3, None, b"a dog"])
def test_a_text_without_a_known_word_is_refused(painter, text):
    with pytest.raises(TextError):
        painter(["a dog", text], seeds=[0, 0])


@pytest.mark.parametrize("options", [
    {"seeds": [-1]}, {"seeds": [2**32]}, {"seeds": [0.5]}, {"seeds": [True]}, {"seeds": []}, {"seeds": [0, 1]},
    {"seeds": [0], "truncation": -0.1}, {"seeds": [0], "truncation": float("nan")}, {"seeds": [0], "truncation": "1"},
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(painter, options):
    with pytest.raises(SettingsError):
        painter(["a dog"], **options)


def test_one_text_for_a_list_is_refused(painter):
    with pytest.raises(SettingsError, match="list"):
        painter("dog", seeds=[0, 1, 2])


def test_no_texts_give_no_pictures(painter):
    assert painter([], seeds=[]) == []
