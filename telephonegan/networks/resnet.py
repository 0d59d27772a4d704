"""ResNet-152 as the published captioner's encoder, with its layer names.

He et al., "Deep Residual Learning for Image Recognition" (2016); Vinyals et al., "Show and Tell" (2015).
"""

from __future__ import annotations

from torch import Tensor, nn

from telephonegan.networks.captioner import EncoderHead

CHANNELS = 2048
INPUT_SIZE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ResNetEncoder(EncoderHead):
    """EncoderCNN: ResNet-152 without its classifier, then a linear layer and batch norm. The weights are random.

    >>> ResNetEncoder().eval()(torch.zeros(1, 3, 224, 224)).shape
    torch.Size([1, 256])
    """

    def __init__(self, embedding_width: int = 256) -> None:
        from torchvision.models import resnet152

        super().__init__(CHANNELS, embedding_width)
        self.resnet = nn.Sequential(*list(resnet152(weights=None).children())[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (B,3,224,224), normalised with ImageNet's `MEAN` and `DEVIATION` on a 0–1 scale → (B,E)."""
        return super().forward(self.resnet(images).flatten(1))
