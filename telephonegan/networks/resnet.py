"""Residual networks of bottlenecks, and ResNet-152 as the published captioner's encoder, with its layer names.

He et al., "Deep Residual Learning for Image Recognition" (2016); Vinyals et al., "Show and Tell" (2015). The networks
are those of torchvision.models, which takes a second to import.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from telephonegan.networks.captioner import EncoderHead

CHANNELS = 2048
INPUT_SIZE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAYERS_152 = (3, 8, 36, 3)
_WIDTH, _EXPANSION = 64, 4


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut; the second has `width` channels in and out, and the stride."""

    def __init__(self, channels: int, width: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, channels_out, 1, bias=False), nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or channels != channels_out:
            shortcut = nn.Conv2d(channels, channels_out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


def residual_layers(layers: Sequence[int], width: int = _WIDTH) -> list[nn.Module]:
    """A ResNet up to its pooling: (B,3,H,W) → (B,2048,H/32,W/32). The weights are random.

    `layers` are the numbers of bottlenecks in the four stages, `width` the channels inside those of the first.
    """
    stem = [nn.Conv2d(3, _WIDTH, 7, 2, 3, bias=False), nn.BatchNorm2d(_WIDTH), nn.ReLU(inplace=True)]
    stages, channels = [], _WIDTH
    for number, blocks in enumerate(layers):
        inside, out = width << number, (_WIDTH << number) * _EXPANSION
        stride = 1 if number == 0 else 2
        stages.append(
            nn.Sequential(
                Bottleneck(channels, inside, out, stride), *(Bottleneck(out, inside, out, 1) for _ in range(blocks - 1))
            )
        )
        channels = out
    return [*stem, nn.MaxPool2d(3, 2, 1), *stages]


class ResNetEncoder(EncoderHead):
    """EncoderCNN: ResNet-152 without its classifier, then a linear layer and batch norm. The weights are random.

    >>> ResNetEncoder().eval()(torch.zeros(1, 3, 224, 224)).shape
    torch.Size([1, 256])
    """

    def __init__(self, embedding_width: int = 256) -> None:
        super().__init__(CHANNELS, embedding_width)
        self.resnet = nn.Sequential(*residual_layers(LAYERS_152), nn.AdaptiveAvgPool2d(1))

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (B,3,224,224), normalised with ImageNet's `MEAN` and `DEVIATION` on a 0–1 scale → (B,E)."""
        return super().forward(self.resnet(images).flatten(1))
