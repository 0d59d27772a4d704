"""DAMSM: a text and an image encoder with a joint space for words and regions.

Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with Attentional GANs" (2018), section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from telephonegan.errors import SettingsError
from telephonegan.networks.backbone import Backbone
from telephonegan.text import padding_mask

CELLS = {"LSTM": nn.LSTM, "GRU": nn.GRU}


class TextEncoder(nn.Module):
    """A bidirectional recurrent network over words, with the layer names of the published checkpoints.

    `cell` is "LSTM" or "GRU". `fc_width` adds a linear layer between the word embeddings and the recurrent network
    (after Zhu et al., "A Generative Adversarial Approach for Zero-Shot Learning from Noisy Texts", 2018); `fc_name` is
    its name in checkpoints. `dropout` acts on the input of the recurrent network. Raises SettingsError for another
    cell.

    >>> words, sentence = TextEncoder(10).eval()(torch.tensor([[1, 2, 0]]), torch.tensor([2]))
    >>> words.shape, sentence.shape
    (torch.Size([1, 256, 2]), torch.Size([1, 256]))
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        word_width: int = 300,
        width: int = 256,
        dropout: float = 0.5,
        cell: str = "LSTM",
        fc_width: int | None = None,
        fc_name: str = "linear",
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise SettingsError(f"cell must be one of {', '.join(CELLS)}; {cell!r} was given.")
        self.encoder = nn.Embedding(vocabulary_size, word_width)
        self.fc_name = fc_name if fc_width is not None else None
        if fc_width is not None:
            self.add_module(fc_name, nn.Linear(word_width, fc_width))
        self.drop = nn.Dropout(dropout)
        self.rnn = CELLS[cell](fc_width or word_width, width // 2, batch_first=True, bidirectional=True)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

    def forward(self, ids: Tensor, lengths: Tensor, *, width: int | None = None) -> tuple[Tensor, Tensor]:
        """(B,L) ids and (B,) lengths in any order → word embeddings (B,D,longest), sentence embedding (B,D).

        With `width` there are that many word embeddings, zero beyond the longest text.
        """
        read = self.encoder(ids)
        if self.fc_name is not None:
            read = getattr(self, self.fc_name)(read)
        packed = pack_padded_sequence(self.drop(read), lengths.cpu(), batch_first=True, enforce_sorted=False)
        output, state = self.rnn(packed)
        hidden = state[0] if isinstance(state, tuple) else state
        words, _ = pad_packed_sequence(output, batch_first=True, total_length=width)
        return words.transpose(1, 2), torch.cat([hidden[-2], hidden[-1]], dim=1)


class ImageEncoder(nn.Module):
    """Projects frozen backbone features to region embeddings and one image code in the joint space.

    Regions come from the stride-16 features concatenated with the enlarged stride-32 ones, the code from the pooled
    last convolution. The paper uses Inception-v3 as backbone.
    """

    def __init__(self, region_channels: int = 112 + 320, code_channels: int = 1280, width: int = 256) -> None:
        super().__init__()
        self.emb_features = nn.Conv2d(region_channels, width, 1, bias=False)
        self.emb_cnn_code = nn.Linear(code_channels, width)

    def forward(self, regions: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(B,C,h,w) and (B,P), from `region_features` and `pooled_features` → (B,D,h,w), (B,D)."""
        return self.emb_features(regions), self.emb_cnn_code(pooled)


def region_features(pyramid: dict[int, Tensor]) -> Tensor:
    """Concatenate strides 16 and 32 of a feature pyramid at stride 16, each scaled to unit mean square per picture."""
    fine, coarse = pyramid[16], pyramid[32]
    coarse = F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
    return torch.cat([_unit_scale(fine), _unit_scale(coarse)], dim=1)


def pooled_features(grid: Tensor) -> Tensor:
    """Mean over the cells of `Backbone.grid`: (B,1280,h,w) → (B,1280)."""
    return grid.mean((2, 3))


def matching_features(backbone: Backbone, images: Tensor, input_size: int) -> tuple[Tensor, Tensor]:
    """Regions (B,C,h,w) and pooled features (B,P) of pictures (B,3,H,W) in [-1,1], enlarged to `input_size`."""
    enlarged = F.interpolate(images, size=(input_size, input_size), mode="bilinear", align_corners=False)
    pyramid = backbone(enlarged.contiguous(memory_format=torch.channels_last), (16, 32))
    return region_features(pyramid), pooled_features(backbone.head(pyramid[32]))


def _unit_scale(features: Tensor) -> Tensor:
    return features * features.float().pow(2).mean((1, 2, 3), keepdim=True).add(1e-6).rsqrt().to(features.dtype)


def word_scores(regions: Tensor, words: Tensor, mask: Tensor, *, gamma1: float = 4.0, gamma2: float = 5.0) -> Tensor:
    """How well the words of every text match the regions of every picture; rows are pictures, columns texts.

    regions (B,D,h,w), words (T,D,L), mask (T,L) True on padding → (B,T), unbounded above, larger is better:
    log Σ_words exp(gamma2 · cosine(word, its attended region context)), as in the published code (the paper takes the
    power 1/gamma2).
    """
    similarity, attention = _similarity_and_attention(regions, words, mask, gamma1)
    # dot(context, word) and |context|² follow from region similarities and the Gram matrix of the regions, which avoids
    # a tensor (pictures, texts, words, D).
    flat = regions.flatten(2)
    gram = flat.transpose(1, 2) @ flat
    norms = (attention * (gram @ attention.flatten(2)).view_as(attention)).sum(1).clamp_min(0).add(1e-12).sqrt()
    dots = (attention * similarity).sum(1)
    cosine = dots.float() / (norms.float() * words.float().norm(dim=1)).clamp_min(1e-8)
    return (gamma2 * cosine).masked_fill(mask[None], float("-inf")).logsumexp(2)


def word_region_attention(regions: Tensor, words: Tensor, mask: Tensor, *, gamma1: float = 4.0) -> Tensor:
    """Attention of each word of each text to each picture's regions: (B,regions,T,L), summing to 1 over regions."""
    return _similarity_and_attention(regions, words, mask, gamma1)[1]


def _similarity_and_attention(regions: Tensor, words: Tensor, mask: Tensor, gamma1: float) -> tuple[Tensor, Tensor]:
    texts, _, length = words.shape
    similarity = regions.flatten(2).transpose(1, 2) @ words.transpose(0, 1).flatten(1)
    similarity = similarity.unflatten(2, (texts, length))
    over_words = similarity.masked_fill(mask, float("-inf")).softmax(3)
    return similarity, (gamma1 * over_words).softmax(1)


def sentence_scores(codes: Tensor, sentences: Tensor) -> Tensor:
    """Cosine of every picture's code with every sentence embedding: (B,D), (T,D) → (B,T) in [-1,1]."""
    return F.normalize(codes, dim=1, eps=1e-8) @ F.normalize(sentences, dim=1, eps=1e-8).T


def matching_loss(scores: Tensor, *, gamma3: float = 10.0, same: Tensor | None = None) -> Tensor:
    """Cross-entropy of each picture's text among all texts, plus that of each text's picture among all pictures.

    `scores` is (B,B) with matching pairs on the diagonal; `same` (B,B) bool marks pairs of one class, which are left
    out because they are not mismatches.
    """
    logits = gamma3 * scores
    if same is not None:
        own = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        logits = logits.masked_fill(same & ~own, float("-inf"))
    target = torch.arange(len(scores), device=scores.device)
    return F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)


def damsm_loss(
    regions: Tensor,
    codes: Tensor,
    words: Tensor,
    sentences: Tensor,
    lengths: Tensor,
    *,
    same: Tensor | None = None,
    gammas: tuple[float, float, float] = (4.0, 5.0, 10.0),
) -> tuple[Tensor, Tensor]:
    """Word loss and sentence loss of a batch of matching pairs (both directions summed)."""
    mask = padding_mask(lengths, words.shape[2])
    by_words = word_scores(regions, words, mask, gamma1=gammas[0], gamma2=gammas[1])
    by_sentence = sentence_scores(codes, sentences)
    return (
        matching_loss(by_words, gamma3=gammas[2], same=same),
        matching_loss(by_sentence, gamma3=gammas[2], same=same),
    )
