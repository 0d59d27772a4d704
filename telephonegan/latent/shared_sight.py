"""One look for all: the feature map of a backbone, computed once for everybody who looks at the same pictures.

When the sampler climbs a class of EfficientNet-Lite0, the prior needs the code of the same picture from the same
network, so that its second look, about a fifth of a step, can be saved.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan import inference
from telephonegan.networks.backbone import Backbone


class SharedSight:
    """A backbone's last feature map (B,C,h,w) of pictures (B,3,H,W) in [-1,1], enlarged or reduced to `size`.

    Calls without gradients take the map of the call before if it was for the same pictures: the same memory, not
    written to since. Calls with gradients always compute, because a graph can be gone through only once.
    """

    def __init__(self, backbone: Backbone, size: int) -> None:
        self.backbone, self.size = backbone, size
        self._last: tuple[tuple, Tensor, Tensor] | None = None  # with the pictures, whose memory stays theirs

    def __call__(self, images: Tensor) -> Tensor:
        key = (images.data_ptr(), images._version, images.shape, images.stride())
        last = self._last
        if last is not None and last[0] == key and not torch.is_grad_enabled():
            return last[2]
        size = (self.size, self.size)
        seen = images
        if images.shape[-2:] != size:
            seen = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        found = self.backbone(seen.contiguous(memory_format=torch.channels_last), (32,))[32]
        self._last = (key, images.detach(), found.detach())
        return found


@inference.once()
def shared_sight(name: str, device: torch.device, size: int) -> SharedSight:
    """The sight of the shared backbone of that name, for pictures of `size` pixels."""
    return SharedSight(inference.shared_backbone(name, device), size)
