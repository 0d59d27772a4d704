"""What a picture should be: conditions for the sampler, and their weighted sums.

A condition looks at pictures (B,3,H,W) in [-1,1] and returns for each a number whose gradient is followed, and a
probability, which is reported and compared with the sampler's threshold.
Nguyen et al., "Plug & Play Generative Networks" (2017), sections 3 and 4.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.errors import SettingsError
from telephonegan.inference import is_number
from telephonegan.latent.condition_networks import ConditionNetwork
from telephonegan.networks.imagenet import class_number

OBJECTIVES = ("logsoftmax", "paper", "logit")


@dataclass(frozen=True)
class Judgement:
    """What a condition says of B pictures.

    - `objective` (B,): its gradient points to where the condition holds better.
    - `probability` (B,) from 0 to 1 that it holds.
    - `best`: for each picture what the network takes it for, and how surely; None where there is nothing to compare.
    """

    objective: Tensor
    probability: Tensor
    best: list[tuple[str, float]] | None = None


class Condition(ABC):
    """Something a picture should be; `label` names it. Conditions can be added, and multiplied by a weight.

    >>> (0.5 * image_class("junco") + image_class("volcano")).label
    '0.5 junco + volcano'
    """

    label: str

    @abstractmethod
    def __call__(self, images: Tensor) -> Judgement:
        """Judge pictures (B,3,H,W) in [-1,1]."""

    def __add__(self, other: Condition) -> Condition:
        return WeightedSum([*_terms(self), *_terms(other)])

    def __mul__(self, weight: float) -> Condition:
        return WeightedSum([(weight * own, each) for own, each in _terms(self)])

    __rmul__ = __mul__


class WeightedSum(Condition):
    """Several conditions at once. Its probability is that of the one that holds least; weights below 0 forbid.

    >>> WeightedSum([(1, image_class("junco")), (-0.2, image_class("cage"))]).label
    'junco - 0.2 cage'
    """

    def __init__(self, terms: Sequence[tuple[float, Condition]]) -> None:
        self.terms = [(_finite(weight), condition) for weight, condition in terms]
        if not self.terms:
            raise SettingsError("A sum needs at least one condition.")
        self.label = _sum_label(self.terms)

    def __call__(self, images: Tensor) -> Judgement:
        judged = [(weight, condition(images)) for weight, condition in self.terms]
        holds = torch.stack([each.probability if weight > 0 else 1 - each.probability for weight, each in judged])
        return Judgement(sum(weight * each.objective for weight, each in judged), holds.amin(0), judged[0][1].best)


def _terms(condition: Condition) -> list[tuple[float, Condition]]:
    return condition.terms if isinstance(condition, WeightedSum) else [(1.0, condition)]


def _finite(weight: Any) -> float:
    if not is_number(weight) or not np.isfinite(weight) or weight == 0:
        raise SettingsError(f"A weight is a number other than 0; {weight!r} was given.")
    return float(weight)


def _sum_label(terms: Sequence[tuple[float, Condition]]) -> str:
    label = ""
    for weight, condition in terms:
        size = "" if abs(weight) == 1 else f"{abs(weight):g} "
        sign = (" - " if weight < 0 else " + ") if label else ("-" if weight < 0 else "")
        label += f"{sign}{size}{condition.label}"
    return label


# ---------------------------------------------------------------------------------------------------- units


class Unit(Condition):
    """A unit of any layer of any network: a class, or a channel of a convolution at one position.

    `y` and `x` count the cells of a convolution's output; None is the middle. The probability is the softmax over the
    layer's units, at that position. `objective`, what is increased:

    - "logsoftmax": the logarithm of that probability, which pushes rivals down;
    - "paper": as PPGN's code, the unit alone, with the weight 1 - probability;
    - "logit": the unit itself.

    Raises SettingsError for an unknown layer, a unit or position out of range, another objective.
    """

    def __init__(
        self,
        network: ConditionNetwork,
        layer: str,
        unit: int,
        *,
        y: int | None = None,
        x: int | None = None,
        objective: str = "logsoftmax",
        label: str = "",
    ) -> None:
        if objective not in OBJECTIVES:
            raise SettingsError(f"objective is one of {', '.join(OBJECTIVES)}; {objective!r} was given.")
        self.network, self.layer, self.objective = network, network.layer(layer), objective
        blank = torch.zeros(1, 3, network.size, network.size, device=network.device)
        with torch.no_grad():
            shape = network.activations(blank, self.layer).shape
        if len(shape) not in (2, 4):
            raise SettingsError(f"{network.name}'s layer {layer!r} computes {len(shape)} axes; 2 or 4 are needed.")
        self.unit = _in_range(unit, shape[1], f"{network.name}'s layer {layer!r} has {shape[1]} units")
        self.y, self.x = (None, None) if len(shape) == 2 else _position(y, x, shape[2], shape[3], layer)
        self.names = network.classes if self.layer == network.class_layer else ()
        self.label = label or (self.names[self.unit] if self.names else self._own_label())

    def _own_label(self) -> str:
        place = "" if self.y is None else f" at ({self.y},{self.x})"
        return f"{self.network.name} {self.layer} unit {self.unit}{place}"

    def __call__(self, images: Tensor) -> Judgement:
        found = self.network.activations(images, self.layer).float()
        units = found if self.y is None else found[:, :, self.y, self.x]
        logs = units.log_softmax(1)
        probabilities = logs.detach().exp()
        own = probabilities[:, self.unit]
        objective = {
            "logsoftmax": lambda: logs[:, self.unit],
            "paper": lambda: (1 - own) * units[:, self.unit],
            "logit": lambda: units[:, self.unit],
        }[self.objective]()
        most, which = probabilities.max(1)
        best = [(self._name(number), chance) for number, chance in zip(which.tolist(), most.tolist(), strict=True)]
        return Judgement(objective, own, best)

    def _name(self, number: int) -> str:
        return self.names[number] if self.names else f"unit {number}"

    def receptive_field(self) -> tuple[float, float, float, float]:
        """The box (left, top, right, bottom) of the picture that the unit can see, as shares of width and height."""
        size = self.network.size
        if self.y is None:
            return 0.0, 0.0, 1.0, 1.0
        return tuple(edge / size for edge in self.network.receptive_field(self.layer, self.y, self.x))


def image_class(
    wanted: str | int,
    network: ConditionNetwork | str = "lite0",
    *,
    objective: str = "logsoftmax",
    device: str | torch.device = "auto",
) -> Unit:
    """One of ImageNet's classes, by name or number, in the eyes of a network: "lite0", "lite1", "lite2" or your own.

    Raises SettingsError for an unknown class, with the nearest names, and WeightsError for a package not installed.

    >>> image_class("golden retriever").unit
    207
    """
    network = ConditionNetwork.load(network, device) if isinstance(network, str) else network
    if not network.class_layer:
        raise SettingsError(f"{network.name} has no classes. Use Unit(network, layer, number).")
    is_imagenet = network.classes == ConditionNetwork.load("lite0", network.device).classes
    number = class_number(wanted) if is_imagenet else _own_class(network, wanted)
    return Unit(network, network.class_layer, number, objective=objective)


def _own_class(network: ConditionNetwork, wanted: str | int) -> int:
    if wanted in network.classes:
        return network.classes.index(wanted)
    if str(wanted).isdecimal():
        return int(wanted)
    raise SettingsError(f"{network.name} has no class {wanted!r}. It has {', '.join(network.classes[:40]) or 'none'}.")


def _in_range(value: int, count: int, told: str) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 0 <= value < count:
        raise SettingsError(f"{told}, counted from 0; {value!r} was given.")
    return int(value)


def _position(y: int | None, x: int | None, height: int, width: int, layer: str) -> tuple[int, int]:
    told = f"The layer {layer!r} has {height} × {width} positions"
    return (
        height // 2 if y is None else _in_range(y, height, told),
        width // 2 if x is None else _in_range(x, width, told),
    )


# ---------------------------------------------------------------------------------------------------- anything


class Score(Condition):
    """Any function of pictures that gradients go through: (B,3,H,W) in [-1,1] → (B,), larger or nearer is better.

    With a `target` the value should come near to it: the objective is the negative squared distance, and the
    probability its exponential. Without, it should grow, and the probability is the value itself, limited to [0,1].

    >>> bright = Score(lambda images: images.mean((1, 2, 3)), target=0.8, label="bright")
    >>> bright(torch.full((1, 3, 4, 4), 0.8)).probability
    tensor([1.])
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], target: float | None = None, *, label: str = "score"
    ) -> None:
        if target is not None and not is_number(target):
            raise SettingsError(f"target is a number, or None to let the score grow; {target!r} was given.")
        self.function, self.target, self.label = function, target, label

    def __call__(self, images: Tensor) -> Judgement:
        values = self.function(images)
        if not isinstance(values, Tensor) or values.shape != (len(images),):
            told = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"type {type(values).__name__}"
            raise SettingsError(f"The function {self.label!r} gave {told} for {len(images)} pictures; a tensor of one "
                                "number for each is needed.")  # fmt: skip
        values = values.float()
        if self.target is None:
            return Judgement(values, values.detach().clamp(0, 1))
        objective = -(values - self.target).square()
        return Judgement(objective, objective.detach().exp())


class Region(Condition):
    """A condition on a part of the picture only.

    `box` (left, top, right, bottom), as shares of width and height, is cut out and judged by itself. Of a `mask` (H,W),
    numbers from 0 to 1 of any size, the condition sees what is under 1, on grey. Raises SettingsError.

    >>> Region(image_class("junco"), box=(0, 0, 0.5, 1)).label
    'junco (0 0 0.5 1)'
    """

    def __init__(self, condition: Condition, *, box: Sequence[float] | None = None, mask: Any = None) -> None:
        if (box is None) == (mask is None):
            raise SettingsError("A region is either a box or a mask: give one of them.")
        self.condition = condition
        self.box = None if box is None else _checked_box(box)
        self.mask = None if mask is None else _checked_mask(mask)
        where = " ".join(f"{edge:g}" for edge in self.box) if self.box else "mask"
        self.label = f"{condition.label} ({where})"

    def __call__(self, images: Tensor) -> Judgement:
        height, width = images.shape[-2:]
        if self.box is None:
            mask = F.interpolate(self.mask.to(images.device)[None, None], size=(height, width), mode="bilinear")
            return self.condition(images * mask)
        left, top, right, bottom = self.box
        rows = slice(int(top * height), max(int(top * height) + 1, round(bottom * height)))
        columns = slice(int(left * width), max(int(left * width) + 1, round(right * width)))
        return self.condition(images[:, :, rows, columns])


def _checked_box(box: Sequence[float]) -> tuple[float, float, float, float]:
    if len(box) != 4 or not all(is_number(edge) for edge in box):
        raise SettingsError(f"A box is left, top, right and bottom, as shares from 0 to 1; {box!r} was given.")
    left, top, right, bottom = (float(edge) for edge in box)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise SettingsError(
            f"A box lies inside the picture: 0 ≤ left < right ≤ 1, the same for top; {box!r} was given."
        )
    return left, top, right, bottom


def _checked_mask(mask: Any) -> Tensor:
    values = torch.as_tensor(np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)).float()
    fits = values.dim() == 2 and values.numel() and torch.isfinite(values).all()
    if not fits or values.min() < 0 or values.max() > 1:
        raise SettingsError(
            f"A mask is (height, width) with numbers from 0 to 1; shape {tuple(values.shape)} was given"
            + (f" with values from {values.min():g} to {values.max():g}." if values.numel() else ".")
        )
    return values
