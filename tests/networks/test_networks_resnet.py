"""The published captioner's encoder: its layers, what it returns, and nothing fetched from anywhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from telephonegan.networks.resnet import CHANNELS, INPUT_SIZE, ResNetEncoder, residual_layers


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def fetch(*_, **__):
        raise AssertionError("weights were fetched")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", fetch)
    monkeypatch.setattr("socket.socket.connect", fetch)


@pytest.fixture(scope="module")
def skeleton() -> ResNetEncoder:
    """The whole network without its numbers."""
    with torch.device("meta"):
        return ResNetEncoder().eval()


def test_the_tensors_are_the_published_ones(skeleton, published_keys, keys_of):
    assert keys_of(skeleton) == published_keys("yunjey.EncoderCNN")
    assert (len(keys_of(skeleton)), len(skeleton.state_dict())) == (781, 937)


def test_the_number_of_parameters_is_the_published_one(skeleton):
    head = sum(p.numel() for layer in (skeleton.linear, skeleton.bn) for p in layer.parameters())
    assert head == 525_056
    assert sum(p.numel() for p in skeleton.resnet.parameters()) == 58_143_808
    assert sum(p.numel() for p in skeleton.parameters()) == 58_668_864


def test_the_stages_and_the_stride_are_those_of_a_resnet_152(skeleton):
    assert [len(skeleton.resnet[stage]) for stage in (4, 5, 6, 7)] == [3, 8, 36, 3]
    for stage in (5, 6, 7):
        first = skeleton.resnet[stage][0]
        assert (first.conv1.stride, first.conv2.stride, first.conv3.stride) == ((1, 1), (2, 2), (1, 1))
    assert isinstance(skeleton.resnet[-1], nn.AdaptiveAvgPool2d)
    assert skeleton.bn.momentum == 0.01


@torch.no_grad()
@pytest.mark.parametrize("width", [64, 16])
def test_layers_are_torchvisions_name_by_name_and_bit_by_bit(width):
    from torchvision.models.resnet import Bottleneck, ResNet

    theirs = nn.Sequential(*list(ResNet(Bottleneck, [1, 2, 1, 2], width_per_group=width).children())[:-2]).eval()
    ours = nn.Sequential(*residual_layers([1, 2, 1, 2], width)).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 96, 96)
    assert torch.equal(ours(images), theirs(images))


def test_pictures_give_one_vector_each(skeleton):
    images = torch.zeros(3, 3, INPUT_SIZE, INPUT_SIZE, device="meta")
    assert skeleton.resnet(images).shape == (3, CHANNELS, 1, 1)
    assert skeleton(images).shape == (3, 256)


@torch.no_grad()
def test_the_head_is_a_linear_layer_and_a_batch_norm_of_running_statistics(monkeypatch):
    with torch.device("meta"):
        net = ResNetEncoder(5)
    monkeypatch.setattr(net, "resnet", nn.AdaptiveAvgPool2d(1))
    net.linear, net.bn = nn.Linear(CHANNELS, 5), nn.BatchNorm1d(5)
    net.bn.running_mean.uniform_()
    net.bn.running_var.uniform_(0.5, 2)
    net.eval()
    images = torch.randn(2, CHANNELS, 4, 4)
    linear = images.mean((2, 3)) @ net.linear.weight.T + net.linear.bias
    expected = (linear - net.bn.running_mean) / (net.bn.running_var + 1e-5).sqrt()
    torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net(images[:1]), expected[:1], rtol=1e-4, atol=1e-5)
