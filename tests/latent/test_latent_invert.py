"""From pictures back to latents."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import telephonegan as tg
from telephonegan.errors import ImageError
from telephonegan.latent import invert

QUICK = {"starts": 2, "steps": 40, "progress": False}


def test_a_painted_picture_is_found_again(free):
    target = tg.sample("free", seed=7)
    found = invert(free, target.image, **QUICK)
    assert not found.is_poor and str(found).startswith("Found") and found.error < 0.05
    again = tg.sample("free", latents=found.latents)
    assert again.image.tobytes() == found.picture.image.tobytes()


def test_a_picture_of_another_domain_is_called_poor(free):
    found = invert(free, Image.effect_noise((16, 16), 120), **QUICK)
    assert found.is_poor and "cannot paint" in str(found) and len(found.errors) == 2


def test_the_seed_decides_the_result(free):
    target = tg.sample("free", seed=7).image
    one, same = (invert(free, target, starts=2, steps=3, progress=False, seed=1) for _ in range(2))
    np.testing.assert_array_equal(one.latents["noise"], same.latents["noise"])


def test_with_a_text_all_parts_of_the_latents_are_found(phone):
    target = phone.generate("a red dog", seed=5)
    found = invert(phone.generator, target.image, text="a red dog", **QUICK)
    assert set(found.latents) == {"noise", "eps"} and found.distance < 1


def test_latents_are_written_for_later(free, tmp_path):
    found = invert(free, tg.sample("free", seed=7).image, starts=1, steps=2, progress=False)
    with np.load(found.save_latents(tmp_path / "latents.npz")) as stored:
        np.testing.assert_array_equal(stored["noise"], found.latents["noise"])


def test_what_is_not_a_picture_is_refused(free, tmp_path):
    with pytest.raises(ImageError):
        invert(free, tmp_path / "nothing.png")
