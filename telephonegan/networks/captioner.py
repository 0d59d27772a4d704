"""Captioners: a CNN-LSTM and one with soft attention, both with `start` and `step` for `decoding`.

Vinyals et al., "Show and Tell: A Neural Image Caption Generator" (2015).
Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual Attention" (2015).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from telephonegan.networks.backbone import Backbone
from telephonegan.networks.batchnorm import BatchNorm1d

State = tuple[Tensor, ...]


class EncoderHead(nn.Module):
    """From pooled backbone features to the decoder's first input, with the published encoder's layer names."""

    def __init__(self, feature_width: int, embedding_width: int = 256) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_width, embedding_width)
        self.bn = BatchNorm1d(embedding_width, momentum=0.01)

    def forward(self, pooled: Tensor) -> Tensor:
        return self.bn(self.linear(pooled))


class LSTMDecoder(nn.Module):
    """DecoderRNN of Show and Tell: the first input is the picture, then come the words. Published layer names.

    >>> LSTMDecoder(50)(torch.zeros(2, 256), torch.ones(2, 3, dtype=torch.long)).shape
    torch.Size([2, 4, 50])
    """

    shared_parts = 0

    def __init__(
        self,
        vocabulary_size: int,
        *,
        embedding_width: int = 256,
        hidden_width: int = 512,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary_size, embedding_width)
        self.lstm = nn.LSTM(embedding_width, hidden_width, layers, batch_first=True)
        self.linear = nn.Linear(hidden_width, vocabulary_size)
        self.drop = nn.Dropout(dropout)

    def forward(self, feature: Tensor, ids: Tensor) -> Tensor:
        """Teacher forcing: feature (B,E) and ids (B,L) → logits (B,L+1,V) of the word at every position.

        In the published code the target at the picture's position is the start marker.
        """
        inputs = torch.cat([feature[:, None], self.drop(self.embed(ids))], dim=1)
        return self.linear(self.drop(self.lstm(inputs)[0]))

    def start(self, feature: Tensor) -> State:
        """Feed the picture: (B,E) → state, whose parts have the batch as first axis."""
        nothing = feature.new_zeros(len(feature), self.lstm.num_layers, self.lstm.hidden_size)
        return self._advance(feature, (nothing, nothing))

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State, None]:
        """Feed a word (B,) → logits of the next one (B,V), the new state, and None for attention."""
        state = self._advance(self.embed(ids), state)
        return self.linear(state[0][:, -1]), state, None

    def _advance(self, x: Tensor, state: State) -> State:
        """One step of all layers, cell by cell: for a whole LSTM oneDNN arranges all weights anew, at every call."""
        layers = []
        for weights, *before in zip(self.lstm.all_weights, *(part.unbind(1) for part in state), strict=True):
            layers.append(torch.lstm_cell(x, before, *weights))
            x = layers[-1][0]
        return tuple(torch.stack(part, dim=1) for part in zip(*layers, strict=True))


class AttentionDecoder(nn.Module):
    """An LSTM over words with soft attention over a grid of image cells.

    Keys and values of the cells are computed once per picture, in `start`.

    >>> decoder = AttentionDecoder(50, feature_width=8)
    >>> logits, attention = decoder(torch.zeros(2, 9, 8), torch.ones(2, 4, dtype=torch.long))
    >>> logits.shape, attention.shape
    (torch.Size([2, 4, 50]), torch.Size([2, 4, 9]))
    """

    shared_parts = 2

    def __init__(
        self,
        vocabulary_size: int,
        *,
        feature_width: int = 1280,
        embedding_width: int = 256,
        hidden_width: int = 512,
        value_width: int = 512,
        attention_width: int = 256,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary_size, embedding_width)
        self.value = nn.Sequential(nn.Linear(feature_width, value_width), nn.ReLU())
        self.key = nn.Linear(value_width, attention_width)
        self.query = nn.Linear(hidden_width, attention_width, bias=False)
        self.energy = nn.Linear(attention_width, 1, bias=False)
        self.gate = nn.Linear(hidden_width, value_width)
        self.initial = nn.Linear(value_width, 2 * hidden_width)
        self.lstm = nn.LSTMCell(embedding_width + value_width, hidden_width)
        self.output = nn.Linear(hidden_width + value_width, embedding_width)
        self.linear = nn.Linear(embedding_width, vocabulary_size)
        self.drop = nn.Dropout(dropout)

    def forward(self, cells: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing: cells (B,N,F) and ids (k·B,L) with start markers, k consecutive captions per picture →
        logits (k·B,L,V) of the following words, attention (k·B,L,N) summing to 1 over the cells."""
        state = self.start(cells)
        repeats = len(ids) // len(cells)
        state = tuple(part.repeat_interleave(repeats, 0) for part in state) if repeats > 1 else state
        embedded = self.drop(self.embed(ids))
        outputs, attentions = [], []
        for t in range(ids.shape[1]):
            output, state, attention = self._advance(embedded[:, t], state)
            outputs.append(output)
            attentions.append(attention)
        return self._logits(torch.stack(outputs, dim=1)), torch.stack(attentions, dim=1)

    def packed_logits(self, cells: Tensor, owners: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Teacher forcing without padding: `ids` (K,L) of captions, caption k of picture `owners[k]`, sorted by
        `lengths` (K,), longest first → logits (sum of lengths, V) in the time-major order of a PackedSequence."""
        state = tuple(part[owners] for part in self.start(cells))
        embedded = self.drop(self.embed(ids))
        outputs = []
        for t, active in enumerate((lengths[:, None] > torch.arange(ids.shape[1])).sum(0).tolist()):
            output, state, _ = self._advance(embedded[:active, t], tuple(part[:active] for part in state))
            outputs.append(output)
        return self._logits(torch.cat(outputs))

    def start(self, cells: Tensor) -> State:
        """(B,N,F) → hidden, cell, values (B,N,U), keys (B,N,A)."""
        values = self.drop(self.value(cells))
        hidden, cell = self.initial(values.mean(1)).tanh().chunk(2, dim=1)
        return hidden, cell, values, self.key(values)

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        """Feed a word (k·B,) → logits of the next one (k·B,V), the new state, attention (k·B,N).

        The state's values and keys may be those of B pictures, each with k sentences in a row.
        """
        output, state, attention = self._advance(self.embed(ids), state)
        return self._logits(output), state, attention

    def _advance(self, embedded: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        hidden, cell, values, keys = state
        queries = self.query(hidden).unflatten(0, (len(keys), -1))
        attention = self.energy((keys[:, None] + queries[:, :, None]).tanh()).squeeze(3).softmax(2)
        context = torch.bmm(attention.to(values.dtype), values).flatten(0, 1) * self.gate(hidden).sigmoid()
        attention = attention.flatten(0, 1)
        hidden, cell = self.lstm(torch.cat([embedded, context], dim=1), (hidden, cell))
        return torch.cat([hidden, context], dim=1), (hidden, cell, values, keys), attention

    def _logits(self, output: Tensor) -> Tensor:
        return self.linear(self.drop(self.output(self.drop(output)).tanh()))


class CaptionModel(nn.Module):
    """A captioner on backbone cells: an `AttentionDecoder`, or pooling, a head and an `LSTMDecoder`.

    With `tuned_stages`, it contains a copy of the last stages of EfficientNet-Lite0, which compute the cells.
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        attention: bool = True,
        feature_width: int = 1280,
        embedding_width: int = 256,
        hidden_width: int = 512,
        dropout: float = 0.5,
        tuned_stages: int = 0,
    ) -> None:
        super().__init__()
        self.tuned_stages = tuned_stages
        self.tail = Backbone(pretrained=False).tail(tuned_stages) if tuned_stages else None
        widths = {"embedding_width": embedding_width, "hidden_width": hidden_width, "dropout": dropout}
        self.head = None if attention else EncoderHead(feature_width, embedding_width)
        self.decoder = (
            AttentionDecoder(vocabulary_size, feature_width=feature_width, **widths)
            if attention
            else LSTMDecoder(vocabulary_size, **widths)
        )

    def cells(self, front: Tensor) -> Tensor:
        """From the output of the frozen stages, `Backbone.front`, to cells (B,N,F), row by row."""
        return self.tail(front).flatten(2).transpose(1, 2)

    def features(self, cells: Tensor) -> Tensor:
        """From backbone cells (B,N,F) to the input of the decoder's `start`."""
        return cells if self.head is None else self.head(cells.mean(1))

    def packed_logits(self, cells: Tensor, owners: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Teacher forcing without padding, see `AttentionDecoder.packed_logits`."""
        if self.head is None:
            return self.decoder.packed_logits(cells, owners, ids, lengths)
        logits = self.decoder(self.features(cells)[owners], ids)[:, 1:]
        return pack_padded_sequence(logits, lengths, batch_first=True).data

    def forward(self, cells: Tensor, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Cells (B,N,F), ids (k·B,L) with start markers → logits (k·B,L,V) of the following words, attention."""
        if self.head is None:
            return self.decoder(cells, ids)
        feature = self.features(cells).repeat_interleave(len(ids) // len(cells), 0)
        return self.decoder(feature, ids)[:, 1:], None
