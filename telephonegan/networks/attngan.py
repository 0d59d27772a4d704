"""AttnGAN's generator and discriminators, with the layer names of the published checkpoints.

Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with Attentional GANs" (2018), section 3.1.
With `conditional=True`, gain and bias of every batch norm in the generator depend on the sentence and the noise (de
Vries et al., "Modulating early visual processing by language", 2017), which learns faster from few photographs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan.errors import SettingsError
from telephonegan.networks.batchnorm import BatchNorm1d, BatchNorm2d
from telephonegan.networks.folding import Module, fold_batch_norm


class GLU(nn.Module):
    """Gated linear unit: the first half of the channels times the sigmoid of the second."""

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(x, dim=1)


class ConditionalBatchNorm2d(BatchNorm2d):
    """Batch norm with a linear function of a condition (B,C) added to its gain and bias."""

    def __init__(self, channels: int, condition_width: int) -> None:
        super().__init__(channels)
        self.modulation = nn.Linear(condition_width, 2 * channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        return super().forward(x) * (1 + gain) + bias

    def rest(self) -> Modulation:
        """What is left of it when its own gain and bias are folded into the layer before it."""
        return Modulation(self.modulation)


class Modulation(nn.Module):
    """A gain and a bias for every channel that follow a condition (B,C)."""

    def __init__(self, modulation: nn.Linear) -> None:
        super().__init__()
        self.modulation = modulation

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, bias = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(bias, x, 1 + gain)


class Conditioned(nn.Sequential):
    """A Sequential that passes the condition to the layers that take one."""

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        for layer in self:
            x = layer(x, condition) if isinstance(layer, ConditionalBatchNorm2d | Modulation) else layer(x)
        return x


class UpsampledConv2d(nn.Conv2d):
    """Nearest-neighbour upsampling by 2 and a 3×3 convolution, with 16/36 of the multiplications.

    Each of the four output phases depends on only 2×2 different input cells, so taps on the same cell are summed first:
    a 2×2 convolution with four times the channels, whose phases are then interleaved.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        w = self.weight
        rows = (
            torch.stack([w[:, :, 0], w[:, :, 1] + w[:, :, 2]], 2),
            torch.stack([w[:, :, 0] + w[:, :, 1], w[:, :, 2]], 2),
        )
        kernels = [
            torch.stack(pair, 3)
            for r in rows
            for pair in ((r[..., 0], r[..., 1] + r[..., 2]), (r[..., 0] + r[..., 1], r[..., 2]))
        ]
        phases = F.conv2d(x, torch.cat(kernels), padding=1).chunk(4, dim=1)
        top_left, top_right = phases[0][:, :, :height, :width], phases[1][:, :, :height, 1:]
        bottom_left, bottom_right = phases[2][:, :, 1:, :width], phases[3][:, :, 1:, 1:]
        return F.pixel_shuffle(torch.stack([top_left, top_right, bottom_left, bottom_right], 2).flatten(1, 2), 2)

    def as_transposed(self) -> nn.ConvTranspose2d:
        """The same function as one transposed convolution of 4×4 taps, with a copy of the weights.

        On a CPU and in the order channels_last it is twice as fast forwards; its gradients are slower.
        """
        conv = nn.ConvTranspose2d(self.in_channels, self.out_channels, 4, stride=2, padding=1, bias=False)
        padded = F.pad(self.weight.detach(), (1, 1, 1, 1))
        rows = padded[:, :, :-1] + padded[:, :, 1:]
        taps = rows[..., :-1] + rows[..., 1:]
        conv.weight.data = taps.flip(2, 3).transpose(0, 1).contiguous()
        return conv


def _norm(channels: int, condition_width: int) -> BatchNorm2d:
    return ConditionalBatchNorm2d(channels, condition_width) if condition_width else BatchNorm2d(channels)


def _up(channels_in: int, channels_out: int, condition_width: int) -> Conditioned:
    # The published blocks upsample at index 0; here the convolution at index 1 does it.
    return Conditioned(
        nn.Identity(), UpsampledConv2d(channels_in, 2 * channels_out), _norm(2 * channels_out, condition_width), GLU()
    )


class ResidualBlock(nn.Module):
    """conv-norm-GLU-conv-norm plus the input."""

    def __init__(self, channels: int, condition_width: int) -> None:
        super().__init__()
        self.block = Conditioned(
            nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
            _norm(2 * channels, condition_width),
            GLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            _norm(channels, condition_width),
        )

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return x + self.block(x, condition)


class ConditioningAugmentation(nn.Module):
    """CA_NET: samples around the sentence embedding, so that similar sentences share pictures (Zhang et al. 2017)."""

    def __init__(self, embedding_width: int, condition_width: int) -> None:
        super().__init__()
        self.condition_width = condition_width
        self.fc = nn.Linear(embedding_width, 4 * condition_width)

    def forward(self, sentence: Tensor, eps: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(B,D) and standard normal `eps` (B,C), sampled here if None → condition, mu, logvar, each (B,C)."""
        mu, logvar = F.glu(self.fc(sentence), dim=1).chunk(2, dim=1)
        eps = torch.randn_like(mu) if eps is None else eps
        return mu + eps * (0.5 * logvar).exp(), mu, logvar

    @torch.no_grad()
    def calibrate(self, sentences: Tensor) -> None:
        """Initialise with means of about unit variance over `sentences` (N,D) and a narrow Gaussian around each.

        Sentence embeddings are small numbers: with an ordinary initialisation the noise drowns them, and the generator
        learns to paint long before it learns to read. A direction in which all sentences agree keeps its scale.
        """
        mean, _, gates = self.fc.weight.split([self.condition_width, self.condition_width, 2 * self.condition_width])
        centred = sentences - sentences.mean(0)
        deviation = (centred @ mean.T).std(0, correction=min(1, len(sentences) - 1))
        mean.div_(deviation.where(deviation > 1e-6, 1.0)[:, None])
        gates.mul_(0.1)
        bias, spread, gate_bias = self.fc.bias.split(
            [self.condition_width, self.condition_width, 2 * self.condition_width]
        )
        bias.copy_(-mean @ sentences.mean(0))
        spread.fill_(-4.0)
        gate_bias.fill_(2.0)


class FirstStage(nn.Module):
    """INIT_STAGE_G: from condition and noise to features of `channels` at `size` pixels."""

    def __init__(self, input_width: int, channels: int, size: int, condition_width: int) -> None:
        super().__init__()
        doublings = (size // 4).bit_length() - 1
        self.widest = channels << doublings
        # The batch norm after `fc` subtracts the mean, so this layer needs no bias.
        self.fc = nn.Sequential(
            nn.Linear(input_width, self.widest * 32, bias=False), BatchNorm1d(self.widest * 32), GLU()
        )
        for i in range(doublings):
            self.add_module(f"upsample{i + 1}", _up(self.widest >> i, self.widest >> (i + 1), condition_width))
        self.doublings = doublings

    def forward(self, condition_and_noise: Tensor, condition: Tensor | None) -> Tensor:
        h = self.fc(condition_and_noise).view(-1, self.widest, 4, 4)
        for i in range(self.doublings):
            h = getattr(self, f"upsample{i + 1}")(h, condition)
        return h


class WordAttention(nn.Module):
    """GlobalAttentionGeneral: attention of every pixel over the words."""

    def __init__(self, channels: int, embedding_width: int) -> None:
        super().__init__()
        self.conv_context = nn.Conv2d(embedding_width, channels, 1, bias=False)

    def forward(self, h: Tensor, words: Tensor, mask: Tensor, *, legacy_mask: bool = False) -> tuple[Tensor, Tensor]:
        """h (B,G,H,W), words (B,D,L), mask (B,L) True on padding → context (B,G,H,W), attention (B,L,H,W).

        The attention sums to 1 over the words. `legacy_mask` reproduces a mistake of the published code, for parity
        tests: pixel row r of the flattened batch has the mask of sample r modulo B.
        """
        sources = self.conv_context(words[:, :, None]).squeeze(2)
        return _gather(h, sources, sources, mask, legacy_mask=legacy_mask)


def _gather(
    h: Tensor, keys: Tensor, values: Tensor, mask: Tensor, *, legacy_mask: bool = False
) -> tuple[Tensor, Tensor]:
    """Attention of every pixel of h (B,G,H,W) to values (B,G,L) with keys (B,G,L), and its weights.

    The context comes in the order channels_last, in which it is computed.
    """
    batch, _, height, width = h.shape
    logits = h.flatten(2).transpose(1, 2) @ keys
    hidden = mask.repeat(height * width, 1).view(batch, height * width, -1) if legacy_mask else mask[:, None]
    attention = logits.float().masked_fill(hidden, float("-inf")).softmax(2).to(logits.dtype)
    context = (attention @ values.transpose(1, 2)).unflatten(1, (height, width)).permute(0, 3, 1, 2)
    return context, attention.transpose(1, 2).unflatten(2, (height, width))


class NextStage(nn.Module):
    """NEXT_STAGE_G: attends to the words, refines the features and doubles their size."""

    def __init__(self, channels: int, embedding_width: int, residual_blocks: int, condition_width: int) -> None:
        super().__init__()
        self.att = WordAttention(channels, embedding_width)
        self.residual = nn.ModuleList(ResidualBlock(2 * channels, condition_width) for _ in range(residual_blocks))
        self.upsample = _up(2 * channels, channels, condition_width)

    def forward(
        self, h: Tensor, words: Tensor, mask: Tensor, condition: Tensor | None, *, legacy_mask: bool = False
    ) -> tuple[Tensor, Tensor]:
        context, attention = self.att(h, words, mask, legacy_mask=legacy_mask)
        h = torch.cat([h, context], dim=1)
        for block in self.residual:
            h = block(h, condition)
        return self.upsample(h, condition), attention


class MemoryStage(nn.Module):
    """NEXT_STAGE_G of DM-GAN: words are written to a memory, gated by the picture, and every pixel reads from it.

    Zhu et al., "DM-GAN: Dynamic Memory Generative Adversarial Networks for Text-to-Image Synthesis" (2019), section 3.
    """

    def __init__(self, channels: int, embedding_width: int, residual_blocks: int, condition_width: int) -> None:
        super().__init__()
        self.A = nn.Linear(embedding_width, 1, bias=False)
        self.B = nn.Linear(channels, 1, bias=False)
        self.M_r = _pointwise(channels, 2 * channels)
        self.M_w = _pointwise(embedding_width, 2 * channels)
        self.key = _pointwise(2 * channels, channels)
        self.value = _pointwise(2 * channels, channels)
        self.response_gate = nn.Sequential(nn.Conv2d(2 * channels, 1, 1), nn.Sigmoid())
        self.residual = nn.ModuleList(ResidualBlock(2 * channels, condition_width) for _ in range(residual_blocks))
        self.upsample = _up(2 * channels, channels, condition_width)

    def forward(
        self, h: Tensor, words: Tensor, mask: Tensor, condition: Tensor | None, *, legacy_mask: bool = False
    ) -> tuple[Tensor, Tensor]:
        picture = h.mean((2, 3))[:, :, None].detach()
        importance = self.A(words.transpose(1, 2)) + self.B(picture.transpose(1, 2))
        written = importance.sigmoid().transpose(1, 2)
        memory = self.M_w(words) * written + self.M_r(picture) * (1 - written)
        read, attention = _gather(h, self.key(memory), self.value(memory), mask, legacy_mask=legacy_mask)
        response = self.response_gate(torch.cat([h, read], dim=1))
        h = h * (1 - response) + read * response
        h = torch.cat([h, h], dim=1)
        for block in self.residual:
            h = block(h, condition)
        return self.upsample(h, condition), attention


def _pointwise(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(channels_in, channels_out, 1), nn.ReLU())


class ToImage(nn.Module):
    """GET_IMAGE_G: features to RGB in [-1,1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.img = nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1, bias=False), nn.Tanh())

    def forward(self, h: Tensor) -> Tensor:
        return self.img(h)


class Generator(nn.Module):
    """G_NET: `branches` stages that paint base_size, 2·base_size, … pixels.

    Published sizes: base 64, three branches, channels 32 (birds) or 48 (COCO), 2 or 3 residual blocks, not
    conditional. Without `previews` it is G_DCGAN: only the last stage paints. With `memory` it is the generator of
    DM-GAN, see `MemoryStage`. `legacy_mask` is an attribute, see `WordAttention`. Raises SettingsError if base_size is
    not 4 times a power of two, or branches is below 1.

    >>> g = Generator(channels=4, base_size=8, branches=2, residual_blocks=1).eval()
    >>> images, attentions, mu, logvar = g(torch.randn(2, 100), torch.randn(2, 256), torch.randn(2, 256, 5),
    ...                                    torch.zeros(2, 5, dtype=torch.bool))
    >>> [i.shape[-1] for i in images], attentions[0].shape
    ([8, 16], torch.Size([2, 5, 8, 8]))
    """

    def __init__(
        self,
        *,
        channels: int = 48,
        base_size: int = 64,
        branches: int = 3,
        residual_blocks: int = 3,
        embedding_width: int = 256,
        condition_width: int = 100,
        noise_width: int = 100,
        conditional: bool = False,
        previews: bool = True,
        memory: bool = False,
    ) -> None:
        super().__init__()
        if base_size < 4 or base_size.bit_count() != 1:
            raise SettingsError(f"base_size must be 4, 8, 16 or another doubling of these; {base_size} was given.")
        if branches < 1:
            raise SettingsError(f"branches must be at least 1; {branches} was given.")
        self.noise_width, self.condition_width, self.branches = noise_width, condition_width, branches
        self.base_size, self.conditional, self.previews, self.legacy_mask = base_size, conditional, previews, False
        modulating = condition_width + noise_width if conditional else 0
        self.ca_net = ConditioningAugmentation(embedding_width, condition_width)
        self.h_net1 = FirstStage(condition_width + noise_width, channels, base_size, modulating)
        if previews:
            self.img_net1 = ToImage(channels)
        for branch in range(2, branches + 1):
            stage = (MemoryStage if memory else NextStage)(channels, embedding_width, residual_blocks, modulating)
            self.add_module(f"h_net{branch}", stage)
            if previews:
                self.add_module(f"img_net{branch}", ToImage(channels))
        if not previews:
            self.img_net = ToImage(channels)

    @property
    def size(self) -> int:
        """Width and height of the last stage's pictures, in pixels."""
        return self.base_size << (self.branches - 1)

    def folded(self) -> Generator:
        """Turn it, in place, into one that paints faster and can no longer be trained, see the function `folded`."""
        return folded(self)

    def forward(
        self,
        noise: Tensor,
        sentence_embedding: Tensor,
        word_embeddings: Tensor,
        mask: Tensor,
        eps: Tensor | None = None,
    ) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
        """noise (B,Z), sentence (B,D), words (B,D,L), mask (B,L) True on padding, eps (B,C) or None to sample it.

        Returns pictures (B,3,S,S) in [-1,1] from small to large (only the last without `previews`), attention maps
        (B,L,S,S) of all sizes but the last, and mu, logvar (B,C) of the conditioning augmentation.
        """
        h, condition, mu, logvar = self._first(noise, sentence_embedding, eps)
        images, attentions = [self.img_net1(h)] if self.previews else [], []
        for branch in range(2, self.branches + 1):
            h, attention = getattr(self, f"h_net{branch}")(
                h, word_embeddings, mask, condition, legacy_mask=self.legacy_mask
            )
            if self.previews:
                images.append(getattr(self, f"img_net{branch}")(h))
            attentions.append(attention)
        if not self.previews:
            images.append(self.img_net(h))
        return images, attentions, mu, logvar

    def sketch(self, noise: Tensor, sentence_embedding: Tensor, eps: Tensor | None = None) -> Tensor | None:
        """The pictures of the first stage alone; None if it is the last one, or does not paint."""
        if not self.previews or self.branches == 1:
            return None
        return self.img_net1(self._first(noise, sentence_embedding, eps)[0])

    def _first(
        self, noise: Tensor, sentence_embedding: Tensor, eps: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Features of the first stage, what modulates all stages, and mu and logvar."""
        sampled, mu, logvar = self.ca_net(sentence_embedding, eps)
        joined = torch.cat([sampled, noise], dim=1)
        condition = joined if self.conditional else None
        return self.h_net1(joined, condition), condition, mu, logvar


def folded(network: Module) -> Module:
    """Turn a network of these blocks, in place, into one that computes the same faster and can no longer be trained.

    Batch norm and the doubling of sizes become part of the convolutions; the names of the weights change.
    """
    for block in [module for module in network.modules() if isinstance(module, Conditioned)]:
        for index, layer in enumerate(block):
            if isinstance(layer, UpsampledConv2d):
                block[index] = layer.as_transposed()
    return fold_batch_norm(network.eval()).requires_grad_(False)


def initialise(net: nn.Module) -> None:
    """Initialise like the published networks: orthogonal weights, zero linear biases, batch-norm gains N(1, 0.02)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
    for module in net.modules():  # last, because modulations contain Linear layers
        if isinstance(module, ConditionalBatchNorm2d):
            nn.init.zeros_(module.modulation.weight)


def _leaky(*layers: nn.Module) -> list[nn.Module]:
    return [*layers, nn.LeakyReLU(0.2, inplace=True)]


def _encode_by_16(d: int) -> nn.Sequential:
    layers = _leaky(nn.Conv2d(3, d, 4, 2, 1, bias=False))
    for width in (d, 2 * d, 4 * d):
        layers += _leaky(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), BatchNorm2d(2 * width))
    return nn.Sequential(*layers)


def _down(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(*_leaky(nn.Conv2d(channels_in, channels_out, 4, 2, 1, bias=False), BatchNorm2d(channels_out)))


def _keep(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(*_leaky(nn.Conv2d(channels_in, channels_out, 3, 1, 1, bias=False), BatchNorm2d(channels_out)))


class Logits(nn.Module):
    """D_GET_LOGITS: the probability of being real, from 4×4 features and, if conditional, a sentence."""

    def __init__(self, width: int, embedding_width: int = 0) -> None:
        super().__init__()
        self.jointConv = _keep(width + embedding_width, width) if embedding_width else None
        self.outlogits = nn.Sequential(nn.Conv2d(width, 1, 4, stride=4), nn.Sigmoid())

    def forward(self, features: Tensor, sentence: Tensor | None = None) -> Tensor:
        """(B,C,4,4) and, for a conditional head, (B,D) → (B,) in [0,1]."""
        if self.jointConv is not None:
            tiled = sentence[:, :, None, None].expand(-1, -1, *features.shape[-2:])
            features = self.jointConv(torch.cat([features, tiled], dim=1))
        convolution, sigmoid = self.outlogits
        # In half precision a probability near 1 would round to 1, where the gradient vanishes.
        return sigmoid(convolution(features).float()).flatten()


class Discriminator(nn.Module):
    """D_NET64, D_NET128 or D_NET256: from pictures of `size` pixels to features (B,8·channels,4,4), with two heads.

    Raises SettingsError for another size.
    """

    def __init__(
        self, size: int = 64, *, channels: int = 64, embedding_width: int = 256, unconditional: bool = True
    ) -> None:
        super().__init__()
        if size not in (64, 128, 256):
            raise SettingsError(f"A discriminator's size must be 64, 128 or 256 pixels; {size} was given.")
        d = channels
        self.img_code_s16 = _encode_by_16(d)
        self.names = ["img_code_s16"]
        if size == 128:
            self._append("img_code_s32", _down(8 * d, 16 * d))
            self._append("img_code_s32_1", _keep(16 * d, 8 * d))
        elif size == 256:
            self._append("img_code_s32", _down(8 * d, 16 * d))
            self._append("img_code_s64", _down(16 * d, 32 * d))
            self._append("img_code_s64_1", _keep(32 * d, 16 * d))
            self._append("img_code_s64_2", _keep(16 * d, 8 * d))
        self.UNCOND_DNET = Logits(8 * d) if unconditional else None
        self.COND_DNET = Logits(8 * d, embedding_width)

    def _append(self, name: str, layer: nn.Module) -> None:
        self.add_module(name, layer)
        self.names.append(name)

    def forward(self, image: Tensor) -> Tensor:
        for name in self.names:
            image = getattr(self, name)(image)
        return image
