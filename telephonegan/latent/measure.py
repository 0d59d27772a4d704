"""How axes behave: what a step does to its own score and to the others, on painted pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from telephonegan import inference
from telephonegan.errors import SettingsError
from telephonegan.generation import Generator
from telephonegan.latent.axes import AxisSet, Measured, normalise
from telephonegan.latent.features import Features
from telephonegan.latent.search import loaded

_BATCH = 64
_PLACES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # σ, for the rank correlation
_RANKED = 100  # latents whose pictures are ranked


def measure(
    axes: AxisSet,
    generator: Generator | str | None = None,
    features: Features | None = None,
    n: int = 500,
    *,
    texts: str | Sequence[str] = "",
    seed: int = 1_000_000,
    device: str = "auto",
    progress: bool = True,
) -> AxisSet:
    """The axes with `measured` filled in: slope, monotonicity, and leakage with and without locks.

    Each of `n` random latents is moved by ±1 σ along each axis; the changes of the scores, in their standard
    deviations, are averaged. `features` scores the pictures (default: those the axes were found with), in the order of
    the axes' names; another extractor than the one that found them is the stricter judge. Raises SettingsError for axes
    of another model, or without features.

    >>> measure(AxisSet.load("faces")).measured["age"].slope  # doctest: +SKIP
    """
    from tqdm.auto import tqdm

    generator = loaded(generator or axes.generator, device)
    axes.check_model(generator.sha256)
    features = features or features_of(axes, generator.device)
    n = inference.check_whole(n, "n", 2, 1_000_000)
    captions = [texts] if isinstance(texts, str) else list(texts)
    spread = axes.spread if axes.spread is not None else np.ones(len(axes))
    paint = _Painting(generator, captions, range(seed, seed + n), axes.part, features, spread)
    free = normalise(axes.axes) * axes.scale
    names = axes.names
    locked = [_alone(axes, column) for column in range(len(axes))]
    total = 4 * len(axes) * n + len(_PLACES) * len(axes) * min(n, _RANKED)
    with tqdm(total=total, desc="measuring", unit="img", disable=not progress, mininterval=1) as bar:
        response, held = (paint.response(each, bar.update) for each in (free, np.stack(locked, 1)))
        ranks = [paint.monotony(free[:, column], column, bar.update) for column in range(len(axes))]
    others = ~np.eye(len(axes), dtype=bool)
    measured = {
        name: Measured(
            slope=float(response[column, column]),
            spearman=float(ranks[column]),
            leakage=_mean(np.abs(response[:, column])[others[column]]),
            locked_slope=float(held[column, column]),
            locked_leakage=_mean(np.abs(held[:, column])[others[column]]),
        )
        for column, name in enumerate(names)
    }
    return dataclasses.replace(axes, measured=measured)


def features_of(axes: AxisSet, device: str | torch.device = "auto") -> Features:
    """The features that axes were found with. Raises SettingsError if those were scores of the user's own."""
    from telephonegan.latent.features import MEASURES

    if not axes.extractor and not set(axes.names) <= set(MEASURES):
        raise SettingsError(
            f"The scores of {', '.join(axes.names)} came from outside, so they cannot be measured again here. "
            "Give features=Features(names, function=…)."
        )
    return Features(axes.names, extractor=axes.extractor or None, device=device)


def standard_scores(axes: AxisSet, features: Features, images: Tensor) -> np.ndarray:
    """Scores (B,k) of pictures (B,3,H,W) in [-1,1], as standard deviations from the mean of random pictures."""
    with torch.inference_mode():
        scores = features(images).double().cpu().numpy()
    centre = np.zeros(len(axes)) if axes.centre is None else axes.centre
    return (scores - centre) / (1.0 if axes.spread is None else axes.spread)


def _alone(axes: AxisSet, column: int) -> np.ndarray:
    """The axis of one feature while all others are locked, (d,) per σ; zero where it is disabled."""
    others = [name for place, name in enumerate(axes.names) if place != column]
    if not others:
        return normalise(axes.axes)[:, column] * axes.scale[column]
    return axes.disentangled(others)[0][:, column] * axes.scale[column]


@dataclasses.dataclass(frozen=True)
class _Painting:
    """Random latents of a generator, and what moving them does to the scores."""

    generator: Generator
    captions: list[str]
    seeds: range
    part: str
    features: Features
    spread: np.ndarray

    def response(self, steps: np.ndarray, tick: Callable[[int], Any]) -> np.ndarray:
        """The mean change (k,k) of each score per step along each column of (d,k), in standard deviations."""
        total = np.zeros((len(self.spread), steps.shape[1]))
        for column in range(steps.shape[1]):
            for start in range(0, len(self.seeds), _BATCH):
                seeds = self.seeds[start : start + _BATCH]
                up, down = (self.scores(seeds, start, sign * steps[:, column]) for sign in (1, -1))
                total[:, column] += (up - down).sum(0) / 2
                tick(2 * len(seeds))
        return total / len(self.seeds) / self.spread[:, None]

    def monotony(self, step: np.ndarray, column: int, tick: Callable[[int], Any]) -> float:
        """The mean rank correlation of place and score along one axis."""
        seeds = self.seeds[:_RANKED]
        scores = []
        for place in _PLACES:
            parts = range(0, len(seeds), _BATCH)
            scores.append(np.concatenate([self.scores(seeds[s : s + _BATCH], s, place * step) for s in parts]))
            tick(len(seeds))
        ranks = np.stack(scores)[:, :, column].argsort(0).argsort(0) - (len(_PLACES) - 1) / 2
        places = np.arange(len(_PLACES)) - (len(_PLACES) - 1) / 2
        return float((ranks * places[:, None]).sum(0).mean() / (places**2).sum())

    @torch.inference_mode()
    def scores(self, seeds: Sequence[int], first: int, offset: np.ndarray) -> np.ndarray:
        """The scores (B,k) of pictures whose latents are moved by an offset (d,)."""
        latents = self.generator.latents(seeds)
        moved = torch.from_numpy(offset).float().to(self.generator.device)
        latents[self.part] = latents[self.part] + moved if self.part in latents else moved.expand(len(seeds), -1)
        painter = self.generator.painter
        encoded = [
            self.generator.encode(self.captions[(first + row) % len(self.captions)]) for row in range(len(seeds))
        ]
        return self.features(painter.paint(latents, painter.read(encoded))[0][-1].float()).double().cpu().numpy()


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
