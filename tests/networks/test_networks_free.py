"""Generators without text."""

from __future__ import annotations

import copy
import importlib.util

import pytest
import torch

import telephonegan as tg
from telephonegan.errors import SettingsError
from telephonegan.networks.attngan import initialise
from telephonegan.networks.free import DcganGenerator, FreeGenerator


def test_pictures_have_their_size_and_range():
    net = FreeGenerator(channels=4, size=32, noise_width=7)
    initialise(net)
    images = net.eval()(torch.randn(3, 7))
    assert images.shape == (3, 3, 32, 32) and images.abs().max() <= 1


def test_a_folded_generator_paints_the_same_pictures():
    torch.manual_seed(0)
    net = FreeGenerator(channels=4, size=32, noise_width=7).double().eval()
    for norm in (module for module in net.modules() if hasattr(module, "running_mean")):
        norm.running_mean.normal_(0, 0.1)
    noise = torch.randn(3, 7).double()
    torch.testing.assert_close(copy.deepcopy(net).folded()(noise), net(noise))


def test_a_size_that_doubling_never_reaches_is_refused():
    with pytest.raises(SettingsError, match="size must be 4, 8, 16"):
        FreeGenerator(size=48)


def test_the_first_linear_map_of_a_dcgan_is_its_first_layer():
    net = DcganGenerator(channels=2, noise_width=5).eval()
    net.main[1].running_var.fill_(4.0)
    z = torch.randn(3, 5)
    found = net.main[1](net.main[0](z[:, :, None, None])).flatten(1)
    torch.testing.assert_close(z @ net.first_linear().T, found, atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("gan_face_generate") is None, reason="gan-face-generate is not installed")
def test_the_generator_of_another_package_loads_by_name():
    picture = tg.sample("gan-face-generate", seed=3)
    assert picture.image.size == (64, 64) and picture.latents["noise"].shape == (100,)
