"""Training GAN-CLS: a DCGAN that must also tell photographs of the wrong class from those of the sentence.

Reed et al., "Generative Adversarial Text to Image Synthesis" (ICML 2016), with GAN-INT, sentences between those of the
data, and with the losses that its PyTorch versions added: one-sided label smoothing and feature matching (Salimans et
al. 2016), and an L1 distance from the photograph. `gan_cls_projected` trains the same generator as the other GANs here.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.data.photos import CaptionedPhotos, pack_photos, random_crop, unit_range
from telephonegan.errors import DataError
from telephonegan.images import contact_sheet
from telephonegan.matcher import Matcher
from telephonegan.networks.gan_cls import Discriminator, Generator
from telephonegan.training.averaging import follow
from telephonegan.training.devices import autocast, fetched
from telephonegan.training.distributed import average_gradients, share
from telephonegan.training.ranges import COUNT, RATE, SHARE, SIZE, check_ranges

_SHOWN = 32
_MARGIN = (19, 16)  # photographs are this much larger than the random crops of them


@dataclass(frozen=True)
class GanClsSettings:
    """What a run depends on; sizes in pixels."""

    size: int = 64
    channels: int = 64  # of the generator, before its last layer
    discriminator_channels: int = 64
    residual: bool = False  # the authors' networks, with residual blocks
    noise_width: int = 100
    text_width: int = 128
    text_norm: bool = True  # batch norm of the generator's projected sentence
    captions: int = 4  # the sentence is the mean of so many random captions of a photograph
    wrong_weight: float = 0.5  # in the discriminator's loss, of photographs of another class; 1 in PyTorch versions
    fake_weight: float = 0.5  # and of painted pictures
    real_target: float = 1.0  # below 1: one-sided label smoothing
    interpolation: float = 0.0  # GAN-INT: weight of half as many sentences again, between two of the batch
    extrapolate: bool = False  # those sentences may also lie beyond the two
    feature_matching: float = 0.0
    l1: float = 0.0
    l1_annealed: bool = True  # to zero over the run: it pulls towards the mean picture of a sentence
    minibatch_features: int = 0
    batch_size: int = 64
    learning_rate: float = 2e-4
    halved_every: int = 100  # epochs
    ema_half_life: int = 0  # in pictures; 0: the last weights ship, as published
    steps: int = 20_000

    def __post_init__(self) -> None:
        check_ranges(
            self,
            **dict.fromkeys(
                ("size", "channels", "discriminator_channels", "noise_width", "text_width", "captions"), SIZE
            ),
            **dict.fromkeys(("halved_every", "steps"), COUNT),
            **dict.fromkeys(("wrong_weight", "fake_weight", "real_target"), SHARE),
            **dict.fromkeys(("interpolation", "feature_matching", "l1"), (0.0, 1e6)),
            minibatch_features=(0, 4096),
            ema_half_life=(0, COUNT[1]),
            batch_size=(2, 10_000),  # batch norm needs two
            learning_rate=RATE,
        )


_INT = replace(GanClsSettings(), interpolation=1.0)
PRESETS = {
    "cpu": GanClsSettings(),
    "int": _INT,
    "reed": replace(_INT, channels=128, residual=True, text_norm=False, steps=60_000),
    # The smaller networks with all the losses of their PyTorch versions.
    "matching": replace(
        GanClsSettings(),
        captions=1,
        wrong_weight=1.0,
        fake_weight=1.0,
        real_target=0.9,
        feature_matching=100.0,
        l1=50.0,
    ),
    "tiny": GanClsSettings(size=16, channels=16, discriminator_channels=16, batch_size=16, captions=1, steps=300),
}


class EmbeddedCaptions:
    """The embeddings of all captions of some photographs, computed once: half precision, on the device."""

    @torch.no_grad()
    def __init__(self, captions: list[list[list[str]]], matcher: Matcher, device: torch.device) -> None:
        self.first = torch.tensor([0, *map(len, captions)]).cumsum(0)
        self.sentences = matcher.read([caption for photo in captions for caption in photo]).half().to(device)

    @property
    def width(self) -> int:
        return self.sentences.shape[1]

    def draw(self, photos: Tensor, count: int = 1) -> Tensor:
        """The mean embedding (B,D) of `count` random captions of each photograph (B,), drawn with replacement."""
        counts = self.first[photos + 1] - self.first[photos]
        rows = self.first[photos][:, None] + (torch.rand(len(photos), count) * counts[:, None]).long()
        return self.sentences[rows.to(self.sentences.device)].float().mean(1)


class OtherClasses:
    """For photographs by row, random ones of another class, all of them equally likely.

    Without class numbers every photograph is a class of its own.
    """

    def __init__(self, photos: CaptionedPhotos) -> None:
        classes = torch.arange(len(photos)) if photos.classes is None else torch.tensor(photos.classes)
        self.order = classes.argsort(stable=True)
        _, group, self.sizes = classes.unique(return_inverse=True, return_counts=True)
        if len(self.sizes) < 2:
            raise DataError(f"All {len(photos)} photographs of {photos.folder} are of one class; two are needed.")
        self.group, self.starts = group, self.sizes.cumsum(0) - self.sizes

    def draw(self, rows: Tensor) -> Tensor:
        """Rows (B,) of another class than those (B,)."""
        group = self.group[rows]
        others = len(self.order) - self.sizes[group]
        place = (torch.rand(len(rows)) * others).long()
        # The own class is one block of the order: step over it.
        return self.order[torch.where(place < self.starts[group], place, place + self.sizes[group])]


def interpolated(sentences: Tensor, *, extrapolate: bool = False) -> Tensor:
    """B/2 sentences between those of the two halves of a batch (B,D): the middle, or anywhere and beyond.

    >>> interpolated(torch.tensor([[0.0], [1.0], [2.0], [5.0]])).flatten()
    tensor([1., 3.])
    """
    half = len(sentences) // 2
    one, other = sentences[:half], sentences[half : 2 * half]
    if not extrapolate:
        return (one + other) / 2
    return one + (torch.rand(half, 1) * 2 - 1).to(one.device) * (other - one)


class GanClsRecipe:
    """One run; `state` holds everything a checkpoint needs."""

    def __init__(
        self,
        train: CaptionedPhotos,
        shown: CaptionedPhotos,
        matcher: Matcher,
        settings: GanClsSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        self.settings, self.device, self.batch_size = settings, torch.device(device), settings.batch_size
        self.vocabulary = matcher.vocabulary
        self.text = EmbeddedCaptions(train.captions, matcher, self.device)
        self.shown = EmbeddedCaptions([captions[:1] for captions in shown.captions[:_SHOWN]], matcher, self.device)
        self.others = OtherClasses(train)
        self.photos = pack_photos(train, settings.size * _MARGIN[0] // _MARGIN[1], cache)
        self.generator = Generator(**self.network()).to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.discriminator = Discriminator(
            channels=settings.discriminator_channels,
            size=settings.size,
            embedding_width=self.text.width,
            text_width=settings.text_width,
            residual=settings.residual,
            minibatch_features=settings.minibatch_features,
        ).to(self.device, memory_format=torch.channels_last)
        self.generator_optimiser, self.discriminator_optimiser = (
            torch.optim.Adam(net.parameters(), settings.learning_rate, (0.5, 0.999))
            for net in (self.generator, self.discriminator)
        )

    def network(self) -> dict[str, Any]:
        """The settings the generator is built from."""
        names = ("channels", "size", "noise_width", "text_width", "text_norm", "residual")
        return {name: getattr(self.settings, name) for name in names} | {"embedding_width": self.text.width}

    def state(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }

    def step(self, step: int) -> dict[str, float]:
        settings, batch = self.settings, self.batch_size
        rows = torch.randint(len(self.photos), (batch,))
        real, wrong = (self._crops(each) for each in (rows, self.others.draw(rows)))
        sentences = share(self.text.draw(rows, settings.captions))
        asked = sentences
        if settings.interpolation:
            asked = torch.cat([sentences, interpolated(sentences, extrapolate=settings.extrapolate)])
        noise = share(torch.randn(batch * len(asked) // len(sentences), settings.noise_width)).to(self.device)
        self._set_learning_rate(step)
        with autocast(self.device):
            painted = self.generator(noise, asked).float()
            discriminator_loss = self._discriminator_step(real, wrong, painted[: len(real)].detach(), sentences)
            self.discriminator.requires_grad_(False)
            losses = self._generator_losses(step, real, painted, asked)
            self.discriminator.requires_grad_(True)
        self._update(self.generator_optimiser, self.generator, sum(losses.values()))
        half_life = settings.ema_half_life
        follow(self.average, self.generator, 0.5 ** (batch / half_life) if half_life else 0.0)
        return fetched({"discriminator": discriminator_loss, **losses})

    def _crops(self, rows: Tensor) -> Tensor:
        pixels = random_crop(self.photos[rows], self.settings.size)
        return unit_range(share(pixels).to(self.device)).contiguous(memory_format=torch.channels_last)

    def _discriminator_step(self, real: Tensor, wrong: Tensor, painted: Tensor, sentences: Tensor) -> Tensor:
        """Photographs of their sentence against photographs of another class, and against painted pictures."""
        settings = self.settings
        loss = (
            _cross_entropy(self.discriminator(real, sentences)[0], settings.real_target)
            + settings.wrong_weight * _cross_entropy(self.discriminator(wrong, sentences)[0], 0.0)
            + settings.fake_weight * _cross_entropy(self.discriminator(painted, sentences)[0], 0.0)
        )
        self._update(self.discriminator_optimiser, self.discriminator, loss)
        return loss.detach()

    def _generator_losses(self, step: int, real: Tensor, painted: Tensor, asked: Tensor) -> dict[str, Tensor]:
        """The weighted terms of the generator's loss; rows beyond the photographs are of GAN-INT."""
        settings, batch = self.settings, len(real)
        logits, features = self.discriminator(painted, asked)
        losses = {"adversarial": _cross_entropy(logits[:batch], 1.0)}
        if settings.interpolation:
            losses["interpolation"] = settings.interpolation * _cross_entropy(logits[batch:], 1.0)
        if settings.feature_matching:
            with torch.no_grad():
                wanted = self.discriminator(real, asked[:batch])[1].float().mean(0)
            losses["features"] = settings.feature_matching * F.mse_loss(features[:batch].float().mean(0), wanted)
        if settings.l1:
            left = max(0.0, 1 - step / settings.steps) if settings.l1_annealed else 1.0
            losses["l1"] = settings.l1 * left * F.l1_loss(painted[:batch], real)
        return losses

    def _set_learning_rate(self, step: int) -> None:
        epoch = step * self.batch_size // len(self.photos)
        rate = self.settings.learning_rate * 0.5 ** (epoch // self.settings.halved_every)
        for group in (*self.generator_optimiser.param_groups, *self.discriminator_optimiser.param_groups):
            group["lr"] = rate

    @staticmethod
    def _update(optimiser: torch.optim.Optimizer, net: torch.nn.Module, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(net.parameters())
        optimiser.step()

    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Paint a grid of the first 32 shown captions."""
        return paint_shown(self.average, self.shown.sentences.float(), folder / f"grid-{step:06d}.png")


@torch.no_grad()
def paint_shown(generator: Generator, sentences: Tensor, path: Path) -> dict[str, float]:
    """Paint sentences (N,D) into one picture, with the same noise each time; returns the contrast."""
    noise = torch.randn(len(sentences), generator.noise_width, generator=torch.Generator().manual_seed(0))
    images = generator(noise.to(sentences.device), sentences)
    contact_sheet(images).save(path)
    return {"contrast": images.std().item()}


def _cross_entropy(logits: Tensor, target: float) -> Tensor:
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
