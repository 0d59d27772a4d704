"""The captioner of sgrvinod's tutorial: an LSTM with attention to the cells of a ResNet-101.

Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual Attention" (2015). Layer names are those
of the tutorial's checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from telephonegan.networks.resnet import residual_layers

INPUT_SIZE = 256
LAYERS_101 = (3, 4, 23, 3)
State = tuple[Tensor, ...]


class ResNetCells(nn.Module):
    """A ResNet without its classifier, pooled to a grid of `cells` × `cells`. The weights are random.

    `layers` are the numbers of bottleneck blocks in its four stages, `width` the channels inside those of the first.

    >>> ResNetCells(layers=[1, 1, 1, 1]).eval()(torch.zeros(1, 3, 256, 256)).shape
    torch.Size([1, 196, 2048])
    """

    def __init__(self, *, layers: list[int] | None = None, width: int = 64, cells: int = 14) -> None:
        super().__init__()
        self.resnet = nn.Sequential(*residual_layers(layers or LAYERS_101, width))
        self.adaptive_pool = nn.AdaptiveAvgPool2d((cells, cells))

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (B,3,S,S) with ImageNet normalisation → cells (B,N,2048), row by row."""
        return self.adaptive_pool(self.resnet(images)).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Attention weights of the cells for the next word."""

    def __init__(self, feature_width: int, hidden_width: int, attention_width: int) -> None:
        super().__init__()
        self.encoder_att = nn.Linear(feature_width, attention_width)
        self.decoder_att = nn.Linear(hidden_width, attention_width)
        self.full_att = nn.Linear(attention_width, 1)

    def forward(self, keys: Tensor, hidden: Tensor) -> Tensor:
        """Keys (B,N,A), which are `encoder_att` of the cells, and states (k·B,H) → weights (B,k,N), summing to 1."""
        queries = self.decoder_att(hidden).unflatten(0, (len(keys), -1))
        return self.full_att((keys[:, None] + queries[:, :, None]).relu()).squeeze(3).softmax(2)


class AttendingDecoder(nn.Module):
    """DecoderWithAttention, with `start` and `step` for `networks.decoding`.

    >>> decoder = AttendingDecoder(50, feature_width=8)
    >>> logits, state, attention = decoder.step(torch.ones(2, dtype=torch.long), decoder.start(torch.zeros(2, 9, 8)))
    >>> logits.shape, attention.shape
    (torch.Size([2, 50]), torch.Size([2, 9]))
    """

    shared_parts = 2

    def __init__(
        self,
        vocabulary_size: int,
        *,
        feature_width: int = 2048,
        embedding_width: int = 512,
        hidden_width: int = 512,
        attention_width: int = 512,
    ) -> None:
        super().__init__()
        self.attention = Attention(feature_width, hidden_width, attention_width)
        self.embedding = nn.Embedding(vocabulary_size, embedding_width)
        self.decode_step = nn.LSTMCell(embedding_width + feature_width, hidden_width)
        self.init_h = nn.Linear(feature_width, hidden_width)
        self.init_c = nn.Linear(feature_width, hidden_width)
        self.f_beta = nn.Linear(hidden_width, feature_width)
        self.fc = nn.Linear(hidden_width, vocabulary_size)

    def start(self, cells: Tensor) -> State:
        """Cells (B,N,F) → hidden state, cell state, the cells, and their keys (B,N,A)."""
        mean = cells.mean(1)
        return self.init_h(mean), self.init_c(mean), cells, self.attention.encoder_att(cells)

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Feed a word (k·B,) → logits of the next one (k·B,V), the new state, attention (k·B,N).

        The state's cells and keys may be those of B pictures, each with k sentences in a row.
        """
        hidden, cell, cells, keys = state
        attention = self.attention(keys, hidden)
        context = torch.bmm(attention, cells).flatten(0, 1) * self.f_beta(hidden).sigmoid()
        hidden, cell = self.decode_step(torch.cat([self.embedding(ids), context], dim=1), (hidden, cell))
        return self.fc(hidden), (hidden, cell, cells, keys), attention.flatten(0, 1)
