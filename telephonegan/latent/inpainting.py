"""A hole in a photograph, which the sampler fills: what is outside it stays as it is, to the bit.

Nguyen et al., "Plug & Play Generative Networks" (2017), section 4.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from telephonegan.errors import SettingsError
from telephonegan.images import as_image, to_images, to_tensor
from telephonegan.inference import check_whole, random_generator

_SIDE = 100 / 227  # of the picture: the square that PPGN cuts out


class Hole:
    """A photograph, and where it is to be painted anew: `mask` (1,1,S,S) is True in the hole.

    With `feather`, generated pixels within so many pixels of the hole's edge are mixed with the photograph's own, more
    of them towards the edge, so that no seam shows; this needs a photograph that is whole. Outside nothing changes.

    >>> hole = Hole.box("volcano.jpg", 128, (32, 32, 96, 96), feather=4)  # doctest: +SKIP
    """

    def __init__(self, image: Tensor, mask: Tensor, *, feather: int = 0) -> None:
        self.image, self.mask = image, mask.bool()
        share = self.mask.float().mean().item()
        if not 0 < share < 1:
            raise SettingsError("A mask marks the hole with white and the rest with black; all of it is one of both.")
        feather = check_whole(feather, "feather", 0, image.shape[-1] // 2)
        self.weight = _feathered(self.mask, feather)

    @classmethod
    def of(cls, image: Any, size: int, mask: Any, *, feather: int = 0) -> Hole:
        """The hole that a mask marks: a picture that is white in it, or an array (H,W), not 0 in it.

        The photograph is squashed to `size` pixels. The mask must have the photograph's own size, or that one. Raises
        ImageError, SettingsError.
        """
        photo = as_image(image)
        marked = _marked(mask)
        width, height = photo.size
        if tuple(marked.shape) not in {(height, width), (size, size)}:
            raise SettingsError(
                f"The mask is {marked.shape[1]} × {marked.shape[0]} pixels and the photograph {width} × {height}. "
                f"Give a mask of the photograph's size, or of {size} × {size}, the size that is painted."
            )
        fitted = F.interpolate(marked[None, None].float(), size=(size, size), mode="area") >= 0.5
        return cls(to_tensor([photo], size), fitted, feather=feather)

    @classmethod
    def box(cls, image: Any, size: int, box: Sequence[int], *, feather: int = 0) -> Hole:
        """A rectangle (left, top, right, bottom) in pixels of the picture of `size` pixels. Raises SettingsError."""
        try:
            left, top, right, bottom = (int(edge) for edge in box)
        except (TypeError, ValueError):
            raise SettingsError(f"A box is four whole numbers: left, top, right, bottom; {box!r} was given.") from None
        if not (0 <= left < right <= size and 0 <= top < bottom <= size):
            raise SettingsError(f"A box lies inside the {size} × {size} pixels that are painted; {box!r} was given.")
        mask = torch.zeros(1, 1, size, size, dtype=torch.bool)
        mask[..., top:bottom, left:right] = True
        return cls(to_tensor([as_image(image)], size), mask, feather=feather)

    @classmethod
    def random(cls, image: Any, size: int, seed: int, *, feather: int = 0) -> Hole:
        """The square that PPGN cuts out, 44 % of the picture's width, anywhere."""
        side = round(_SIDE * size)
        left, top = torch.randint(0, size - side + 1, (2,), generator=random_generator(seed)).tolist()
        return cls.box(image, size, (left, top, left + side, top + side), feather=feather)

    def to(self, device: torch.device) -> Hole:
        """The same on a device."""
        moved = object.__new__(Hole)
        moved.image, moved.mask, moved.weight = (part.to(device) for part in (self.image, self.mask, self.weight))
        return moved

    def context(self) -> Tensor:
        """The photograph (1,3,S,S) with grey in place of the hole."""
        return self.image.masked_fill(self.mask, 0.0)

    def picture(self) -> Image.Image:
        """The photograph with grey in place of the hole, as a picture."""
        return to_images(self.context())[0]

    def filled(self, images: Tensor) -> Tensor:
        """Pictures (B,3,S,S) inside the hole, the photograph outside; gradients reach the inside only."""
        mixed = images if (self.weight == self.mask).all() else torch.lerp(self.image, images, self.weight)
        return torch.where(self.mask, mixed, self.image)

    def agreement(self, images: Tensor) -> Tensor:
        """-½ of the squared distance (B,) between pictures (B,3,S,S) and the photograph outside the hole."""
        return -0.5 * ((images - self.image) * ~self.mask).square().sum((1, 2, 3))


def _marked(mask: Any) -> Tensor:
    if isinstance(mask, np.ndarray | Tensor):
        values = torch.as_tensor(np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask))
        if values.dim() != 2:
            raise SettingsError(f"A mask is an array (height, width); its shape is {tuple(values.shape)}.")
        return values != 0
    return torch.from_numpy(np.array(as_image(mask).convert("L"))) >= 128


def _feathered(mask: Tensor, feather: int) -> Tensor:
    """How much of a generated pixel is taken: 0 outside, growing from the edge inwards to 1 at `feather` pixels."""
    weight, inner = mask.float(), mask.float()
    for _ in range(feather):
        inner = 1 - F.max_pool2d(1 - inner, 3, stride=1, padding=1)  # the border of the picture is no edge
        weight = weight + inner
    return weight / (feather + 1)
