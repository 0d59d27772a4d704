"""One look for all."""

from __future__ import annotations

import pytest
import torch

from telephonegan.inference import shared_backbone
from telephonegan.latent.codes import CodeModel
from telephonegan.latent.condition_networks import ConditionNetwork
from telephonegan.latent.conditions import image_class
from telephonegan.latent.decoders import CodeDecoder
from telephonegan.latent.sampler import Sampler
from telephonegan.latent.shared_sight import SharedSight


@pytest.fixture
def looks(monkeypatch):
    """Counts how often Lite0 looks at pictures."""
    backbone, counted = shared_backbone("lite0", torch.device("cpu")), []
    look = type(backbone).forward
    monkeypatch.setattr(type(backbone), "forward", lambda self, *how: counted.append(1) or look(self, *how))
    return counted


def pictures():
    return torch.rand(1, 3, 32, 32) * 2 - 1


def test_the_same_pictures_are_looked_at_once_and_others_again(looks):
    sight, images = SharedSight(shared_backbone("lite0", torch.device("cpu")), 32), pictures()
    with torch.no_grad():
        first = sight(images)
        assert torch.equal(sight(images.detach()), first) and len(looks) == 1
        images[:] = 0
        assert not torch.equal(sight(images), first) and len(looks) == 2
        sight(images.clone())
    assert len(looks) == 3


def test_gradients_are_never_taken_from_a_look_before(looks):
    sight, images = SharedSight(shared_backbone("lite0", torch.device("cpu")), 32), pictures().requires_grad_()
    with torch.no_grad():
        sight(images)
    for _ in range(2):
        (found,) = torch.autograd.grad(sight(images).sum(), images)
        assert found.abs().sum() > 0
    assert len(looks) == 3


def test_condition_and_prior_share_a_look_in_every_step(looks):
    decoder = CodeDecoder(CodeModel.random(16, channels=4))
    condition = image_class("junco", device="cpu")
    looks.clear()
    Sampler(decoder, condition, prior=decoder.prior("joint"), n_iters=2).run(progress=False)
    assert len(looks) == 3


def test_a_hidden_layer_is_read_although_the_picture_was_looked_at_before():
    net, images = ConditionNetwork.load("lite0", "cpu", size=32), pictures()
    with torch.no_grad():
        net.activations(images, "classifier")
        hidden = net.activations(images, "stages.1")
    assert hidden.shape == (1, 24, 8, 8)


def test_the_code_is_that_of_the_encoder():
    decoder = CodeDecoder(CodeModel.random(16, channels=4))
    images = pictures()
    wanted = decoder.model.axes.coordinates(decoder.model.encode(images))
    torch.testing.assert_close(decoder.encode(images), wanted)
