"""What all GANs here share: a discriminator over frozen features, moment matching, and a moving average that ships.

The discriminator sees EfficientNet-Lite0 features of photographs and painted pictures (Sauer et al., "Projected GANs
Converge Faster", 2021), both disturbed alike by differentiable augmentation (Zhao et al. 2020). The recipes differ in
what the generator is given: texts (`attngan`, `gan_cls_projected`), or noise only (`free`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan.data.photos import unit_range
from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks.backbone import STRIDES, Backbone
from telephonegan.networks.damsm import pooled_features
from telephonegan.networks.projected import ProjectedDiscriminator
from telephonegan.training.augment import augment
from telephonegan.training.averaging import follow
from telephonegan.training.devices import autocast, fetched, sent
from telephonegan.training.distributed import average_gradients, gather, share
from telephonegan.training.moments import MomentMatching
from telephonegan.training.ranges import COUNT, RATE, SIZE, check_ranges

# Of the presets that train drawings in minutes.
TINY = {
    "size": 16,
    "largest_input": 0,
    "head_width": 16,
    "mirror": False,
    "learning_rate": 5e-4,
    "ema_half_life": 500,
    "moment_queue": 128,
    "steps": 200,
}
THUMBNAIL = 0  # its key in the pyramid, whose other keys are strides
_WON = 0.02  # hinge loss below which the discriminator has won; guessing gives 2


@dataclass(frozen=True)
class ProjectedSettings:
    """The settings that all GAN recipes have; sizes in pixels."""

    channels: int = 32
    backbone_input: int = 128  # input size of the discriminator's features, a multiple of 32
    # If larger than backbone_input, the steps take turns over the sizes in between, so that texture is judged at
    # several scales.
    largest_input: int = 0
    head_width: int = 32
    # The features are nearly blind to colour and contrast, so one more head sees the pixels, reduced to this size.
    thumbnail: int = 16
    mirror: bool = True  # mirrors half of the photographs; False if captions distinguish left and right
    batch_size: int = 32
    learning_rate: float = 2e-4
    ema_half_life: int = 20_000  # in pictures
    moment_weight: float = 0.0
    moment_queue: int = 1024  # recent pictures from which the discrepancy is estimated
    # Number of first steps that train only the discriminator: needed to start from a model, which has none.
    discriminator_alone: int = 0
    # torch.compile: takes one to two minutes per run and a C++ compiler, then steps at 128 pixels on a CPU are 1.5
    # times as fast. On a GPU the backbone and the discriminator are compiled too.
    compile: bool = False
    steps: int = 10_000

    def __post_init__(self) -> None:
        if self.backbone_input < 32 or self.backbone_input % 32:
            raise SettingsError(f"backbone_input must be a multiple of 32 pixels; {self.backbone_input} was given.")
        self._check_largest_input()
        check_ranges(
            self,
            **dict.fromkeys(("channels", "backbone_input", "head_width", "thumbnail"), SIZE),
            **dict.fromkeys(("ema_half_life", "moment_queue", "steps"), COUNT),
            discriminator_alone=(0, 10_000_000),
            batch_size=(2, 10_000),  # batch norm needs two
            learning_rate=RATE,
        )

    def _check_largest_input(self) -> None:
        smallest, largest = self.backbone_input, self.largest_input
        if largest == 0:
            return
        # The discriminator's heads halve all sizes below the next power of two equally often.
        most = (32 << (smallest // 32).bit_length()) - 32
        if largest % 32 or not smallest <= largest <= most:
            allowed = ", ".join(str(size) for size in range(smallest, most + 1, 32))
            raise SettingsError(
                f"largest_input must be 0, {allowed} with backbone_input={smallest}; {largest} was given."
            )

    @property
    def inputs(self) -> range:
        """The input sizes of the backbone, which the steps take in turn."""
        return range(self.backbone_input, max(self.backbone_input, self.largest_input) + 1, 32)


class ProjectedGan:
    """The parts of a GAN recipe that do not depend on what the generator is given."""

    photos: Tensor  # (N,3,S,S) uint8, on the device

    def __init__(self, settings: ProjectedSettings, device: str | torch.device) -> None:
        self.settings, self.device, self.batch_size = settings, torch.device(device), settings.batch_size
        self.backbone = Backbone("lite0").to(self.device, memory_format=torch.channels_last)

    def assemble(self, generator: nn.Module, *, embedding_width: int) -> None:
        """Add average, discriminator, moments and optimisers; `embedding_width` 0 for a discriminator without text."""
        settings = self.settings
        self.generator = generator.to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.discriminator = self.new_discriminator(embedding_width)
        self.discriminator.to(self.device, memory_format=torch.channels_last)
        self.moments = None
        if settings.moment_weight:
            self.moments = self.new_moments().to(self.device)
        trained = [p for p in self.discriminator.parameters() if p.requires_grad]
        self.trained_heads = trained
        self.paint, self.see, self.judged = self.generator, self.backbone, self._judged
        if settings.compile:
            self._compile()
        self.generator_optimiser = torch.optim.Adam(self.generator.parameters(), settings.learning_rate, (0.0, 0.99))
        self.discriminator_optimiser = torch.optim.Adam(trained, settings.learning_rate, (0.0, 0.99))

    def new_discriminator(self, embedding_width: int) -> nn.Module:
        """The heads over the pyramid of features."""
        settings = self.settings
        shapes = {stride: (self.backbone.channels[stride], settings.backbone_input // stride) for stride in STRIDES}
        shapes[THUMBNAIL] = (3, settings.thumbnail)
        return ProjectedDiscriminator(shapes, embedding_width=embedding_width, width=settings.head_width)

    def new_moments(self) -> MomentMatching | nn.ModuleDict:
        """Moment matching, one per input size if there are several."""
        width, queue, sizes = self.backbone.head_channels, self.settings.moment_queue, self.settings.inputs
        if len(sizes) == 1:
            return MomentMatching(width, queue)
        return nn.ModuleDict({str(size): MomentMatching(width, queue) for size in sizes})

    def _compile(self) -> None:
        self.paint = torch.compile(self.generator, dynamic=False)
        if self.device.type == "cuda":
            self.see = torch.compile(self.backbone, dynamic=False)
            self.judged = torch.compile(self.discriminator, dynamic=False)

    def _judged(self, pyramid: dict[int, Tensor], *sentences: Tensor) -> list[Tensor]:
        return self.discriminator(pyramid, *sentences)

    def state(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "average": self.average,
            "discriminator": self.discriminator,
            "generator_optimiser": self.generator_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
            **({} if self.moments is None else {"moments": self.moments}),
        }

    def warm_start(self, checkpoint: dict[str, Any]) -> None:
        """Start with another run's networks where their shapes fit.

        To start from a model, or from a run with another kind of discriminator, set `discriminator_alone`.
        """
        for name, net in (("generator", self.generator), ("average", self.average)):
            load_fitting(net, self.grown(dict(checkpoint[name])), name)
        if known := fitting(self.discriminator, checkpoint.get("discriminator", {})):
            self.discriminator.load_state_dict(self.discriminator.state_dict() | known)
        elif not self.settings.discriminator_alone:
            raise SettingsError(
                "There is no discriminator of this kind to start from, and an untrained one would spoil the generator. "
                "Train the discriminator alone first: --set discriminator_alone=200."
            )

    def grown(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a generator that this one begins with."""
        return found

    def collapse(self, means: dict[str, float]) -> str | None:
        """A message if the discriminator always wins, beyond the hinge, where there is no gradient; else None."""
        if means["discriminator"] > _WON:
            return None
        loss = means["discriminator"]
        return f"The discriminator always wins (hinge loss {loss:.2g}), so the generator learns nothing."

    def photographs(self, rows: Tensor, mirrored: Tensor) -> Tensor:
        """This process's share of photographs by row: (B,3,S,S) in [-1,1], flipped where `mirrored` (B,1,1,1)."""
        real = unit_range(self.photos[share(rows)])
        return torch.where(mirrored, real.flip(3), real)

    def draw(self, noise_width: int) -> tuple[Tensor, Tensor, Tensor]:
        """What a step learns from: rows (B,) of random photographs, and this process's share of them and of noise.

        The rows are on the host, the photographs (b,3,S,S) in [-1,1] and the noise (b,Z) on the device.
        """
        rows = torch.randint(len(self.photos), (self.batch_size,))
        mirrored = share(torch.rand(self.batch_size, 1, 1, 1)) < (0.5 if self.settings.mirror else 0.0)
        noise = sent(share(torch.randn(self.batch_size, noise_width)), self.device)
        return rows, self.photographs(sent(rows, self.device), sent(mirrored, self.device)), noise

    def pyramid(self, images: Tensor, size: int) -> dict[int, Tensor]:
        """The discriminator's input for pictures (B,3,H,W): features at `size` pixels, and a thumbnail."""
        thumbnail = F.interpolate(images, size=(self.settings.thumbnail,) * 2, mode="area")
        return self.features(images, size) | {THUMBNAIL: thumbnail}

    def features(self, images: Tensor, size: int) -> dict[int, Tensor]:
        """The backbone's feature pyramid of pictures (B,3,H,W) resized to `size` pixels."""
        enlarged = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
        return self.see(enlarged.contiguous(memory_format=torch.channels_last))

    def input_size(self, step: int) -> int:
        """The input size of the backbone in this step."""
        return self.settings.inputs[step % len(self.settings.inputs)]

    def adversarial(self, painted: dict[int, Tensor], *sentences: Tensor) -> Tensor:
        """The generator's hinge loss, from the pyramid of its pictures, for which the discriminator is fixed."""
        self.require_heads(False)
        (logits,) = self.judged(painted, *sentences)
        self.require_heads(True)
        return -logits.float().mean()

    def duel(
        self,
        step: int,
        real: Tensor,
        paint: Callable[[], Tensor],
        train_discriminator: Callable[[dict[int, Tensor], dict[int, Tensor]], Tensor],
        *sentences: Tensor,
        sameness: Callable[[dict[int, Tensor]], Tensor] | None = None,
    ) -> dict[str, float]:
        """One step of a generator that has no losses but the adversarial one, moment matching and `sameness`.

        `real` and what `paint` returns are pictures (B,3,S,S) in [-1,1]. `train_discriminator` takes the pyramids of
        photographs and of pictures, and `sentences` (B,D) belong to the pictures. `sameness` is a weighted loss of the
        pyramid of pictures. Returns the numbers to log.
        """
        size = self.input_size(step)
        with autocast(self.device, cache_enabled=False):
            painted = self.pyramid(augment(paint().float()), size)
            with torch.no_grad():
                photographed = self.pyramid(augment(real), size)
            losses = {"discriminator": train_discriminator(photographed, painted)}
            if step < self.settings.discriminator_alone:
                return fetched(losses)
            losses["adversarial"] = loss = self.adversarial(painted, *sentences)
            if self.moments is not None:
                pooled = pooled_features(self.backbone.head(painted[32]))
                losses["moments"] = self.discrepancy(pooled, photographed, size)
                loss = loss + self.settings.moment_weight * losses["moments"]
            if sameness is not None:
                losses["sameness"] = sameness(painted)
                loss = loss + losses["sameness"]
        self.update_generator(loss, step)
        return fetched(losses)

    def discrepancy(self, pooled: Tensor, photographed: dict[int, Tensor], size: int) -> Tensor:
        """MMD between the pictures of all processes, by pooled features (B,F), and photographs."""
        with torch.no_grad():
            real = pooled_features(self.backbone.head(photographed[32]))
        moments = self.moments[str(size)] if isinstance(self.moments, nn.ModuleDict) else self.moments
        return moments(gather(pooled), gather(real))

    def discriminator_step(
        self, photographed: dict[int, Tensor], painted: dict[int, Tensor], *sentences: Tensor
    ) -> Tensor:
        """One step on the hinge loss, from pyramids: photographs against painted pictures. Returns the loss.

        With two `sentences`, (B,D) of the pictures and (B,D) of others, also against photographs with the sentences of
        others; the setting `mismatched_weight` divides the second half of the loss between the two.
        """
        real, *mismatched = self.judged(photographed, *sentences)
        (fake,) = self.judged({stride: f.detach() for stride, f in painted.items()}, *sentences[:1])
        against = F.relu(1 + fake.float()).mean()
        if mismatched:
            weight = self.settings.mismatched_weight
            against = (1 - weight) * against + weight * F.relu(1 + mismatched[0].float()).mean()
        return self.update_discriminator(F.relu(1 - real.float()).mean() + against)

    def update_discriminator(self, loss: Tensor) -> Tensor:
        """One step of the discriminator; the loss as a number."""
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.trained_heads)
        self.discriminator_optimiser.step()
        return loss.detach()

    def update_generator(self, loss: Tensor, step: int) -> None:
        """One step of the generator, and of its average."""
        self.generator_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.generator.parameters())
        self.generator_optimiser.step()
        self.update_average(step)

    def require_heads(self, wanted: bool) -> None:
        for parameter in self.trained_heads:
            parameter.requires_grad_(wanted)

    def update_average(self, step: int) -> None:
        """Exponential moving average of parameters and batch-norm statistics, with a shorter memory at the start."""
        seen = (step + 1) * self.batch_size
        half_life = min(self.settings.ema_half_life, 0.1 * seen)
        keep = 0.5 ** (self.batch_size / half_life)
        follow(self.average, self.generator, keep)


def twin_distance(features: Tensor, twins: int) -> Tensor:
    """Cosine distances (twins,) of the first `twins` rows (B,F) from the last ones."""
    return 1 - F.cosine_similarity(features[:twins], features[len(features) - twins :])


def fitting(net: torch.nn.Module, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that fit a network by name and shape."""
    own = net.state_dict()
    return {key: value for key, value in found.items() if key in own and own[key].shape == value.shape}


def load_fitting(net: torch.nn.Module, found: dict[str, Tensor], name: str) -> None:
    """Copy the tensors that fit by name and shape. Raises WeightsError if none does."""
    known = fitting(net, found)
    if not known:
        raise WeightsError(f"No tensor of the other run's {name} fits. Start from a run with the same widths.")
    net.load_state_dict(net.state_dict() | known)
