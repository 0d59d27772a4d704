"""DAMSM's image encoder: the published layers, what it returns, and nothing fetched from anywhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from telephonegan.networks.inception import INPUT_SIZE, InceptionEncoder


@pytest.fixture(scope="module")
def net() -> InceptionEncoder:
    torch.manual_seed(0)
    encoder = InceptionEncoder(16).eval()
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):  # or all pictures would look alike after so many layers
            nn.init.kaiming_normal_(module.weight)
    return encoder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def fetch(*_, **__):
        raise AssertionError("weights were fetched")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", fetch)
    monkeypatch.setattr("socket.socket.connect", fetch)


def test_the_tensors_and_their_number_are_the_published_ones(published_keys, keys_of):
    with torch.device("meta"):
        net = InceptionEncoder()
    # Order says nothing here: torchvision's own has changed since.
    assert keys_of(net) == published_keys("CNN_ENCODER")
    assert len(keys_of(net)) == 473
    assert sum(p.numel() for p in net.parameters()) == 22_506_720
    assert sum(p.numel() for layer in (net.emb_features, net.emb_cnn_code) for p in layer.parameters()) == 721_152


@torch.no_grad()
def test_pictures_of_any_size_give_17_by_17_regions_and_a_code(net):
    for size in (64, 256, 299):
        regions, code = net(torch.rand(2, 3, size, size) * 2 - 1)
        assert regions.shape == (2, 16, 17, 17) and code.shape == (2, 16)


@torch.no_grad()
def test_the_sizes_along_the_way_are_the_published_ones(net):
    sizes = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: sizes.__setitem__(name, tuple(out.shape[1:3])))
        for name, module in net.named_children()
        if not name.startswith("emb")
    ]
    net(torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE))
    for hook in hooks:
        hook.remove()
    assert sizes == {
        **{"Conv2d_1a_3x3": (32, 149), "Conv2d_2a_3x3": (32, 147), "Conv2d_2b_3x3": (64, 147), "maxpool1": (64, 73)},
        **{"Conv2d_3b_1x1": (80, 73), "Conv2d_4a_3x3": (192, 71), "maxpool2": (192, 35)},
        **{"Mixed_5b": (256, 35), "Mixed_5c": (288, 35), "Mixed_5d": (288, 35)},
        **{f"Mixed_6{letter}": (768, 17) for letter in "abcde"},
        **{"Mixed_7a": (1280, 8), "Mixed_7b": (2048, 8), "Mixed_7c": (2048, 8), "avgpool": (2048, 1)},
    }


@torch.no_grad()
def test_a_picture_is_encoded_the_same_alone_and_in_company(net):
    images = torch.rand(3, 3, 256, 256) * 2 - 1
    together, alone = net(images), net(images[1:2])
    for whole, one in zip(together, alone, strict=True):
        torch.testing.assert_close(whole[1:2], one, rtol=1e-3, atol=1e-4)
        assert (whole[0] - whole[2]).abs().max() > 0.01


@torch.no_grad()
def test_the_way_of_enlarging_matters_to_smaller_pictures_alone(net):
    for size, alike in ((256, False), (INPUT_SIZE, True)):
        image = torch.rand(1, 3, size, size) * 2 - 1
        codes = []
        for net.align_corners in (False, True):
            codes.append(net(image)[1])
        assert torch.equal(*codes) is alike


def test_gradients_reach_the_picture(net):
    image = (torch.rand(1, 3, 64, 64) * 2 - 1).requires_grad_()
    regions, code = net(image)
    (regions.sum() + code.sum()).backward()
    assert image.grad.abs().sum() > 0


def test_the_new_layers_start_between_minus_and_plus_a_tenth():
    net = InceptionEncoder(16)
    for layer in (net.emb_features, net.emb_cnn_code):
        assert 0.09 < layer.weight.abs().max() <= 0.1
    assert net.emb_features.bias is None


def test_normalisation_and_dropout_are_those_of_the_published_network(net):
    assert {module.eps for module in net.modules() if isinstance(module, nn.BatchNorm2d)} == {0.001}
    assert not any(isinstance(module, nn.Dropout) for module in net.modules())
    assert not any("Aux" in name for name, _ in net.named_modules())
