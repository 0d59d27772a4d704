import pytest
import torch

from telephonegan.training.augment import augment, brightness, contrast, saturation, shift


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pictures(batch=64, size=8):
    return torch.rand(batch, 3, size, size) * 2 - 1


def test_brightness_adds_one_number_per_picture():
    images = pictures()
    change = brightness(images) - images
    assert change.flatten(1).std(1).max() < 1e-6
    amounts = change[:, 0, 0, 0]
    assert amounts.abs().max() <= 0.5
    assert amounts.mean().abs() < 0.1
    assert amounts.std() > 0.05


def test_saturation_keeps_the_grey_value_of_every_pixel_and_scales_the_colour():
    images = pictures()
    changed = saturation(images)
    torch.testing.assert_close(changed.mean(1), images.mean(1))
    factors = (changed - changed.mean(1, keepdim=True)) / (images - images.mean(1, keepdim=True))
    per_picture = factors.flatten(1).median(1).values
    torch.testing.assert_close(factors, per_picture[:, None, None, None].expand_as(factors), rtol=1e-2, atol=1e-2)
    assert per_picture.min() >= 0
    assert per_picture.mean().item() == pytest.approx(1, abs=0.15)
    assert per_picture.std() > 0.05


def test_contrast_keeps_the_mean_of_every_picture_and_scales_its_spread():
    images = pictures()
    changed = contrast(images)
    torch.testing.assert_close(changed.mean((1, 2, 3)), images.mean((1, 2, 3)), rtol=1e-4, atol=1e-5)
    factors = changed.flatten(1).std(1) / images.flatten(1).std(1)
    assert factors.min() >= 0.25
    assert factors.mean().item() == pytest.approx(1, abs=0.15)
    assert factors.std() > 0.05


def test_a_shift_moves_the_whole_batch_and_mirrors_the_border():
    images = pictures(4, 16)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="reflect")
    seen = set()
    for _ in range(60):
        moved = shift(images)
        places = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(moved, padded[:, :, top : top + 16, left : left + 16])
        ]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) > 12


def test_augmenting_lets_the_gradient_through_to_every_picture():
    images = pictures(4, 16).requires_grad_()
    augment(images).pow(2).sum().backward()
    assert (images.grad.abs().amax((1, 2, 3)) > 0).all()


def test_augmenting_keeps_shape_and_stays_near_the_range():
    changed = augment(pictures(64, 16))
    assert changed.shape == (64, 3, 16, 16)
    assert changed.abs().max() < 4


def test_a_picture_that_is_not_square_keeps_its_sides():
    images = torch.rand(2, 3, 16, 32)
    padded = torch.nn.functional.pad(images, (4, 4, 2, 2), mode="reflect")
    windows = [padded[:, :, top : top + 16, left : left + 32] for top in range(5) for left in range(9)]
    for _ in range(20):
        moved = shift(images)
        assert any(torch.equal(moved, window) for window in windows)
