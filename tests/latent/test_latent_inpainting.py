"""Holes in photographs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan.errors import ImageError, SettingsError
from telephonegan.latent.inpainting import Hole

PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)


def test_a_box_is_a_hole_of_its_size():
    mask = Hole.box(PHOTO, 16, (2, 4, 10, 9)).mask
    assert mask.sum() == 8 * 5 and mask[0, 0, 4:9, 2:10].all()


def test_filling_takes_the_inside_and_leaves_the_outside_to_the_bit():
    hole = Hole.box(PHOTO, 16, (2, 4, 10, 9))
    painted = torch.rand(2, 3, 16, 16)
    filled = hole.filled(painted)
    inside = hole.mask.expand_as(filled)
    assert torch.equal(filled[inside], painted[inside])
    assert torch.equal(filled[~inside], hole.image.expand_as(filled)[~inside])


def test_gradients_reach_the_inside_only():
    hole = Hole.box(PHOTO, 16, (2, 4, 10, 9), feather=2)
    painted = torch.rand(1, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(hole.filled(painted).sum(), painted)
    assert torch.equal(gradient != 0, hole.mask.expand_as(gradient))


def test_a_feather_grows_from_the_edge_inwards_and_leaves_the_outside():
    hole = Hole.box(PHOTO, 16, (2, 4, 10, 12), feather=2)
    row = hole.weight[0, 0, 8].tolist()
    assert row[:6] == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 1]) and row[8:11] == pytest.approx([2 / 3, 1 / 3, 0])
    filled = hole.filled(torch.full((1, 3, 16, 16), 5.0))
    assert torch.equal(filled[~hole.mask.expand_as(filled)], hole.image[~hole.mask.expand_as(hole.image)])


def test_a_random_hole_has_the_size_of_the_original_and_the_place_its_seed_draws():
    holes = [Hole.random(PHOTO, 128, seed) for seed in (0, 0, 1)]
    assert [int(hole.mask.sum()) for hole in holes] == [56 * 56] * 3
    assert torch.equal(holes[0].mask, holes[1].mask) and not torch.equal(holes[0].mask, holes[2].mask)


def test_a_mask_may_be_a_picture_of_the_photographs_size_or_an_array_of_the_painted_one(tmp_path):
    white = np.zeros((12, 16), np.uint8)
    white[:6] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(white).save(path)
    of_file = Hole.of(PHOTO, 16, path)
    own = torch.zeros(16, 16, dtype=torch.bool)
    own[:8] = True
    assert torch.equal(of_file.mask, Hole.of(PHOTO, 16, own).mask) and of_file.mask[0, 0, :8].all()


def test_a_mask_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(SettingsError, match=r"mask is 5 × 4 pixels and the photograph 16 × 12.*16 × 16"):
        Hole.of(PHOTO, 16, np.ones((4, 5)))


@pytest.mark.parametrize("mask", [np.zeros((12, 16)), np.ones((12, 16))])
def test_a_mask_that_marks_nothing_or_everything_is_refused(mask):
    with pytest.raises(SettingsError, match="white and the rest with black"):
        Hole.of(PHOTO, 16, mask)


def test_a_mask_with_colours_is_refused_as_an_array():
    with pytest.raises(SettingsError, match=r"array \(height, width\)"):
        Hole.of(PHOTO, 16, PHOTO)


@pytest.mark.parametrize("box", [(0, 0, 17, 4), (4, 4, 4, 8), (-1, 0, 4, 4), (1, 2, 3), "box"])
def test_a_box_outside_the_picture_is_refused(box):
    with pytest.raises(SettingsError, match="A box"):
        Hole.box(PHOTO, 16, box)


def test_what_is_not_a_photograph_is_refused(tmp_path):
    with pytest.raises(ImageError):
        Hole.random(tmp_path / "none.jpg", 16, 0)


def test_agreement_is_half_the_squared_distance_outside_the_hole():
    hole = Hole.box(PHOTO, 16, (0, 0, 16, 8))
    painted = torch.zeros(1, 3, 16, 16)
    expected = -0.5 * hole.image[..., 8:, :].square().sum()
    torch.testing.assert_close(hole.agreement(painted)[0], expected)
