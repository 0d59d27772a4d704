"""Training AttnGAN's generator on a few thousand photographs: hours on a CPU, minutes on a GPU.

The published objective (Xu et al. 2018: adversarial + DAMSM + KL) with two changes for small data: a projected
discriminator over frozen EfficientNet-Lite0 features (Sauer et al. 2021) and differentiable augmentation (Zhao et al.
2020). Such a generator soon ignores its noise, so some captions of a batch are painted twice and the two pictures are
pushed apart (after Mao et al., "Mode Seeking Generative Adversarial Networks", 2019).

One pass of the backbone over the painted batch serves the discriminator's step, the generator's and, if it was trained
at the same size, DAMSM. Photographs and sentences are kept on the GPU, and a step waits for it only at its end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.data.photos import CaptionedPhotos, pack_photos
from telephonegan.errors import SettingsError
from telephonegan.images import contact_sheet
from telephonegan.matcher import Matcher
from telephonegan.networks.attngan import Generator, initialise
from telephonegan.networks.backbone import Backbone
from telephonegan.networks.damsm import damsm_loss, pooled_features, region_features
from telephonegan.text import pad, padding_mask
from telephonegan.training import distributed
from telephonegan.training.augment import augment
from telephonegan.training.devices import autocast, fetched, sent
from telephonegan.training.distributed import gather, share
from telephonegan.training.objective import kl_divergence
from telephonegan.training.projected import ProjectedGan, ProjectedSettings, twin_distance
from telephonegan.training.ranges import COUNT, SHARE, check_ranges


@dataclass(frozen=True)
class GanSettings(ProjectedSettings):
    """Settings of a GAN run; sizes in pixels. DAMSM has its own input size, besides `backbone_input`."""

    base_size: int = 32
    branches: int = 2
    residual_blocks: int = 1
    words_limit: int = 20
    damsm_weight: float = 0.01
    kl_weight: float = 0.01
    preview_weight: float = 1.0  # keeps the pictures of earlier stages close to the last one
    mismatched_weight: float = 0.5
    twins: float = 0.25  # share of a batch that repeats captions of the batch with other noise
    twin_distance: float = 0.6  # cosine distance up to which twins are pushed apart; unrelated photographs have 0.86
    twin_weight: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            self,
            words_limit=COUNT,
            branches=(1, 5),
            residual_blocks=(0, 100),
            mismatched_weight=SHARE,
            twins=(0.0, 0.5),
        )

    @property
    def size(self) -> int:
        return self.base_size << (self.branches - 1)


PRESETS = {
    "cpu": GanSettings(),
    "tiny": GanSettings(
        base_size=16,
        channels=16,
        backbone_input=64,
        head_width=32,
        thumbnail=32,
        words_limit=16,
        mirror=False,
        learning_rate=5e-4,
        ema_half_life=500,
        damsm_weight=0.05,
        twins=0.0,
        steps=400,
    ),
    "gpu": replace(
        GanSettings(), base_size=64, channels=48, backbone_input=256, head_width=64, batch_size=64, residual_blocks=2
    ),
    # For `telephonegan train world`: 128 pixels, some hundred thousand pictures. There is no schedule.
    "world": replace(
        GanSettings(),
        branches=3,
        channels=48,
        backbone_input=192,
        head_width=64,
        thumbnail=24,
        batch_size=64,
        ema_half_life=50_000,
        damsm_weight=0.003,
        moment_weight=10.0,
        moment_queue=4096,
        steps=100_000,
    ),
}


def check_backbone(matcher: Matcher, backbone: Backbone) -> None:
    """Raise SettingsError unless this matcher was trained on the features of `backbone`."""
    channels = backbone.channels[16] + backbone.channels[32]
    if matcher.image.emb_features.in_channels != channels:
        raise SettingsError(
            f"The DAMSM run was not trained over {backbone.name}, whose features guide the generator. "
            f"Train one with --set backbone={backbone.name}."
        )


class SentenceBank:
    """Word and sentence embeddings of every caption, computed once and kept on the device.

    The choice of captions and their lengths are known on the CPU, which therefore need not wait for the GPU.
    """

    @torch.no_grad()
    def __init__(
        self,
        captions: list[list[list[str]]],
        matcher: Matcher,
        limit: int,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        encoder = matcher.text.to(self.device)
        self.first = torch.tensor([0, *(len(photo) for photo in captions)]).cumsum(0)
        ids, self.lengths = pad(
            [matcher.vocabulary.known_ids(caption, limit) for photo in captions for caption in photo]
        )
        batches = zip(ids.split(256), self.lengths.split(256), strict=True)
        parts = [encoder(i.to(self.device), n) for i, n in batches]
        width = ids.shape[1]
        self.words = torch.cat([F.pad(words, (0, width - words.shape[2])).half() for words, _ in parts])
        self.pad_to = 0  # least number of words to pad to: GPUs and compiled networks want one shape
        self.sentences = torch.cat([sentence for _, sentence in parts])

    def draw(self, photos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A random caption of each photograph: words (B,D,L), sentence (B,D), lengths (B,)."""
        return self.take(self.pick(photos))

    def pick(self, photos: Tensor) -> Tensor:
        """The row (B,) of a random caption of each photograph."""
        counts = self.first[photos + 1] - self.first[photos]
        return self.first[photos] + (torch.rand(len(photos)) * counts).long()

    def width(self, rows: Tensor) -> int:
        """The number of words to which the captions of these rows are padded."""
        return max(int(self.lengths[rows].max()), self.pad_to)

    def take(self, rows: Tensor, width: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Captions by row (B,), given on the CPU → words (B,D,width), sentence (B,D), lengths (B,), on the device."""
        width = self.width(rows) if width is None else width
        lengths, rows = sent(self.lengths[rows], self.device), sent(rows, self.device)
        words = self.words[rows][:, :, :width].float()
        return F.pad(words, (0, width - words.shape[2])), self.sentences[rows], lengths


class GanRecipe(ProjectedGan):
    """A GAN run; `state` holds everything a checkpoint needs."""

    def __init__(
        self,
        train: CaptionedPhotos,
        shown: CaptionedPhotos,
        matcher: Matcher,
        settings: GanSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(settings, device)
        self.vocabulary = matcher.vocabulary
        check_backbone(matcher, self.backbone)
        self.matching_input = matcher.input_size or settings.backbone_input
        self.embedding_width = matcher.image.emb_cnn_code.out_features
        self.image_encoder = matcher.image.to(self.device)
        generator = Generator(**self.network())
        initialise(generator)
        self.text = SentenceBank(train.captions, matcher, settings.words_limit, self.device)
        first_captions = [captions[:1] for captions in shown.captions[:32]]
        self.shown = SentenceBank(first_captions, matcher, settings.words_limit, self.device)
        self.photos = pack_photos(train, settings.size, cache).to(self.device)
        generator.ca_net.calibrate(self.text.sentences.cpu())
        if settings.compile or self.device.type == "cuda":
            self.text.pad_to = settings.words_limit
        self.assemble(generator, embedding_width=self.embedding_width)

    def network(self) -> dict[str, Any]:
        """The settings from which the generator is built."""
        settings = self.settings
        return {
            "channels": settings.channels,
            "base_size": settings.base_size,
            "branches": settings.branches,
            "residual_blocks": settings.residual_blocks,
            "embedding_width": self.embedding_width,
            "conditional": True,
        }

    def step(self, step: int) -> dict[str, float]:
        settings, batch = self.settings, self.batch_size
        size = self.input_size(step)
        rows, order, twins = self.draw_rows()
        mirrored = share(torch.rand(batch, 1, 1, 1)) < (0.5 if settings.mirror else 0.0)
        chosen = self.text.pick(rows)
        noise = sent(share(torch.randn(batch, self.generator.noise_width)), self.device)
        eps = sent(share(torch.randn(batch, self.generator.condition_width)), self.device)
        text = self.text.take(chosen[order], self.text.width(chosen))
        words, sentences, lengths = map(share, text)
        rows, mirrored = sent(rows, self.device), sent(mirrored, self.device)
        real = self.photographs(rows, mirrored)
        mask = padding_mask(lengths, words.shape[2])
        with autocast(self.device, cache_enabled=False):
            images, _, mu, logvar = self.paint(noise, sentences, words, mask, eps)
            disturbed = augment(images[-1].float())
            painted = self.pyramid(disturbed, size)
            with torch.no_grad():
                photographed = self.pyramid(augment(real), size)
            mismatched = share(text[1].roll(1, 0))  # the sentence of a neighbour, maybe in another process
            discriminator_loss = self.discriminator_step(photographed, painted, sentences, mismatched)
            if step < settings.discriminator_alone:
                return fetched({"discriminator": discriminator_loss})
            adversarial = self.adversarial(painted, sentences)
            pooled = pooled_features(self.backbone.head(painted[32]))
            matching = self.matching_losses(size, disturbed, painted, pooled, text, rows)
            moments = (
                adversarial.new_zeros(()) if self.moments is None else self.discrepancy(pooled, photographed, size)
            )
            kl = kl_divergence(mu, logvar)
            target = images[-1].float().detach()
            preview = sum(
                (F.mse_loss(s.float(), F.interpolate(target, s.shape[-2:], mode="area")) for s in images[:-1]),
                start=target.new_zeros(()),
            )
            distance = twin_distance(painted[16].float().flatten(1), twins)
            sameness = F.relu(settings.twin_distance - distance).mean() if twins else adversarial.new_zeros(())
        loss = (
            adversarial
            + settings.twin_weight * sameness
            + self.matching_weight(size) * sum(matching.values(), start=target.new_zeros(()))
            + settings.moment_weight * moments
            + settings.kl_weight * kl
            + settings.preview_weight * preview
        )
        self.update_generator(loss, step)
        return fetched(
            {
                "discriminator": discriminator_loss,
                "adversarial": adversarial,
                **matching,
                "kl": kl,
                "preview": preview,
                **({"distance": distance.mean()} if twins else {}),
                **({} if self.moments is None else {"moments": moments}),
            }
        )

    def matching_weight(self, size: int) -> float:
        """The weight of DAMSM's losses in a step with `size` pixels as input of the backbone.

        If some steps have the size DAMSM was trained at, only these use it, with a larger weight, which saves a second
        pass of the backbone.
        """
        inputs = self.settings.inputs
        if self.matching_input not in inputs:
            return self.settings.damsm_weight
        return self.settings.damsm_weight * len(inputs) if size == self.matching_input else 0.0

    def matching_losses(
        self,
        size: int,
        images: Tensor,
        pyramid: dict[int, Tensor],
        pooled: Tensor,
        text: tuple[Tensor, Tensor, Tensor],
        rows: Tensor,
    ) -> dict[str, Tensor]:
        """DAMSM's losses of pictures (B,3,H,W) and all processes' texts, by name; none if `matching_weight` is 0.

        `pyramid` and `pooled` are the pictures' features at `size`, used if DAMSM was trained at that size.
        """
        if not self.matching_weight(size):
            return {}
        if self.matching_input != size:
            pyramid = self.features(images, self.matching_input)
            pooled = pooled_features(self.backbone.head(pyramid[32]))
        regions, codes = self.image_encoder(region_features(pyramid), pooled)
        same = rows[:, None] == rows
        word_loss, sentence_loss = damsm_loss(gather(regions), gather(codes).float(), *text, same=same)
        return {"word_loss": word_loss, "sentence_loss": sentence_loss}

    def draw_rows(self) -> tuple[Tensor, Tensor, int]:
        """Photographs (B,), the row whose caption each row takes (B,), and the number of twins in each process.

        In each process, the last rows are twins of the first: the same photograph and caption.
        """
        rows = torch.randint(len(self.photos), (self.batch_size,)).view(distributed.size(), -1)
        order, twins = torch.arange(self.batch_size).view_as(rows), round(self.settings.twins * rows.shape[1])
        for drawn in (rows, order):
            drawn[:, rows.shape[1] - twins :] = drawn[:, :twins]
        return rows.flatten(), order.flatten(), twins

    def grown(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """An added stage starts as a copy of the one before.

        This is how 64 pixels become 128: `--from` a run with `branches=2`, with `--set branches=3`.
        """
        for branch in range(2, self.settings.branches):
            found = _copied_stage(found, branch) | found
        return found

    @torch.no_grad()
    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Paint a grid of the first 32 shown captions."""
        words, sentences, lengths = self.shown.take(torch.arange(len(self.shown.lengths)))
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(len(words), self.generator.noise_width, generator=generator).to(self.device)
        eps = torch.zeros(len(words), self.generator.condition_width, device=self.device)
        images = self.average(noise, sentences, words, padding_mask(lengths, words.shape[2]), eps)[0][-1]
        contact_sheet(images).save(folder / f"grid-{step:06d}.png")
        return {"contrast": images.std().item()}


def _copied_stage(found: dict[str, Tensor], branch: int) -> dict[str, Tensor]:
    return {key.replace(f"net{branch}.", f"net{branch + 1}."): value for key, value in found.items() if "net" in key}
