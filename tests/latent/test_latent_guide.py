"""Painted pictures, pushed towards something."""

from __future__ import annotations

import numpy as np
import pytest

import telephonegan as tg
from telephonegan.errors import SettingsError
from telephonegan.latent import Guiding, Score
from telephonegan.results import Picture

BRIGHT = Score(lambda images: images.mean((1, 2, 3)), target=1.0, label="bright")
QUIET = {"progress": False}


def brightness(picture):
    return np.asarray(picture.image, dtype=float).mean()


@pytest.fixture
def dog(phone):
    return phone.generate("a red dog", seed=3)


def test_a_picture_is_pushed_and_its_latents_paint_what_was_found(phone, dog):
    found = tg.guide(dog, BRIGHT, steps=10, generator=phone.generator, **QUIET)
    assert brightness(found.picture) > brightness(dog) + 2
    assert found.frames[0].image.tobytes() == dog.image.tobytes() and len(found.frames) == 11
    again = phone.generate("a red dog", latents=found.picture.latents)
    assert again.image.tobytes() == found.picture.image.tobytes()


def test_in_parts_it_comes_to_the_same(phone, dog):
    whole = tg.guide(dog, "volcano", steps=5, generator=phone.generator, **QUIET)
    guiding = Guiding(dog, "volcano", steps=5, generator=phone.generator)
    guiding.advance(2)
    assert not guiding.is_finished and len(guiding.result().frames) == 2
    guiding.advance(2), guiding.advance(2)
    assert guiding.is_finished
    found = guiding.result()
    assert found.picture.image.tobytes() == whole.picture.image.tobytes() and found.label == whole.label
    np.testing.assert_array_equal(found.probabilities, whole.probabilities)


def test_a_class_of_imagenet_is_named_and_its_generator_found_by_name(dog):
    found = tg.guide(dog, toward="golden retriever", steps=2, device="cpu", **QUIET)
    assert found.label == "golden retriever" and found.picture.model == "tiny"
    assert repr(found).startswith("Guided('golden retriever'")


def test_parts_that_are_not_named_stay(phone, dog):
    found = tg.guide(dog, BRIGHT, steps=3, parts=["noise"], generator=phone.generator, **QUIET)
    drawn = phone.generator.latents([3])
    np.testing.assert_array_equal(found.picture.latents["eps"], drawn["eps"][0].numpy())
    assert not np.array_equal(found.picture.latents["noise"], drawn["noise"][0].numpy())


def test_a_picture_that_was_guided_can_be_guided_again(phone, dog):
    once = tg.guide(dog, BRIGHT, steps=4, generator=phone.generator, **QUIET)
    twice = tg.guide(once.picture, BRIGHT, steps=4, generator=phone.generator, **QUIET)
    assert twice.frames[0].image.tobytes() == once.picture.image.tobytes()


def test_a_generator_without_text_is_guided_too(free):
    face = tg.sample("free", seed=2)
    assert brightness(tg.guide(face, BRIGHT, steps=5, device="cpu", **QUIET).picture) > brightness(face)


def test_gan_cls_is_guided_too(registered, tiny):
    from tests.tiny import register_gan_cls

    register_gan_cls("guided")
    picture = tg.generate("a red dog", generator="guided-cls", device="cpu")
    found = tg.guide(picture, BRIGHT, steps=5, device="cpu", **QUIET)
    assert brightness(found.picture) > brightness(picture)


def test_the_way_is_shown_as_a_strip_and_an_animation(phone, dog, tmp_path):
    found = tg.guide(dog, BRIGHT, steps=3, generator=phone.generator, **QUIET)
    path = found.animate(tmp_path / "way.gif")
    assert path.read_bytes()[:4] == b"GIF8" and found.strip(2).width > found.strip(1).width


@pytest.mark.parametrize("picture", [Picture("no image"), "a dog", None])
def test_what_was_not_painted_is_refused(picture):
    with pytest.raises(SettingsError, match="Only a painted picture"):
        tg.guide(picture, BRIGHT)


def test_a_picture_painted_from_other_noise_than_its_seed_draws_is_refused(phone):
    narrow = phone.generate("a red dog", seed=3, truncation=0.1)
    with pytest.raises(SettingsError, match="another truncation"):
        tg.guide(narrow, BRIGHT, generator=phone.generator, **QUIET)


def test_an_unknown_class_is_refused_with_the_nearest(phone, dog):
    with pytest.raises(SettingsError, match="golden retriever"):
        tg.guide(dog, "golden retreiver", generator=phone.generator)
