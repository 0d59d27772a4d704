"""Which ε1 and which step suit a condition: the table of pictures and probabilities to choose from.

Users of PPGN with a network of their own are told to try ε1 and the learning rate over many orders of magnitude; this
tries them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from tqdm.auto import tqdm

from telephonegan.errors import SettingsError
from telephonegan.images import to_tensor
from telephonegan.latent.conditions import Condition
from telephonegan.latent.decoders import Decoder
from telephonegan.latent.priors import Prior
from telephonegan.latent.sampler import Sampler, SamplerSettings
from telephonegan.strips import beside, labelled, montage


@dataclass(frozen=True, eq=False)
class Row:
    """One pair of settings: mean probabilities over seeds of the last pictures, by the condition and by the judge."""

    epsilon1: float
    lr: float
    probability: float
    judged: float | None
    images: tuple[Image.Image, ...]

    @property
    def merit(self) -> tuple[float, float]:
        """What rows are ordered by: the judge's probability, if there is a judge, then the condition's."""
        return (self.probability if self.judged is None else self.judged, self.probability)


@dataclass(frozen=True, eq=False)
class Sweep:
    """All rows, in the order of ε1 and then of steps. `best` has the highest probability.

    >>> print(sweep(decoder, image_class("junco"), epsilon1=[1e-5, 1e-3], lr=[0.5, 1], prior=prior))  # doctest: +SKIP
    """

    rows: tuple[Row, ...]
    label: str

    @property
    def best(self) -> Row:
        return max(self.rows, key=lambda row: row.merit)

    def __str__(self) -> str:
        lines = [f"{'ε1':>8}{'lr':>8}{'condition':>11}{'judge':>8}"]
        for row in self.rows:
            judged = "–" if row.judged is None else f"{row.judged:.3f}"
            mark = "  best" if row is self.best else ""
            lines.append(f"{row.epsilon1:>8.0e}{row.lr:>8g}{row.probability:>11.3f}{judged:>8}{mark}")
        return "\n".join(lines)

    def sheet(self) -> Image.Image:
        """A row of pictures for each pair of settings, with both probabilities below."""
        rows = []
        for row in self.rows:
            judged = "" if row.judged is None else f" · judge {row.judged:.2f}"
            told = f"ε1 {row.epsilon1:g} · lr {row.lr:g} · {row.probability:.2f}{judged}"
            rows.append(labelled(montage(row.images), told + (" · best" if row is self.best else ""), size=14, gap=2))
        return beside(rows, below=True)


def sweep(
    decoder: Decoder,
    condition: Condition,
    *,
    epsilon1: Sequence[float],
    lr: Sequence[float],
    prior: Prior,
    judge: Condition | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    settings: SamplerSettings | None = None,
    progress: bool = True,
) -> Sweep:
    """Sample with every ε1 and every step, and compare the last pictures.

    The `judge` is another network's opinion of the same thing: the condition's own is deceived by patterns that only
    it sees, and is always best with large steps and no prior. Raises SettingsError.
    """
    if not epsilon1 or not lr:
        raise SettingsError("A sweep needs at least one ε1 and one step.")
    pairs, rows = [(e, step) for e in epsilon1 for step in lr], []
    for e, step in tqdm(pairs, desc="settings", disable=not progress):
        sampler = Sampler(decoder, condition, prior=prior, settings=settings, epsilon1=e, lr=step, save_every=0)
        sampling = sampler.run(seeds, progress=False)
        images = tuple(sampling.lasts[seed].image for seed in seeds if seed in sampling.lasts)
        if not images:
            continue
        chances = [frame.probability for frame in sampling.lasts.values()]
        rows.append(Row(e, step, sum(chances) / len(chances), _judged(judge, images, decoder.size), images))
        if not sampling.is_finished:
            break
    if not rows:
        raise SettingsError("No chain has a picture: every start gives numbers that are not finite.")
    return Sweep(tuple(rows), condition.label)


@torch.no_grad()
def _judged(judge: Condition | None, images: Sequence[Image.Image], size: int) -> float | None:
    return None if judge is None else float(judge(to_tensor(list(images), size)).probability.mean())
