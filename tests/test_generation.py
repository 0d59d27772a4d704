"""Generation: seeds, batches, words that are left out, and what a picture carries."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from telephonegan.errors import SettingsError, TextError
from telephonegan.generation import Generator

TEXTS = ["a dog", "the brown dog runs through the red grass", "two people on the beach", "snow", "a child in water"]


@pytest.fixture
def generator(phone) -> Generator:
    return phone.generator


def pixels(picture) -> np.ndarray:
    return np.asarray(picture.image).astype(int)


def test_a_picture_does_not_depend_on_its_neighbours(generator):
    together = generator(TEXTS, seeds=range(5))
    for text, seed, picture in zip(TEXTS, range(5), together, strict=True):
        [alone] = generator([text], seeds=[seed])
        assert np.abs(pixels(alone) - pixels(picture)).max() <= 1
        np.testing.assert_allclose(alone.attention, picture.attention, atol=1e-4)


def test_seed_and_text_both_matter(generator):
    first, again, reseeded, reworded = generator(["a dog", "a dog", "a dog", "two people"], seeds=[1, 1, 2, 1])
    assert np.abs(pixels(first) - pixels(again)).max() <= 1
    assert np.abs(pixels(first) - pixels(reseeded)).max() > 8
    assert np.abs(pixels(first) - pixels(reworded)).max() > 8


def test_without_noise_every_seed_gives_the_same_picture(generator):
    one, other = generator(["a dog"] * 2, seeds=[1, 2], truncation=0)
    assert np.abs(pixels(one) - pixels(other)).max() <= 1


def test_a_picture_says_how_it_came_about(generator):
    [picture] = generator(["The dog: a BROWN zebra, 🐶 zebra"], seeds=[7])
    assert [stage.size for stage in picture.stages] == [(8, 8), (16, 16)]
    assert picture.image is picture.stages[-1]
    assert picture.words == ["the", "dog", "a", "brown"]
    assert picture.dropped_words == ["zebra", "🐶"]
    assert (picture.truncated, picture.seed, picture.model) == (0, 7, "tiny")
    assert picture.attention.shape == (4, 8, 8)
    np.testing.assert_allclose(picture.attention.sum(0), 1, atol=1e-5)


def test_a_text_of_ten_thousand_words_is_cut_and_says_so(generator):
    [picture] = generator(["dog " * 10_000], seeds=[0])
    assert len(picture.words) == 8
    assert picture.truncated == 9_992


def test_nul_bytes_and_emoji_do_no_harm(generator):
    [odd, plain] = generator(["a\0dog 🐕‍🦺\n", "a dog"], seeds=[0, 0])
    assert odd.words == plain.words


@pytest.mark.parametrize("text", ["", "   ", "🐶", "\0", "zebra", "<pad>", 3, None, b"a dog"])
def test_a_text_without_a_known_word_is_refused(generator, text):
    with pytest.raises(TextError):
        generator(["a dog", text], seeds=[0, 0])


@pytest.mark.parametrize("options", [
    {"seeds": [-1]}, {"seeds": [2**32]}, {"seeds": [0.5]}, {"seeds": [True]}, {"seeds": []}, {"seeds": [0, 1]},
    {"seeds": [0], "truncation": -0.1}, {"seeds": [0], "truncation": float("nan")}, {"seeds": [0], "truncation": "1"},
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(generator, options):
    with pytest.raises(SettingsError):
        generator(["a dog"], **options)


def test_one_text_for_a_list_is_refused(generator):
    with pytest.raises(SettingsError, match="list"):
        generator("dog", seeds=[0, 1, 2])


def test_no_texts_give_no_pictures(generator):
    assert generator([], seeds=[]) == []


# ------------------------------------------------------------------------------------------------- edited latents


def test_the_latents_of_a_seed_paint_its_picture(generator):
    [plain] = generator(["a dog"], seeds=[3], truncation=0.7)
    latents = {name: part[0] for name, part in generator.latents([3], truncation=0.7).items()}
    [given] = generator(["a dog"], seeds=[99], latents=[latents])
    assert given.image.tobytes() == plain.image.tobytes()
    assert plain.latents is None
    assert given.latents.keys() == {"noise", "eps"} and given.latents["noise"].dtype == np.float32
    [again] = generator(["a dog"], seeds=[0], latents=[given.latents])
    assert again.image.tobytes() == given.image.tobytes()


@pytest.mark.parametrize("part", ["noise", "eps"])
def test_one_part_can_be_edited_and_the_seed_draws_the_other(generator, part):
    other = {"noise": "eps", "eps": "noise"}[part]
    edit = generator.latents([3])[part][0] + 1
    [plain, edited] = generator(["a dog"] * 2, seeds=[3, 3], latents=[None, {part: edit}])
    assert plain.image.tobytes() != edited.image.tobytes() and plain.latents is None
    np.testing.assert_array_equal(edited.latents[part], edit)
    np.testing.assert_array_equal(edited.latents[other], generator.latents([3])[other][0])


@pytest.mark.parametrize("form", [list, np.array, torch.tensor, lambda row: torch.tensor(row, requires_grad=True)])
def test_latents_are_given_as_any_kind_of_array(generator, form):
    row = generator.latents([3])["noise"][0].tolist()
    [plain, given] = generator(["a dog"] * 2, seeds=[3, 3], latents=[None, {"noise": form(row)}])
    assert given.image.tobytes() == plain.image.tobytes()


@pytest.mark.parametrize(("latents", "told"), [
    ({"noise": [0.0] * 8}, "1 texts need 1 latents"),
    ([], "1 texts need 1 latents"),
    ([{"z": [0.0] * 8}], "no latent 'z'. It has noise, eps"),
    ([{"noise": [0.0] * 7}], r"8 finite numbers; an array \(7,\)"),
    ([{"noise": [[0.0] * 8]}], r"an array \(1, 8\)"),
    ([{"noise": [float("nan")] * 8}], "8 finite numbers"),
    ([{"noise": "loud"}], "array of numbers; 'loud'"),
    ([[0.0] * 8], "a dictionary of noise, eps"),
])  # fmt: skip
def test_latents_that_do_not_fit_are_refused(generator, latents, told):
    with pytest.raises(SettingsError, match=told):
        generator(["a dog"], seeds=[0], latents=latents)


def test_candidates_of_a_given_latent_are_refused(generator):
    with pytest.raises(SettingsError, match="latents fix the draw"):
        generator(["a dog"], seeds=[0], candidates=2, latents=[{"noise": [0.0] * 8}])


def test_the_short_call_takes_latents_for_one_text_or_a_list(phone):
    edit = {"noise": np.zeros(8)}
    alone = phone.generate("a dog", seed=1, latents=edit)
    [first, second] = phone.generate(["a dog", "a dog"], seed=1, latents=[edit, None])
    assert alone.latents["noise"].tolist() == [0] * 8 == first.latents["noise"].tolist()
    assert np.abs(pixels(alone) - pixels(first)).max() <= 1
    assert second.latents is None
    drawn = phone.generate("a dog", seed=1, n=3, latents=edit)
    assert len({picture.latents["eps"].tobytes() for picture in drawn}) == 3


def test_a_sketch_is_the_first_stage_of_the_same_picture(phone):
    generator = phone.generator
    noise = np.linspace(-1, 1, 8)
    for edit in (None, {"noise": noise, "sentence": np.ones(8)}):
        picture = generator(["a red dog"], seeds=[3], latents=[edit])[0]
        sketch = generator.sketch("a red dog", seed=3, latents=edit)
        difference = np.asarray(sketch.image).astype(int) - np.asarray(picture.stages[0])
        assert sketch.image.size < picture.image.size and np.abs(difference).max() <= 1


def test_a_generator_of_one_size_has_no_sketch(free):
    assert free.sketch("", seed=3) is None
