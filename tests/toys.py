"""Toys for the sampler: a linear generator, a linear network, and conditions that can be computed by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from telephonegan.latent.condition_networks import ConditionNetwork
from telephonegan.latent.conditions import Unit
from telephonegan.latent.decoders import Units


class ToyDecoder:
    """Codes (B,W) → pictures (B,3,S,S) by one matrix, through tanh unless it is linear."""

    name, low, high, units, device = "toy", -3.0, 3.0, Units(), torch.device("cpu")

    def __init__(self, width: int = 6, size: int = 8, *, seed: int = 0, linear: bool = False) -> None:
        self.width, self.size, self.linear = width, size, linear
        self.matrix = torch.randn(width, 3 * size * size, generator=torch.Generator().manual_seed(seed)) / width
        self.calls = 0

    def __call__(self, codes: Tensor) -> Tensor:
        self.calls += 1
        painted = (codes @ self.matrix).unflatten(1, (3, self.size, self.size))
        return painted if self.linear else painted.tanh()

    def encode(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.matrix.T / 8

    def random(self, generator: torch.Generator) -> Tensor:
        return torch.randn(self.width, generator=generator)


def toy_network(classes: int = 5, size: int = 8, seed: int = 3) -> ConditionNetwork:
    """A convolution, "maps", and a linear layer, "scores", over its cells."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential()
        module.add_module("maps", nn.Conv2d(3, 4, 3, padding=1))
        module.add_module("flat", nn.Flatten())
        module.add_module("scores", nn.Linear(4 * size * size, classes))
        nn.init.normal_(module.scores.weight, std=0.5)
    names = [f"class {number}" for number in range(classes)]
    return ConditionNetwork(
        module, size=size, mean=0.5, deviation=0.5, name="toy net", class_layer="scores", classes=names
    )


def toy_class(unit: int = 2, **how) -> Unit:
    return Unit(toy_network(), "scores", unit, **how)
