"""Text encoders that read words and learn as a Char-CNN-RNN does: the baselines it is compared with.

Reed et al., "Learning Deep Representations of Fine-Grained Visual Descriptions" (2016), compare with the same two.
"""

from __future__ import annotations

from torch import Tensor, nn


class BagOfWords(nn.Module):
    """The mean of learned word vectors, projected; the order of the words is lost.

    >>> BagOfWords(10)(torch.tensor([[1, 2, 0]]))[1].shape
    torch.Size([1, 1024])
    """

    def __init__(self, vocabulary_size: int, *, word_width: int = 256, width: int = 1024) -> None:
        super().__init__()
        self.encoder = nn.Embedding(vocabulary_size, word_width, padding_idx=0)
        self.linear = nn.Linear(word_width, width)

    def forward(self, ids: Tensor, lengths: Tensor | None = None, *, width: int | None = None) -> tuple[Tensor, Tensor]:
        """(B,L) ids, 0 for none → (B,D,1), the text as its only step, and (B,D). `lengths` and `width` are not read."""
        count = (ids > 0).sum(1, keepdim=True).clamp_min(1)
        sentences = self.linear(self.encoder(ids).sum(1) / count)
        return sentences[:, :, None], sentences


class WordCNN(nn.Module):
    """Two convolutions over learned word vectors, the largest value over all places, projected.

    >>> WordCNN(10)(torch.tensor([[1, 2, 0]]))[1].shape
    torch.Size([1, 1024])
    """

    def __init__(self, vocabulary_size: int, *, word_width: int = 256, channels: int = 512, width: int = 1024) -> None:
        super().__init__()
        self.encoder = nn.Embedding(vocabulary_size, word_width, padding_idx=0)
        self.conv1 = nn.Conv1d(word_width, channels, 3, padding=1)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)
        self.linear = nn.Linear(channels, width)

    def forward(self, ids: Tensor, lengths: Tensor | None = None, *, width: int | None = None) -> tuple[Tensor, Tensor]:
        """(B,L) ids, 0 for none → (B,D,1), the text as its only step, and (B,D). `lengths` and `width` are not read."""
        is_word = (ids > 0)[:, None]
        hidden = self.conv1(self.encoder(ids).transpose(1, 2)).relu() * is_word
        # All values are at least 0, so places without a word never win.
        sentences = self.linear((self.conv2(hidden).relu() * is_word).amax(2))
        return sentences[:, :, None], sentences
