"""The generator of Progressive GAN, with its published weights.

Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation" (2018), table 2. Learning
rates are equalised in training by a constant on every weight; here the constants are in the weights already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan.errors import SettingsError, WeightsError

_EPSILON = 1e-8


def pixel_norm(x: Tensor) -> Tensor:
    """Every pixel's channels (B,C,…) at a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + _EPSILON).rsqrt()


class _Step(nn.Module):
    """A convolution, leaky ReLU and pixel norm; an `up` one first doubles the size."""

    def __init__(self, channels_in: int, channels_out: int, *, up: bool = False) -> None:
        super().__init__()
        # A transposed convolution of four by four with stride 2, the form in which the doubling was published.
        self.up = up
        shape = (channels_in, channels_out, 4, 4) if up else (channels_out, channels_in, 3, 3)
        self.weight = nn.Parameter(torch.randn(shape) / math.sqrt(9 * channels_in))
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = F.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1)
        else:
            x = F.conv2d(x, self.weight, self.bias, padding=1)
        return pixel_norm(F.leaky_relu(x, 0.2))


class ProgressiveGenerator(nn.Module):
    """Noise (B,Z) to pictures; `widths` are the channels at 4, 8, 16, … pixels. Only the direction of noise matters.

    Published widths: 512, 512, 512, 512, 256, 128, 64, 32, 16 (1024 px). With `sketch_size` it also has the layer that
    painted that smaller size in training. Raises SettingsError for no width, or a sketch that is not smaller.

    >>> ProgressiveGenerator(widths=[8, 8, 4], noise_width=8)(torch.randn(2, 8)).shape
    torch.Size([2, 3, 16, 16])
    """

    def __init__(self, *, widths: list[int], noise_width: int = 512, sketch_size: int = 0) -> None:
        super().__init__()
        if not widths:
            raise SettingsError("widths is empty: give the channels at 4, 8, 16, … pixels.")
        sizes = [4 << level for level in range(len(widths))]
        if sketch_size and sketch_size not in sizes[:-1]:
            raise SettingsError(f"sketch_size is a size below {sizes[-1]} px or 0; {sketch_size} was given.")
        self.noise_width, self.size, self.sketch_size = noise_width, sizes[-1], sketch_size
        self.dense = nn.Linear(noise_width, widths[0] * 16, bias=False)
        self.bias = nn.Parameter(torch.zeros(widths[0]))
        self.first = _Step(widths[0], widths[0])
        self.blocks = nn.ModuleList(nn.Sequential(_Step(a, b, up=True), _Step(b, b)) for a, b in pairwise(widths))
        self.to_rgb = nn.Conv2d(widths[-1], 3, 1)
        if sketch_size:
            self.sketch_to_rgb = nn.Conv2d(widths[sizes.index(sketch_size)], 3, 1)

    def forward(self, noise: Tensor) -> Tensor:
        """noise (B,Z) → pictures (B,3,S,S), mostly in [-1,1]."""
        return self.to_rgb(self._features(noise, self.size))

    def sketch(self, noise: Tensor) -> Tensor | None:
        """Pictures (B,3,s,s) of the smaller size; None without such a layer."""
        return self.sketch_to_rgb(self._features(noise, self.sketch_size)) if self.sketch_size else None

    def _features(self, noise: Tensor, size: int) -> Tensor:
        h = self.dense(pixel_norm(noise)).view(len(noise), -1, 4, 4) + self.bias[:, None, None]
        h = self.first(pixel_norm(F.leaky_relu(h, 0.2)))
        for block in self.blocks:
            if h.shape[2] < size:
                h = block(h)
        return h

    def first_linear(self) -> Tensor:
        """The first linear map (out,Z)."""
        return self.dense.weight


def generator_of_variables(
    variables: Mapping[str, np.ndarray], where: str, *, sketch_size: int = 128
) -> tuple[dict[str, Sequence[int] | int], dict[str, Tensor]]:
    """Settings and tensors of a `ProgressiveGenerator` from TensorFlow variables by name.

    `where` names their file. A generator of larger pictures gets sketches of `sketch_size`. Raises WeightsError for
    variables that are missing or do not fit.
    """
    read = _Variables(variables, where)
    dense = read.scaled("4x4/Dense/weight", 2, gain=math.sqrt(2) / 4)
    tensors = {"dense.weight": dense.T, "bias": read.array("4x4/Dense/bias", 1)}
    tensors |= read.step("first", "4x4/Conv")
    widths, size = [len(tensors["bias"])], 8
    while f"{size}x{size}/Conv1/weight" in variables:
        block = f"blocks.{len(widths) - 1}"
        fused = f"{size}x{size}/Conv0_up"
        tensors |= read.up(f"{block}.0", fused if f"{fused}/weight" in variables else f"{size}x{size}/Conv0")
        tensors |= read.step(f"{block}.1", f"{size}x{size}/Conv1")
        widths.append(len(tensors[f"{block}.1.bias"]))
        size *= 2
    tensors |= read.to_rgb("to_rgb", "ToRGB_lod0")
    network = {"widths": widths, "noise_width": dense.shape[0]}
    halvings = (size // 2 // sketch_size).bit_length() - 1  # `size` is the doubling that is no longer there
    if halvings > 0 and f"ToRGB_lod{halvings}/weight" in variables:
        tensors |= read.to_rgb("sketch_to_rgb", f"ToRGB_lod{halvings}")
        network["sketch_size"] = sketch_size
    found = {name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for name, array in tensors.items()}
    own = {name: tuple(each.shape) for name, each in ProgressiveGenerator(**network).state_dict().items()}
    if wrong := [name for name, each in found.items() if own.get(name) != tuple(each.shape)]:
        raise WeightsError(f"{where}: {wrong[0]} is {tuple(found[wrong[0]].shape)}; {own.get(wrong[0])} is needed.")
    return network, found


class _Variables:
    """Access to variables with the constant of equalised learning rates multiplied in."""

    def __init__(self, variables: Mapping[str, np.ndarray], where: str) -> None:
        self.variables, self.where = variables, where

    def array(self, name: str, dimensions: int) -> np.ndarray:
        found = self.variables.get(name)
        if found is None or found.ndim != dimensions or found.dtype.kind != "f":
            raise WeightsError(
                f"{self.where} is not the generator of a Progressive GAN: it has no {name} of {dimensions} dimensions."
            )
        return found.astype(np.float64)

    def scaled(self, name: str, dimensions: int, *, gain: float = math.sqrt(2), inputs: int = -2) -> np.ndarray:
        weight = self.array(name, dimensions)
        fan_in = weight.shape[inputs] * math.prod(weight.shape[:-2])
        return weight * gain / math.sqrt(fan_in)

    def step(self, name: str, scope: str) -> dict[str, np.ndarray]:
        weight = self.scaled(f"{scope}/weight", 4)
        return {f"{name}.weight": weight.transpose(3, 2, 0, 1), f"{name}.bias": self.array(f"{scope}/bias", 1)}

    def to_rgb(self, name: str, scope: str) -> dict[str, np.ndarray]:
        weight = self.scaled(f"{scope}/weight", 4, gain=1.0)
        return {f"{name}.weight": weight.transpose(3, 2, 0, 1), f"{name}.bias": self.array(f"{scope}/bias", 1)}

    def up(self, name: str, scope: str) -> dict[str, np.ndarray]:
        """A doubling as one transposed convolution: the kernel's four shifts, added up."""
        if scope.endswith("_up"):
            kernel = self.scaled(f"{scope}/weight", 4, inputs=-1).transpose(3, 2, 0, 1)
        else:  # nearest-neighbour doubling, then a convolution
            kernel = self.scaled(f"{scope}/weight", 4).transpose(2, 3, 0, 1)[:, :, ::-1, ::-1]
        padded = np.pad(kernel, ((0, 0), (0, 0), (1, 1), (1, 1)))
        summed = sum(padded[:, :, a : a + 4, b : b + 4] for a in (0, 1) for b in (0, 1))
        return {f"{name}.weight": summed, f"{name}.bias": self.array(f"{scope}/bias", 1)}
