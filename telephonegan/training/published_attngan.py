"""Training AttnGAN as published: a discriminator for each of three sizes, and DAMSM on the largest pictures.

Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with Attentional GANs" (2018), section 3, and the published
code. It takes hundreds of epochs on a GPU; `telephonegan.training.attngan` needs hours for a few thousand photographs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from easydict import EasyDict
from torch import Tensor, nn

from telephonegan.data.photos import CaptionedPhotos, unit_range
from telephonegan.errors import SettingsError
from telephonegan.images import contact_sheet
from telephonegan.matcher import Matcher
from telephonegan.networks.attngan import Discriminator, Generator, initialise
from telephonegan.networks.backbone import Backbone
from telephonegan.networks.damsm import damsm_loss, matching_features
from telephonegan.networks.inception import INPUT_SIZE, InceptionEncoder
from telephonegan.text import pad, padding_mask
from telephonegan.training import distributed
from telephonegan.training.attngan import check_backbone
from telephonegan.training.averaging import follow
from telephonegan.training.batches import Batches, Crops, known_ids
from telephonegan.training.devices import autocast
from telephonegan.training.distributed import average_gradients, gather, share
from telephonegan.training.objective import adversarial_loss, discriminator_loss, kl_divergence
from telephonegan.training.published_damsm import PublishedDamsmSettings, check_run, load_networks

Look = Callable[[Tensor], tuple[Tensor, Tensor]]

_SHOWN = 32
_PAINTED_AT_ONCE = 8
_WON = 0.01  # loss below which a discriminator has won; guessing gives 1.4
_LOST = 27.6  # the generator's loss per head at a probability of 1e-12, below which torch limits the gradient


@dataclass(frozen=True)
class PublishedGanSettings:
    """Settings of a published GAN run; sizes in pixels."""

    base_size: int = 64
    branches: int = 3
    generator_channels: int = 32
    discriminator_channels: int = 64
    residual_blocks: int = 2
    previews: bool = True  # False is AttnDCGAN: only the last stage paints, and one discriminator judges
    noise_width: int = 100
    condition_width: int = 100
    words_limit: int = 18  # this many words of a longer caption are sampled each time
    batch_size: int = 20
    epochs: int = 600
    generator_learning_rate: float = 2e-4
    discriminator_learning_rate: float = 2e-4
    matching_weight: float = 5.0
    kl_weight: float = 1.0
    gamma1: float = 4.0
    gamma2: float = 5.0
    gamma3: float = 10.0
    average_keep: float = 0.999  # decay of the moving average per step
    gradient_clip: float = 0.0  # largest norm of a network's gradient; 0 for no limit, as published
    bfloat16: bool = True  # False computes in float32, as published
    workers: int = 4  # threads that read photographs

    def __post_init__(self) -> None:
        check_run(self.batch_size, self.epochs, self.words_limit)
        if not 0 <= self.average_keep < 1:
            raise SettingsError(f"average_keep must be at least 0 and below 1; {self.average_keep} was given.")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the pictures that have a discriminator, from small to large."""
        sizes = tuple(self.base_size << branch for branch in range(self.branches))
        return sizes if self.previews else sizes[-1:]

    @property
    def gammas(self) -> tuple[float, float, float]:
        return self.gamma1, self.gamma2, self.gamma3


_BIRDS = PublishedGanSettings()
PRESETS = {
    "birds": _BIRDS,
    "birds-dcgan": replace(_BIRDS, previews=False, residual_blocks=0, batch_size=30, epochs=400, matching_weight=1.0),
    "coco": replace(
        _BIRDS,
        generator_channels=48,
        discriminator_channels=96,
        residual_blocks=3,
        words_limit=12,
        batch_size=14,
        epochs=120,
        matching_weight=50.0,
    ),
}


class PublishedGanRecipe:
    """A GAN run guided by the frozen DAMSM encoders of `matcher`, over Inception-v3 or EfficientNet-Lite0.

    `cache` is not used: photographs are read when they are needed.
    """

    def __init__(
        self,
        train: CaptionedPhotos,
        shown: CaptionedPhotos,
        matcher: Matcher,
        settings: PublishedGanSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        self.settings, self.device, self.batch_size = settings, torch.device(device), settings.batch_size
        self.vocabulary = matcher.vocabulary
        self.embedding_width = matcher.image.emb_cnn_code.out_features
        self.text = matcher.text.to(self.device)
        self.look = looker(matcher, self.device)
        self.seed = 0
        self.batches = Batches(
            train,
            self.vocabulary,
            Crops(train, settings.sizes, workers=settings.workers),
            batch_size=settings.batch_size,
            words_limit=settings.words_limit,
        )
        captions = [captions[0] for captions in shown.captions[:_SHOWN]]
        self.shown = pad([known_ids(self.vocabulary, caption)[: settings.words_limit] for caption in captions])
        self.generator = self._placed(Generator(**self.network()))
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.discriminators = {size: self._placed(self._discriminator(size)) for size in settings.sizes}
        self.generator_optimiser = torch.optim.Adam(
            self.generator.parameters(), settings.generator_learning_rate, (0.5, 0.999)
        )
        self.discriminator_optimisers = {
            size: torch.optim.Adam(net.parameters(), settings.discriminator_learning_rate, (0.5, 0.999))
            for size, net in self.discriminators.items()
        }

    def _placed(self, net: nn.Module) -> nn.Module:
        initialise(net)
        return net.to(self.device, memory_format=torch.channels_last)

    def _discriminator(self, size: int) -> Discriminator:
        net = Discriminator(
            size,
            channels=self.settings.discriminator_channels,
            embedding_width=self.embedding_width,
            unconditional=self.settings.previews,
        )
        return net

    @property
    def steps(self) -> int:
        """Steps of the whole run: its epochs over the training photographs."""
        return self.settings.epochs * self.batches.per_epoch

    def network(self) -> dict[str, Any]:
        """The settings from which the generator is built."""
        settings = self.settings
        return {
            "channels": settings.generator_channels,
            "base_size": settings.base_size,
            "branches": settings.branches,
            "residual_blocks": settings.residual_blocks,
            "embedding_width": self.embedding_width,
            "condition_width": settings.condition_width,
            "noise_width": settings.noise_width,
            "previews": settings.previews,
        }

    def _nets(self) -> dict[str, nn.Module]:
        judges = {f"discriminator{size}": net for size, net in self.discriminators.items()}
        return {"generator": self.generator, "average": self.average, **judges}

    def state(self) -> dict[str, Any]:
        optimisers = {f"discriminator{size}_optimiser": each for size, each in self.discriminator_optimisers.items()}
        return {**self._nets(), "generator_optimiser": self.generator_optimiser, **optimisers}

    def warm_start(self, checkpoint: Mapping[str, Any]) -> None:
        """Start with the networks of another run's checkpoint. Raises WeightsError if they do not fit.

        The generator alone, or with discriminators, is enough: the average then starts from the generator.
        """
        found = {name: net for name, net in self._nets().items() if name in checkpoint}
        load_networks({"generator": self.generator} | found, checkpoint)
        if "average" not in checkpoint:
            self.average.load_state_dict(self.generator.state_dict())

    def step(self, step: int) -> dict[str, float]:
        batch, settings = self.batches.take(step, self.seed), self.settings
        with torch.no_grad():  # every process encodes all sentences, which is little work
            words, sentences = self.text(batch.ids.to(self.device), batch.lengths)
        lengths = batch.lengths.to(self.device)
        noise = share(torch.randn(self.batch_size, settings.noise_width)).to(self.device)
        eps = share(torch.randn(self.batch_size, settings.condition_width)).to(self.device)
        real = [unit_range(pixels.to(self.device)) for pixels in batch.pixels]
        mask = padding_mask(share(lengths), words.shape[2])
        with self._autocast():
            painted, _, mu, logvar = self.generator(noise, share(sentences), share(words), mask, eps)
        losses = {
            f"discriminator{size}": self._discriminator_step(size, photographs, pictures.detach(), share(sentences))
            for size, photographs, pictures in zip(settings.sizes, real, painted, strict=True)
        }
        same = None if batch.same is None else batch.same.to(self.device)
        with self._judging(), self._autocast():
            adversarial = {
                f"adversarial{size}": adversarial_loss(self.discriminators[size], pictures, share(sentences))
                for size, pictures in zip(settings.sizes, painted, strict=True)
            }
            seen = self.look(painted[-1].float())
        regions, codes = (gather(each.float()) for each in seen)
        word_loss, sentence_loss = damsm_loss(
            regions, codes, words, sentences, lengths, same=same, gammas=settings.gammas
        )
        kl = kl_divergence(mu.float(), logvar.float())
        loss = sum(adversarial.values()) + settings.matching_weight * (word_loss + sentence_loss)
        self._descend(self.generator, self.generator_optimiser, loss + settings.kl_weight * kl)
        follow(self.average, self.generator, settings.average_keep, statistics=False)
        losses |= adversarial | {"word_loss": word_loss, "sentence_loss": sentence_loss, "kl": kl}
        # All processes must have the same numbers, so that they agree on whether the run is broken.
        return {name: distributed.total(value.item()) / distributed.size() for name, value in losses.items()}

    def _discriminator_step(self, size: int, real: Tensor, painted: Tensor, sentences: Tensor) -> Tensor:
        """One step of one discriminator; mismatched pairs are taken within each process."""
        net = self.discriminators[size]
        with self._autocast():
            loss = discriminator_loss(net, real, painted, sentences)
        self._descend(net, self.discriminator_optimisers[size], loss)
        return loss.detach()

    def _descend(self, net: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(net.parameters())
        if self.settings.gradient_clip:
            nn.utils.clip_grad_norm_(net.parameters(), self.settings.gradient_clip)
        optimiser.step()

    def _autocast(self) -> Any:
        return autocast(self.device, wanted=self.settings.bfloat16)

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Freeze the discriminators, so that the generator's step leaves no gradients in them."""
        for net in self.discriminators.values():
            net.requires_grad_(False)
        try:
            yield
        finally:
            for net in self.discriminators.values():
                net.requires_grad_(True)

    def collapse(self, means: Mapping[str, float]) -> str | None:
        """A message if every discriminator always wins, so that the generator cannot learn; else None."""
        highest = max(means[f"discriminator{size}"] for size in self.settings.sizes)
        lowest = min(means[f"adversarial{size}"] for size in self.settings.sizes)
        heads = 2 if self.settings.previews else 1
        if highest > _WON or lowest < heads * _LOST:
            return None
        return (
            f"The discriminators always win (losses of at most {highest:.2g}, the generator's at least {lowest:.3g}), "
            "so the generator learns nothing."
        )

    @torch.no_grad()
    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Paint a grid of up to 32 captions with the averaged generator, and return its DAMSM losses."""
        ids, lengths = self.shown
        words, sentences = self.text(ids.to(self.device), lengths)
        lengths = lengths.to(self.device)
        draws = torch.Generator().manual_seed(0)
        noise = torch.randn(len(ids), self.settings.noise_width, generator=draws).to(self.device)
        eps = torch.zeros(len(ids), self.settings.condition_width, device=self.device)
        columns = (noise, sentences, words, padding_mask(lengths, words.shape[2]), eps)
        parts = zip(*(column.split(_PAINTED_AT_ONCE) for column in columns), strict=True)
        images = torch.cat([self.average(*part)[0][-1] for part in parts])
        contact_sheet(images).save(folder / f"grid-{step:06d}.png")
        regions, codes = map(torch.cat, zip(*(self.look(part) for part in images.split(_PAINTED_AT_ONCE)), strict=True))
        losses = damsm_loss(regions, codes, words, sentences, lengths, gammas=self.settings.gammas)
        return {
            "contrast": images.std().item(),
            "word_loss": losses[0].item(),
            "sentence_loss": losses[1].item(),
        }


def looker(matcher: Matcher, device: torch.device) -> Look:
    """A function from pictures (B,3,S,S) in [-1,1] to the regions (B,D,h,w) and codes (B,D) of frozen DAMSM encoders.

    Raises SettingsError for encoders over a backbone other than Inception-v3 or EfficientNet-Lite0.
    """
    image = matcher.image.to(device, memory_format=torch.channels_last)
    if isinstance(image, InceptionEncoder):
        return image
    backbone = Backbone("lite0").to(device, memory_format=torch.channels_last)
    input_size = matcher.input_size or 256
    check_backbone(matcher, backbone)
    return lambda images: image(*matching_features(backbone, images, input_size))


def settings_from_config(config: EasyDict) -> PublishedDamsmSettings | PublishedGanSettings:
    """Settings from one of AttnGAN's YAML files for training, see `telephonegan.zoo.attngan_config.read_config`.

    A file whose CONFIG_NAME is DAMSM, or for pictures of 299 pixels, is for the encoders. Raises SettingsError for a
    file that is not for training, and for invalid values.
    """
    if not config.TRAIN.FLAG:
        raise SettingsError("TRAIN.FLAG is False: this file is for painting. Give one of AttnGAN's files for training.")
    if config.CONFIG_NAME == "DAMSM" or config.TREE.BASE_SIZE == INPUT_SIZE:
        return _damsm_settings(config)
    return _gan_settings(config)


def _common(config: EasyDict) -> dict[str, Any]:
    train, smooth = config.TRAIN, config.TRAIN.SMOOTH
    return {
        "words_limit": config.TEXT.WORDS_NUM,
        "batch_size": train.BATCH_SIZE,
        "epochs": train.MAX_EPOCH,
        "gamma1": smooth.GAMMA1,
        "gamma2": smooth.GAMMA2,
        "gamma3": smooth.GAMMA3,
        "workers": max(1, config.WORKERS),
    }


def _damsm_settings(config: EasyDict) -> PublishedDamsmSettings:
    return PublishedDamsmSettings(
        **_common(config),
        picture_size=config.TREE.BASE_SIZE << (config.TREE.BRANCH_NUM - 1),
        width=config.TEXT.EMBEDDING_DIM,
        cell=config.RNN_TYPE,
        learning_rate=config.TRAIN.ENCODER_LR,
        last_learning_rate=config.TRAIN.ENCODER_LR / 10,
        text_gradient_clip=config.TRAIN.RNN_GRAD_CLIP,
    )


def _gan_settings(config: EasyDict) -> PublishedGanSettings:
    return PublishedGanSettings(
        **_common(config),
        base_size=config.TREE.BASE_SIZE,
        branches=config.TREE.BRANCH_NUM,
        generator_channels=config.GAN.GF_DIM,
        discriminator_channels=config.GAN.DF_DIM,
        residual_blocks=config.GAN.R_NUM,
        previews=not config.GAN.B_DCGAN,
        noise_width=config.GAN.Z_DIM,
        condition_width=config.GAN.CONDITION_DIM,
        generator_learning_rate=config.TRAIN.GENERATOR_LR,
        discriminator_learning_rate=config.TRAIN.DISCRIMINATOR_LR,
        matching_weight=config.TRAIN.SMOOTH.LAMBDA,
    )
