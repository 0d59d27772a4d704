"""Char-CNN-RNN: a text encoder that reads characters, and its joint embedding with pooled image features.

Reed, Akata, Schiele and Lee, "Learning Deep Representations of Fine-Grained Visual Descriptions" (2016).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan.errors import SettingsError
from telephonegan.text import Alphabet

_SYMBOLS = len(Alphabet.SYMBOLS)
_THRESHOLD = 1e-6  # Torch's nn.Threshold(1e-6, 0): a ReLU, up to this value
_INITIAL = 0.08
_TOGETHER = 16


class ReluRNN(nn.Module):
    """h₁ = relu(Wx₁ + b), hₜ = relu(Wxₜ + b + Uhₜ₋₁ + c). Torch's own RNN adds c at the first step too.

    >>> ReluRNN(8)(torch.randn(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.i2h, self.h2h = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, steps: Tensor) -> Tensor:
        """(B,T,D) → all states (B,T,D)."""
        first, *others = self.i2h(steps).unbind(1)
        states = [first.relu()]
        for step in others:
            states.append((step + self.h2h(states[-1])).relu())
        return torch.stack(states, 1)


class GatedRNN(nn.Module):
    """A gated recurrent unit as Cho et al. (2014) wrote it, starting from h₁ = tanh(Wx₁ + b).

    It differs from `torch.nn.GRU` in three ways: that start, an update gate that weighs the new state, and a reset gate
    that multiplies the old state before the recurrent map.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.i2h, self.h2h = nn.Linear(width, width), nn.Linear(width, width)
        self.i2h_update, self.h2h_update = nn.Linear(width, width), nn.Linear(width, width)
        self.i2h_reset, self.h2h_reset = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, steps: Tensor) -> Tensor:
        """(B,T,D) → all states (B,T,D)."""
        candidates, updates, resets = (layer(steps).unbind(1) for layer in (self.i2h, self.i2h_update, self.i2h_reset))
        states = [candidates[0].tanh()]
        for candidate, update, reset in zip(candidates[1:], updates[1:], resets[1:], strict=True):
            before = states[-1]
            update = (update + self.h2h_update(before)).sigmoid()
            reset = (reset + self.h2h_reset(before)).sigmoid()
            states.append(update * (candidate + self.h2h(reset * before)).tanh() + (1 - update) * before)
        return torch.stack(states, 1)


CELLS = {"rnn": ReluRNN, "gru": GatedRNN}

# The published networks: of the CVPR paper, and of "Generative Adversarial Text to Image Synthesis" (ICML 2016).
VARIANTS: dict[str, dict[str, Any]] = {
    "cvpr": {"channels": 256, "cell": "rnn", "width": 1024},
    "icml-flowers": {"channels": 512, "cell": "rnn", "width": 1024},
    "icml-birds": {"channels": 512, "cell": "gru", "width": 1024},  # also COCO
}


class CharCNNRNN(nn.Module):
    """Three convolutions over the 201 characters of a text, a recurrent network, and the mean of its states, projected.

    `channels` is the width of the last convolution and of the recurrent network; `cell` is "rnn", after one more
    pooling, or "gru"; `width` is that of the embedding. The published sizes are in `VARIANTS`.

    >>> ids, lengths = pad([Alphabet().encode("a purple flower").ids])
    >>> steps, sentence = CharCNNRNN()(ids, lengths)
    >>> steps.shape, sentence.shape
    (torch.Size([1, 1024, 8]), torch.Size([1, 1024]))
    """

    def __init__(self, *, channels: int = 512, cell: str = "rnn", width: int = 1024) -> None:
        super().__init__()
        if cell not in CELLS:
            raise SettingsError(f"No recurrent cell is called {cell!r}; there are {', '.join(CELLS)}.")
        self.conv1 = nn.Conv1d(_SYMBOLS, 384, 4)
        self.conv2 = nn.Conv1d(384, 512, 4)
        self.conv3 = nn.Conv1d(512, channels, 4)
        self.rnn = CELLS[cell](channels)
        self.linear = nn.Linear(channels, width)
        self.cell = cell
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -_INITIAL, _INITIAL)

    @property
    def steps(self) -> int:
        """How many states the recurrent network has for any text."""
        return 8 if self.cell == "rnn" else 18

    def forward(self, ids: Tensor, lengths: Tensor | None = None, *, width: int | None = None) -> tuple[Tensor, Tensor]:
        """(B,L) ids of characters, 0 for none → embeddings of the steps (B,D,T), and their mean (B,D).

        `lengths` and `width` are those of other text encoders and change nothing: every text is read to 201 characters.
        """
        # Texts of about one length together: little is computed for what is not there.
        order = (ids > 0).sum(1).argsort(stable=True)
        columns = torch.cat([self._columns(ids[rows]) for rows in order.split(_TOGETHER)])
        steps = self.linear(self.rnn(columns[order.argsort()]))
        return steps.transpose(1, 2), steps.mean(1)

    def _columns(self, ids: Tensor) -> Tensor:
        """(B,L) → (B,T,C): what the recurrent network reads."""
        # Behind the longest text all columns of a layer are alike: one of them is computed, and stands for the rest.
        x, whole = self._one_hot(ids), Alphabet.LENGTH
        for conv in (self.conv1, self.conv2):
            x, whole = _convolved(conv, x, whole)
            x, whole = _pooled(x, whole)
        x, whole = _convolved(self.conv3, x, whole)
        x = _thresholded(_extended(x, whole))
        return torch.maximum(torch.maximum(x[:, :-2:2], x[:, 1:-1:2]), x[:, 2::2]) if self.cell == "rnn" else x

    def _one_hot(self, ids: Tensor) -> Tensor:
        """(B,L) → (B,n,70): one column more than the longest text has characters, but at most 201."""
        used = ids[:, : Alphabet.LENGTH]
        columns = min(_last(used) + 1, Alphabet.LENGTH)
        used = F.pad(used[:, :columns], (0, max(0, columns - used.shape[1])))
        return F.embedding(used, torch.eye(_SYMBOLS + 1, device=ids.device)[:, 1:].to(self.conv1.weight.dtype))


def _last(ids: Tensor) -> int:
    """The number of columns up to the last character of any text."""
    used = (ids > 0).any(0).nonzero()
    return int(used.max()) + 1 if len(used) else 0


def _convolved(conv: nn.Conv1d, x: Tensor, whole: int) -> tuple[Tensor, int]:
    """Columns (B,T,C) of a convolution of width 4; and how many there would be in all.

    One product of matrices over four columns side by side: on a CPU faster than a convolution of one dimension.
    """
    x = _extended(x, min(x.shape[1] + 3, whole))
    count = x.shape[1] - 3
    beside = torch.cat([x[:, place : place + count] for place in range(4)], 2)
    return F.linear(beside, conv.weight.transpose(1, 2).flatten(1), conv.bias), whole - 3


def _pooled(x: Tensor, whole: int) -> tuple[Tensor, int]:
    """The largest of every three columns, thresholded; and how many there would be in all."""
    columns = min((x.shape[1] + 1) // 3 + 1, whole // 3)
    x = _extended(x, 3 * columns)[:, : 3 * columns]
    # The threshold keeps the order of values, so that it may follow.
    return _thresholded(torch.maximum(torch.maximum(x[:, ::3], x[:, 1::3]), x[:, 2::3])), whole // 3


def _thresholded(x: Tensor) -> Tensor:
    return F.threshold(x, _THRESHOLD, 0.0)


def _extended(x: Tensor, columns: int) -> Tensor:
    """The last column repeated up to this number of columns."""
    missing = columns - x.shape[1]
    return x if missing <= 0 else torch.cat([x, x[:, -1:].expand(-1, missing, -1)], 1)


class PooledImageEncoder(nn.Module):
    """Pooled features of a frozen backbone in the space of the texts: their principal components, evened out.

    Each picture's are scaled to length √`components`, so that no picture fits all texts. With `width` 0 they are not
    mapped further: the texts must come to them, as to GoogLeNet's features in the paper.
    """

    def __init__(self, code_channels: int = 1280, components: int = 128, width: int = 0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(code_channels))
        self.register_buffer("whitening", torch.eye(code_channels, components))
        self.projection = nn.Linear(components, width, bias=False) if width else nn.Identity()

    def forward(self, regions: Tensor | None, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features (B,P) → (B,D,1,1), the whole picture as its only region, and (B,D).

        `regions` are those of other image encoders and are not read.
        """
        components = (pooled - self.mean) @ self.whitening
        codes = self.projection(F.normalize(components, dim=1) * components.shape[1] ** 0.5)
        return codes[:, :, None, None], codes

    @torch.no_grad()
    def fit(self, pooled: Tensor, evened: float = 1.0) -> None:
        """Take the principal components of features (N,P); where N is too small for all of them, the rest stay 0.

        `evened` from 0, all as they are, to 1, all of unit variance: each is divided by that power of its deviation.
        """
        pooled = pooled.float()
        self.mean.copy_(pooled.mean(0))
        _, scales, directions = torch.linalg.svd(pooled - self.mean, full_matrices=False)
        count = min(self.whitening.shape[1], int((scales > 1e-4 * scales[0]).sum()))
        self.whitening.zero_()
        self.whitening[:, :count] = directions[:count].T * (len(pooled) ** 0.5 / scales[:count]) ** evened


def joint_embedding_loss(codes: Tensor, sentences: Tensor) -> Tensor:
    """Deep symmetric structured joint embedding: hinge loss of all mismatched pairs, in both directions.

    codes and sentences (B,D), row i of both together, every row of another class. With S = codes · sentencesᵀ it is
    Σ_{i≠j} [max(0, 1 + S_ij − S_ii) + max(0, 1 + S_ij − S_jj)] / B². Reed et al. (2016), section 3.

    >>> joint_embedding_loss(4 * torch.eye(3), torch.eye(3))
    tensor(0.)
    """
    scores = codes @ sentences.T
    own = scores.diagonal()
    by_picture = F.relu(1 + scores - own[:, None])
    by_text = F.relu(1 + scores - own[None, :])
    # On the diagonal each of both is 1.
    return (by_picture.sum() + by_text.sum() - 2 * len(scores)) / len(scores) ** 2
