"""Generators as the sampler sees them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan.errors import SettingsError, TextError
from telephonegan.images import to_images
from telephonegan.inference import random_generator
from telephonegan.latent.decoders import LatentDecoder, units_of_codes
from telephonegan.latent.inpainting import Hole


def test_the_latents_of_a_picture_give_that_picture_again(phone):
    decoder = LatentDecoder(phone.generator, "a red dog")
    assert decoder.width == 16 and decoder.parts == ("noise", "eps")
    drawn = {name: part[0].numpy() for name, part in phone.generator.latents([3]).items()}
    vector = decoder.vector(drawn)
    painted = to_images(decoder(vector[None]))[0]
    assert painted.tobytes() == phone.generate("a red dog", seed=3).image.tobytes()
    back = decoder.latents(vector)
    assert all(np.array_equal(back[name], drawn[name]) for name in drawn)


def test_a_seed_starts_at_the_picture_that_it_paints(phone):
    decoder = LatentDecoder(phone.generator, "a red dog")
    painted = to_images(decoder(decoder.random(random_generator(3))[None]))[0]
    assert painted.tobytes() == phone.generate("a red dog", seed=3).image.tobytes()


def test_parts_that_do_not_move_stay_as_given(phone):
    drawn = {name: part[0].numpy() for name, part in phone.generator.latents([3]).items()}
    decoder = LatentDecoder(phone.generator, "a red dog", parts=["noise"], latents=drawn)
    painted = to_images(decoder(torch.tensor(drawn["noise"])[None]))[0]
    assert decoder.width == 8 and painted.tobytes() == phone.generate("a red dog", seed=3).image.tobytes()
    assert np.array_equal(decoder.latents(drawn["noise"])["eps"], drawn["eps"])


def test_gradients_reach_every_number_of_the_vector(phone):
    decoder = LatentDecoder(phone.generator, "a red dog")
    vectors = torch.randn(2, 16, requires_grad=True)
    (found,) = torch.autograd.grad(decoder(vectors).square().sum(), vectors)
    assert (found != 0).all()


def test_offsets_of_the_text_can_be_moved_too(phone):
    decoder = LatentDecoder(phone.generator, "a red dog", parts=["noise", "condition"])
    assert decoder.width == 16 and decoder(torch.zeros(2, 16)).shape == (2, 3, 16, 16)


def test_a_generator_without_text_is_moved_by_its_noise(free):
    decoder = LatentDecoder(free)
    assert (decoder.width, decoder.size) == (16, 16) and decoder(torch.zeros(3, 16)).shape == (3, 3, 16, 16)


@pytest.mark.parametrize(("parts", "told"), [(["z"], "no latent 'z'. It has noise, eps"), ([], "at least one part")])
def test_unknown_parts_are_refused(phone, parts, told):
    with pytest.raises(SettingsError, match=told):
        LatentDecoder(phone.generator, "a dog", parts=parts)


def test_a_text_without_known_words_is_refused(phone):
    with pytest.raises(TextError):
        LatentDecoder(phone.generator, "xyzzy")


def test_a_photograph_around_a_hole_weighs_the_same_at_every_size():
    weights = []
    for size in (16, 64):
        hole = Hole.box(Image.new("RGB", (64, 64), "white"), size, (0, 0, size // 2, size))
        grey = torch.zeros(1, 3, size, size)
        weights.append(units_of_codes(size).context * float(hole.agreement(grey)))
    assert weights[0] == pytest.approx(weights[1]) == pytest.approx(-0.5 * 120**2 * 227**2 * 3 / 2)
