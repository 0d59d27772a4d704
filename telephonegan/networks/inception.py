"""Inception-v3 as DAMSM's image encoder, with the layer names of the published checkpoints.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016); Xu et al., "AttnGAN" (2018), 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INPUT_SIZE = 299
REGION_CHANNELS, CODE_CHANNELS = 768, 2048

_TO_REGIONS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
)
_TO_CODE = ("Mixed_7a", "Mixed_7b", "Mixed_7c", "avgpool")


class InceptionEncoder(nn.Module):
    """CNN_ENCODER: 17×17 regions from Mixed_6e and one image code, both in the joint space with text.

    The weights are random; nothing is downloaded. `align_corners` is used in enlarging pictures to 299 px; the
    published weights were trained with True, once the only option.

    >>> regions, code = InceptionEncoder().eval()(torch.zeros(1, 3, 256, 256))
    >>> regions.shape, code.shape
    (torch.Size([1, 256, 17, 17]), torch.Size([1, 256]))
    """

    def __init__(self, width: int = 256, *, align_corners: bool = True) -> None:
        from torchvision.models.inception import inception_v3

        super().__init__()
        self.align_corners = align_corners
        net = inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
        for name in (*_TO_REGIONS, *_TO_CODE):
            self.add_module(name, getattr(net, name))
        self.emb_features = nn.Conv2d(REGION_CHANNELS, width, 1, bias=False)
        self.emb_cnn_code = nn.Linear(CODE_CHANNELS, width)
        nn.init.uniform_(self.emb_features.weight, -0.1, 0.1)
        nn.init.uniform_(self.emb_cnn_code.weight, -0.1, 0.1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (B,3,H,W) in [-1,1], without ImageNet normalisation → (B,D,17,17), (B,D)."""
        h = F.interpolate(images, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=self.align_corners)
        for name in _TO_REGIONS:
            h = getattr(self, name)(h)
        regions = self.emb_features(h)
        for name in _TO_CODE:
            h = getattr(self, name)(h)
        return regions, self.emb_cnn_code(torch.flatten(h, 1))
