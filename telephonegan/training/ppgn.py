"""Training the generator of plug & play generation: codes of photographs back to the photographs.

The losses are those of the noiseless joint variant (Nguyen et al., "Plug & Play Generative Networks", 2017, section
3.5): pixels, features of the encoder, and an adversarial loss; here the discriminator is a projected one unless
`discriminator="plain"` chooses one like theirs, and it begins when the generator paints recognisable pictures. A
denoising autoencoder of codes is trained along with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan.data.joined import JoinedPhotos
from telephonegan.data.photos import unit_range
from telephonegan.errors import SettingsError, WeightsError
from telephonegan.images import contact_sheet
from telephonegan.inference import random_generator
from telephonegan.networks.damsm import pooled_features
from telephonegan.networks.ppgn import (
    BASE,
    INPUT_SIZE,
    PICTURE,
    CodeDiscriminator,
    CodeEncoder,
    CodeGenerator,
    FeatureAutoencoder,
    width_of,
)
from telephonegan.text import Vocabulary
from telephonegan.training.augment import augment
from telephonegan.training.devices import autocast, fetched
from telephonegan.training.distributed import average_gradients, gather, share
from telephonegan.training.features import cached
from telephonegan.training.projected import TINY, ProjectedGan, ProjectedSettings
from telephonegan.training.ranges import COUNT, RATE, SIZE, check_ranges
from telephonegan.zoo.store import load_strict

_SHOWN = 32
_BATCH = 32
_COMPARED = (8, 16, 32)  # strides of the feature loss
_WEIGHT = (0.0, 1e6)
DISCRIMINATORS = ("projected", "plain")


@dataclass(frozen=True)
class PpgnSettings(ProjectedSettings):
    """What a run depends on; sizes in pixels. It has no schedule."""

    size: int = 64
    code: str = "layout"  # or "pooled", which knows what there is and not where
    discriminator: str = "projected"  # or "plain", which sees pixels and the code, as PPGN's own
    backbone_input: int = 64
    batch_size: int = 16
    ema_half_life: int = 10_000
    image_weight: float = 4.0
    feature_weight: float = 1.0
    adversarial_weight: float = 0.2
    adversarial_after: int = 400  # steps without a discriminator
    generator_learning_rate: float = 5e-4
    warm_up: int = 100  # steps in which the generator's learning rate rises to it
    fitted_on: int = 12_000  # photographs from which the encoder's projection and the linear part are taken
    autoencoder_noise: float = 0.5  # in standard deviations of the codes
    autoencoder_batch: int = 128
    steps: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        width_of(self.code)
        if self.discriminator not in DISCRIMINATORS:
            allowed = ", ".join(DISCRIMINATORS)
            raise SettingsError(f"discriminator is one of {allowed}; {self.discriminator!r} was given.")
        check_ranges(
            self,
            size=SIZE,
            generator_learning_rate=RATE,
            adversarial_after=(0, 10_000_000),
            warm_up=COUNT,
            **dict.fromkeys(("image_weight", "feature_weight", "adversarial_weight"), _WEIGHT),
            **dict.fromkeys(("fitted_on", "autoencoder_batch"), COUNT),
            autoencoder_noise=(0.0, 100.0),
        )


_TINY = TINY | {"fitted_on": 64, "autoencoder_batch": 16, "adversarial_after": 20, "warm_up": 1, "batch_size": 8}
PRESETS = {
    "cpu": PpgnSettings(),
    "tiny": PpgnSettings(channels=8, **_TINY),
    "gpu": replace(PpgnSettings(), size=128, backbone_input=128, largest_input=224, batch_size=64, steps=100_000),
}


class RecentCodes(nn.Module):
    """The last codes of photographs, so that an autoencoder's batch may be larger than a generator's."""

    def __init__(self, capacity: int, width: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.zeros(capacity, width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def add(self, codes: Tensor) -> None:
        places = (self.seen + torch.arange(len(codes), device=codes.device)) % len(self.codes)
        self.codes[places] = codes
        self.seen += len(codes)

    def draw(self, number: int) -> Tensor:
        """Random ones (number,width), with repetition."""
        return self.codes[torch.randint(min(int(self.seen), len(self.codes)), (number,)).to(self.codes.device)]


class PpgnRecipe(ProjectedGan):
    """One run; `state` holds everything a checkpoint needs. Captions of the photographs are not used.

    Photographs are held at the size the encoder sees, and reduced to the size that is painted.
    """

    def __init__(
        self,
        train: JoinedPhotos,
        shown: JoinedPhotos,
        settings: PpgnSettings,
        cache: Path,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(settings, device)
        self.vocabulary = Vocabulary([])
        self.assemble(CodeGenerator(**self.network()), embedding_width=0)
        self.photos = train.pixels(INPUT_SIZE, cache).to(self.device)
        self.shown = _spread(shown.pixels(INPUT_SIZE, cache), _SHOWN).to(self.device)
        sample = _sample(len(self.photos), settings.fitted_on)
        self.encoder = CodeEncoder(self.backbone, settings.code).to(self.device)
        maps = cached(
            cache / f"ppgn-maps-{train.fingerprint()}-{settings.fitted_on}.npy",
            lambda: self.photos[sample].split(_BATCH),
            lambda batch: self._encoded(unit_range(batch))[1],
        )
        maps = maps.float().to(self.device)
        self.encoder.fit(maps)
        self.generator.fit(self.encoder.of_map(maps), self._small(sample))
        self.average.load_state_dict(self.generator.state_dict())
        self.generator_optimiser = torch.optim.Adam(
            self.generator.parameters(), settings.generator_learning_rate, (0.5, 0.99)
        )
        self.autoencoder = FeatureAutoencoder(code_width=self.encoder.code_width).to(self.device)
        self.autoencoder_optimiser = torch.optim.Adam(self.autoencoder.parameters(), 5e-4)
        self.recent = RecentCodes(8 * settings.autoencoder_batch, self.encoder.code_width).to(self.device)
        self.deviations = self._deviations(sample[: 8 * _BATCH])

    def network(self) -> dict[str, Any]:
        """The settings the generator is built from."""
        return {name: getattr(self.settings, name) for name in ("channels", "size", "code")}

    def new_discriminator(self, embedding_width: int) -> nn.Module:
        """The one that was chosen: over features, or over pixels and the code."""
        if self.settings.discriminator == "projected":
            return super().new_discriminator(embedding_width)
        return CodeDiscriminator(size=self.settings.size, code_width=width_of(self.settings.code))

    def pyramid(self, images: Tensor, size: int) -> dict[int, Tensor]:
        return super().pyramid(images, size) | {PICTURE: images}

    def state(self) -> dict[str, Any]:
        mine = ("encoder", "autoencoder", "autoencoder_optimiser", "recent")
        return super().state() | {name: getattr(self, name) for name in mine}

    def warm_start(self, checkpoint: dict[str, Any]) -> None:
        """Start with another run's networks; the codes stay what they were there. Raises WeightsError for others."""
        try:
            for name in ("encoder", "autoencoder"):
                load_strict(getattr(self, name), checkpoint[name])
        except WeightsError as error:
            raise WeightsError(
                f"Its codes are of another kind: {error}. Start from a model or run of this version with "
                f"code={self.settings.code}."
            ) from error
        super().warm_start(checkpoint)

    def collapse(self, means: dict[str, float]) -> str | None:
        return super().collapse(means) if "discriminator" in means else None

    @torch.no_grad()
    def _encoded(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of pictures (B,3,128,128), and the feature maps they were computed from."""
        with autocast(self.device):
            maps = self.features(images, INPUT_SIZE)[32]
        return self.encoder.of_map(maps.float()), maps

    def _reduced(self, images: Tensor) -> Tensor:
        return F.interpolate(images, size=(self.settings.size,) * 2, mode="area")

    def _small(self, rows: Tensor) -> Tensor:
        """These photographs at the size of the generator's linear part."""
        reduced = [
            F.interpolate(unit_range(batch), size=(BASE, BASE), mode="area")
            for batch in self.photos[rows].split(_BATCH)
        ]
        return torch.cat(reduced)

    @torch.no_grad()
    def _deviations(self, rows: Tensor) -> dict[int, Tensor]:
        """Standard deviation (C,1,1) of each channel of the compared features, by stride."""
        found: dict[int, list[Tensor]] = {stride: [] for stride in _COMPARED}
        for batch in self.photos[rows].split(_BATCH):
            pyramid = self.features(self._reduced(unit_range(batch)), self.settings.backbone_input)
            for stride in _COMPARED:
                found[stride].append(pyramid[stride])
        return {
            stride: torch.cat(parts).std((0, 2, 3)).clamp_min(1e-3)[:, None, None] for stride, parts in found.items()
        }

    def step(self, step: int) -> dict[str, float]:
        settings, size = self.settings, self.input_size(step)
        codes, real = self._draw()
        with autocast(self.device, cache_enabled=False):
            picture = self.paint(codes).float()
            painted, photographed = self._seen_alike(picture, real, size)
            losses = {"image": F.mse_loss(picture, real), "features": self._feature_loss(painted, photographed)}
            if step >= settings.adversarial_after or step < settings.discriminator_alone:
                told = [codes] if settings.discriminator == "plain" else []
                losses["discriminator"] = self.discriminator_step(photographed, painted, *told)
                losses["adversarial"] = self.adversarial(painted, *told)
            if self.moments is not None:
                pooled = pooled_features(self.backbone.head(painted[32]))
                losses["moments"] = self.discrepancy(pooled, photographed, size)
        if step >= settings.discriminator_alone:
            self._set_learning_rate(step)
            self.update_generator(self._weighed(losses), step)
        losses["autoencoder"] = self._train_autoencoder(codes)
        return fetched(losses)

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Codes of this process's share of random photographs, and the photographs at the size that is painted."""
        rows = torch.randint(len(self.photos), (self.batch_size,)).to(self.device)
        mirrored = share(torch.rand(self.batch_size, 1, 1, 1)) < (0.5 if self.settings.mirror else 0.0)
        photographs = self.photographs(rows, mirrored.to(self.device))
        return self._encoded(photographs)[0], self._reduced(photographs)

    def _seen_alike(self, picture: Tensor, real: Tensor, size: int) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """The pyramids of pictures and their photographs, augmented alike, so that their features can be compared."""
        stream = torch.get_rng_state()
        painted = self.pyramid(augment(picture), size)
        torch.set_rng_state(stream)
        with torch.no_grad():
            return painted, self.pyramid(augment(real), size)

    def _set_learning_rate(self, step: int) -> None:
        risen = min(1.0, (step + 1) / self.settings.warm_up)
        for group in self.generator_optimiser.param_groups:
            group["lr"] = risen * self.settings.generator_learning_rate

    def _weighed(self, losses: Mapping[str, Tensor]) -> Tensor:
        """What the generator minimises."""
        settings = self.settings
        weights = {
            "image": settings.image_weight,
            "features": settings.feature_weight,
            "adversarial": settings.adversarial_weight,
            "moments": settings.moment_weight,
        }
        return sum(weights[name] * loss for name, loss in losses.items() if name in weights)

    def _feature_loss(self, painted: dict[int, Tensor], photographed: dict[int, Tensor]) -> Tensor:
        """Mean squared difference in standard deviations of each channel, over the compared strides."""
        return torch.stack(
            [
                ((painted[stride].float() - photographed[stride].float()) / deviation).square().mean()
                for stride, deviation in self.deviations.items()
            ]
        ).mean()

    def _train_autoencoder(self, codes: Tensor) -> Tensor:
        self.recent.add(gather(codes))
        clean = self.recent.draw(self.settings.autoencoder_batch)
        noise = self.settings.autoencoder_noise * torch.randn_like(clean)
        clean, noise = share(clean), share(noise)
        with autocast(self.device, cache_enabled=False):
            found = self.autoencoder(clean + noise)
        loss = F.mse_loss(found.float(), clean)
        self.autoencoder_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.autoencoder.parameters())
        self.autoencoder_optimiser.step()
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Draw photographs that are not trained on above their reconstructions, and measure how alike they are."""
        photographs = unit_range(self.shown)
        codes, _ = self._encoded(photographs)
        real, painted = self._reduced(photographs), self.average(codes)
        again, _ = self._encoded(painted)
        rows = [part for pair in zip(real.split(8), painted.split(8), strict=True) for part in pair]
        contact_sheet(torch.cat(rows), columns=8).save(folder / f"grid-{step:06d}.png")
        error = F.mse_loss(painted, real)
        return {
            "psnr": (10 * torch.log10(4 / error)).item(),
            "code_cosine": F.cosine_similarity(again, codes).mean().item(),
        }


def _sample(available: int, wanted: int) -> Tensor:
    """Rows of so many photographs, the same in every run, or of all there are."""
    return torch.randperm(available, generator=random_generator(0))[:wanted]


def _spread(photographs: Tensor, wanted: int) -> Tensor:
    """So many photographs at equal distances, so that every folder is among them."""
    return photographs[torch.linspace(0, len(photographs) - 1, min(wanted, len(photographs))).long()]
