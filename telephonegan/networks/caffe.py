"""The networks that PPGN was published with: the encoder CaffeNet, and the generator of its codes.

Jia et al., "Caffe: Convolutional Architecture for Fast Feature Embedding" (2014); Dosovitskiy and Brox, "Generating
Images with Perceptual Similarity Metrics based on Deep Networks" (2016). Pixels inside are BGR, from -120 to 120.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

INPUT_SIZE, PAINTED_SIZE = 227, 256
LARGEST_CODE = 30.0  # to which PPGN limits the numbers of a code
_SCALE = 120.0
_SLOPE = 0.3


class CaffeNet(nn.Module):
    """BVLC's reference network, (B,3,227,227) BGR → the 1,000 classes' scores; layers have Caffe's names."""

    def __init__(self, classes: int = 1000, *, width: int = 4096) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.fc6 = nn.Linear(256 * 6 * 6, width)
        self.fc7 = nn.Linear(width, width)
        self.fc8 = nn.Linear(width, classes)
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)

    def code(self, pixels: Tensor) -> Tensor:
        """The layer fc6 after its ReLU, (B,4096)."""
        x = self.norm(_pooled(F.relu(self.conv1(pixels))))
        x = self.norm(_pooled(F.relu(self.conv2(x))))
        x = F.relu(self.conv4(F.relu(self.conv3(x))))
        x = _pooled(F.relu(self.conv5(x)))
        return F.relu(self.fc6(x.flatten(1)))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.fc8(F.relu(self.fc7(self.code(pixels))))


def _pooled(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=2, ceil_mode=True)


class CaffeCodeGenerator(nn.Module):
    """Codes (B,4096) of CaffeNet's fc6 → pictures (B,3,256,256) RGB, mostly in [-1,1]; layers have the published names.

    >>> CaffeCodeGenerator(width=16)(torch.zeros(1, 16)).shape
    torch.Size([1, 3, 256, 256])
    """

    size = PAINTED_SIZE
    names = (
        *("defc7", "defc6", "defc5", "deconv5", "conv5_1", "deconv4", "conv4_1", "deconv3", "conv3_1"),
        *("deconv2", "deconv1", "deconv0"),
    )

    def __init__(self, width: int = 4096) -> None:
        super().__init__()
        self.code_width = width
        self.defc7, self.defc6 = nn.Linear(width, width), nn.Linear(width, width)
        self.defc5 = nn.Linear(width, 256 * 4 * 4)
        self.deconv5, self.conv5_1 = _doubling(256, 256), _keeping(256, 512)
        self.deconv4, self.conv4_1 = _doubling(512, 256), _keeping(256, 256)
        self.deconv3, self.conv3_1 = _doubling(256, 128), _keeping(128, 128)
        self.deconv2, self.deconv1, self.deconv0 = _doubling(128, 64), _doubling(64, 32), _doubling(32, 3)

    def forward(self, codes: Tensor) -> Tensor:
        x = codes
        for name in self.names[:-1]:
            x = F.leaky_relu(getattr(self, name)(x), _SLOPE)
            if name == "defc5":
                x = x.unflatten(1, (256, 4, 4))
        return self.deconv0(x).flip(1) / _SCALE


def _doubling(channels_in: int, channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels_in, channels, 4, stride=2, padding=1)


def _keeping(channels_in: int, channels: int) -> nn.ConvTranspose2d:
    """Caffe's Deconvolution with stride 1, as which even the plain convolutions were published."""
    return nn.ConvTranspose2d(channels_in, channels, 3, padding=1)


def caffe_pixels(images: Tensor) -> Tensor:
    """Pictures (B,3,H,W) RGB in [-1,1] as CaffeNet's input: the middle of 256 pixels, BGR, from -120 to 120."""
    if images.shape[-2:] != (PAINTED_SIZE,) * 2:
        images = F.interpolate(images, (PAINTED_SIZE,) * 2, mode="bilinear", align_corners=False, antialias=True)
    edge = (PAINTED_SIZE - INPUT_SIZE) // 2
    return _SCALE * images[..., edge : edge + INPUT_SIZE, edge : edge + INPUT_SIZE].flip(1)
