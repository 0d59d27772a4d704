"""Plug & play: gradient ascent on what a picture should be, in the vectors of a generator, with a prior over them.

Nguyen et al., "Plug & Play Generative Networks: Conditional Iterative Generation of Images in Latent Space" (2017).
One step is

    h ← h + step · d / mean|d|,   d = ε1 · prior(h) + ε2 · ∂ condition / ∂h + noise + ε4 · ∂ context / ∂h

for every seed by itself, so that a batch of seeds gives what each of them gives alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from telephonegan import inference
from telephonegan.errors import SettingsError, unknown_setting
from telephonegan.images import to_images
from telephonegan.latent.conditions import Condition, Judgement
from telephonegan.latent.decoders import Decoder
from telephonegan.latent.inpainting import Hole
from telephonegan.latent.priors import NoPrior, Prior

_RESET_EPSILON1 = (1e-6, 1e-2)  # PPGN draws ε1 between these at each reset


@dataclass(frozen=True)
class SamplerSettings:
    """How a chain moves; names and meanings are those of PPGN's scripts. Raises SettingsError.

    - `n_iters`: steps for each condition. `lr`, `lr_end`: the mean absolute change of a coordinate per step, from the
      first to the last step of each condition (None: the same throughout), in the decoder's `units`.
    - `epsilon1` weighs the prior, `epsilon2` the condition, `epsilon4` the photograph around a hole; only their
      ratios matter. `epsilon3` is the standard deviation of noise; `noise_rel` adds noise in proportion to mean|d|.
    - `reset_every`: start again from a random vector after so many steps, with a random ε1; 0 never does.
    - `save_every`: keep the picture of every `save_every`-th step if its probability is above `threshold`; 0: the
      last picture only.
    """

    n_iters: int = 200
    lr: float = 1.0
    lr_end: float | None = None
    epsilon1: float = 1e-5
    epsilon2: float = 1.0
    epsilon3: float = 0.0
    epsilon4: float = 0.0
    noise_rel: float = 0.0
    reset_every: int = 0
    save_every: int = 5
    threshold: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (("n_iters", 1, 10**7), ("reset_every", 0, 10**7), ("save_every", 0, 10**7)):
            object.__setattr__(self, name, inference.check_whole(getattr(self, name), name, low, high))
        for name in ("lr", "lr_end", "epsilon1", "epsilon2", "epsilon3", "epsilon4", "noise_rel"):
            value = getattr(self, name)
            if name == "lr_end" and value is None:
                continue
            if not inference.is_number(value) or not 0 <= value < 1e12:
                raise SettingsError(f"{name} must be a number from 0 on; {value!r} was given.")
            object.__setattr__(self, name, float(value))
        if not inference.is_number(self.threshold) or not -1 <= self.threshold <= 1:
            raise SettingsError(f"threshold is a probability, or -1 to keep all; {self.threshold!r} was given.")

    def record(self) -> dict[str, Any]:
        """All settings as JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture on the way of a chain, and what it was made of.

    `vector` (W,) gives `image`; `probability` and `best`, what the network took it for, are this picture's; `label`
    names the condition that was followed. `gradient` is the norm of the condition's gradient, None where it is not
    finite; `epsilon1` and `lr` are those of the step that was taken from here.
    """

    seed: int
    step: int
    label: str
    probability: float
    vector: np.ndarray = field(repr=False)
    image: Image.Image
    best: tuple[str, float] | None = None
    gradient: float | None = None
    epsilon1: float = 0.0
    epsilon2: float = 0.0
    epsilon3: float = 0.0
    epsilon4: float = 0.0
    lr: float = 0.0

    def record(self) -> dict[str, Any]:
        """All but the picture as JSON values; the vector to nine digits, which single precision needs."""
        told = {name: value for name, value in vars(self).items() if name not in ("image", "vector")}
        return {**told, "h": [float(f"{value:.9g}") for value in self.vector.tolist()]}


@dataclass(frozen=True, eq=False)
class State:
    """Where B chains stand before the step `step`: all that is needed to go on as if they had not been stopped.

    `vectors` (B,W), `epsilon1` (B,), and why those that ended did. What is drawn at a step depends on seed and step
    alone.
    """

    seeds: tuple[int, ...]
    step: int
    vectors: Tensor
    epsilon1: Tensor
    stopped: tuple[str, ...]

    @property
    def moves(self) -> list[int]:
        """The rows of the chains that have not ended."""
        return [row for row, why in enumerate(self.stopped) if not why]


@dataclass(frozen=True, eq=False)
class Shown:
    """What one step saw: the pictures (B,3,S,S) of the state before it, and what was said of them."""

    before: State
    images: Tensor
    judgement: Judgement
    gradients: Tensor
    settings: SamplerSettings
    label: str
    lr: float

    def frame(self, row: int) -> Frame:
        """What it shows of one chain. Raises ImageError for a picture with numbers that are not finite."""
        judged, settings = self.judgement, self.settings
        return Frame(
            seed=self.before.seeds[row],
            step=self.before.step,
            label=self.label,
            probability=float(judged.probability[row]),
            vector=self.before.vectors[row].cpu().numpy().copy(),
            image=to_images(self.images[row : row + 1])[0],
            best=judged.best[row] if judged.best else None,
            gradient=norm if math.isfinite(norm := float(self.gradients[row].norm())) else None,
            epsilon1=float(self.before.epsilon1[row]),
            epsilon2=settings.epsilon2,
            epsilon3=settings.epsilon3,
            epsilon4=settings.epsilon4,
            lr=self.lr,
        )

    def is_kept(self, row: int) -> bool:
        """Whether the settings say to keep this picture of a chain."""
        every = self.settings.save_every
        is_turn = bool(every) and self.before.step % every == 0
        return is_turn and float(self.judgement.probability[row]) > self.settings.threshold

    def told(self) -> dict[str, str]:
        """What the progress bar says, of the first chain."""
        judged = self.judgement
        best = {"best": f"{judged.best[0][0]} [{judged.best[0][1]:.2f}]"} if judged.best else {}
        target = f"{self.label} [{float(judged.probability[0]):.2f}]"
        return {**best, "target": target, "gradient": f"{float(self.gradients[0].norm()):.2g}"}


@dataclass(eq=False)
class Sampling:
    """The chains of several seeds: the frames kept, the last of each, and the probability at every step.

    `is_finished` is False for one that was interrupted; `Sampler.run(after=…)` goes on with it.

    >>> sampling.last(0).image.save("junco.png")  # doctest: +SKIP
    """

    state: State
    frames: list[Frame] = field(default_factory=list)
    lasts: dict[int, Frame] = field(default_factory=dict)
    probabilities: list[list[float]] = field(default_factory=list)
    is_finished: bool = False

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the chains."""
        return self.state.seeds

    @property
    def stopped(self) -> dict[int, str]:
        """Why chains ended before the last step, by seed."""
        return {seed: why for seed, why in zip(self.seeds, self.state.stopped, strict=True) if why}

    def curve(self, seed: int) -> np.ndarray:
        """The probability at every step of a seed's chain, (steps,)."""
        return np.array([row[self.seeds.index(seed)] for row in self.probabilities], dtype=np.float32)

    def last(self, seed: int | None = None) -> Frame:
        """The last picture of a seed (default: the first one). Raises SettingsError if there is none."""
        seed = self.seeds[0] if seed is None else seed
        if seed not in self.lasts:
            raise SettingsError(f"There is no picture of seed {seed}. There are some of {sorted(self.lasts)}.")
        return self.lasts[seed]

    def of(self, seed: int) -> list[Frame]:
        """The frames kept of a seed."""
        return [frame for frame in self.frames if frame.seed == seed]


class Sampler:
    """A decoder, one condition after another, and a prior.

    The vector carries over from one condition to the next. With a `hole`, pictures are painted into a photograph.
    Raises SettingsError.

    >>> sampler = Sampler(decoder, image_class("junco"), prior=JointPrior(decoder.encode))  # doctest: +SKIP
    >>> sampler.run(seeds=[0, 1]).last(1).probability  # doctest: +SKIP
    0.93
    """

    def __init__(
        self,
        decoder: Decoder,
        conditions: Condition | Sequence[Condition],
        *,
        prior: Prior | None = None,
        hole: Hole | None = None,
        settings: SamplerSettings | None = None,
        **changed: Any,
    ) -> None:
        self.decoder, self.prior = decoder, prior or NoPrior()
        self.conditions = [conditions] if isinstance(conditions, Condition) else list(conditions)
        if not self.conditions:
            raise SettingsError("The sampler needs at least one condition.")
        self.settings = _settings(settings, changed)
        if hole is not None and hole.image.shape[-1] != decoder.size:
            raise SettingsError(
                f"The hole is in a photograph of {hole.image.shape[-1]} pixels; {decoder.name!r} paints {decoder.size}."
            )
        self.hole = None if hole is None else hole.to(decoder.device)

    @property
    def steps(self) -> int:
        """All steps: `n_iters` for each condition, and one more, whose picture shows what the last of them changed."""
        return self.settings.n_iters * len(self.conditions) + 1

    # ------------------------------------------------------------------------------------------------ one step

    def start(self, seeds: Sequence[int], vectors: Tensor | np.ndarray | None = None) -> State:
        """Chains at their start: `vectors` (W,) or (B,W), or else what the seeds draw. Raises SettingsError."""
        seeds = tuple(inference.check_seed(seed) for seed in seeds)
        if not seeds or len(set(seeds)) < len(seeds):
            raise SettingsError(f"Give at least one seed, and each of them once; {list(seeds)} was given.")
        if vectors is None:
            drawn = torch.stack([self.decoder.random(inference.random_generator(seed)) for seed in seeds])
        else:
            drawn = self._checked(vectors, len(seeds))
        epsilon1 = torch.full((len(seeds),), self.settings.epsilon1)
        return State(seeds, 0, drawn.to(self.decoder.device), epsilon1, ("",) * len(seeds))

    def _checked(self, vectors: Tensor | np.ndarray, count: int) -> Tensor:
        found = torch.as_tensor(np.asarray(vectors.cpu() if isinstance(vectors, Tensor) else vectors)).float()
        fits = found.dim() in (1, 2) and found.shape[-1] == self.decoder.width
        if not fits or found.numel() // self.decoder.width not in (1, count):
            raise SettingsError(
                f"A start has {self.decoder.width} numbers, or one row of them for each of {count} seeds; the shape "
                f"{tuple(found.shape)} was given."
            )
        if not torch.isfinite(found).all():
            raise SettingsError("The start contains numbers that are not finite.")
        return found.reshape(-1, self.decoder.width).expand(count, -1).clone()

    def advance(self, state: State) -> tuple[State, Shown]:
        """One step of all chains: where they stand then, and what was seen of where they stood before."""
        with torch.inference_mode(False), torch.enable_grad():
            condition, progress = self._place(state.step)
            shown = self._look(state, condition, self._step_size(progress))
        with torch.inference_mode(False), torch.no_grad():
            return self._moved(state, shown), shown

    def _place(self, step: int) -> tuple[Condition, float]:
        """The condition followed at a step, and how far the chain has come with it, from 0 to 1."""
        n = self.settings.n_iters
        number = min(max(0, step - 1) // n, len(self.conditions) - 1)
        return self.conditions[number], min(1.0, (step - number * n) / n)

    def _step_size(self, progress: float) -> float:
        first, last = self.settings.lr, self.settings.lr_end
        return first if last is None else first + (last - first) * progress

    def _look(self, state: State, condition: Condition, lr: float) -> Shown:
        """Paint once, judge what is shown, and go back to the vectors."""
        vectors = state.vectors.detach().clone().requires_grad_()
        painted = self.decoder(vectors)
        images = painted if self.hole is None else self.hole.filled(painted)
        judgement = condition(images)
        wanted = self.settings.epsilon2 * judgement.objective.to(painted.device).sum()
        if self.hole is not None and self.settings.epsilon4:
            weight = self.settings.epsilon4 * self.decoder.units.context
            wanted = wanted + weight * self.hole.agreement(painted).sum()
        if not wanted.requires_grad:
            raise SettingsError(
                f"The condition {condition.label!r} lets no gradient through to the picture. It must compute with "
                "torch, without detach, no_grad or a step over numpy."
            )
        (gradients,) = torch.autograd.grad(wanted, vectors)
        return Shown(state, images.detach(), judgement, gradients, self.settings, condition.label, lr)

    def _moved(self, state: State, shown: Shown) -> State:
        generators = [inference.random_generator(inference.derived_seed(seed, state.step)) for seed in state.seeds]
        direction = self._direction(shown, generators)
        sizes = direction.abs().mean(1)
        step = shown.lr * self.decoder.units.step
        moved = (state.vectors + step * direction / sizes[:, None]).clamp(self.decoder.low, self.decoder.high)
        moved, epsilon1 = self._reset(state, moved, generators)
        reasons = [_reason(size, state.step) for size in sizes.tolist()]
        stopped = tuple(before or now for before, now in zip(state.stopped, reasons, strict=True))
        stays = torch.tensor([bool(why) for why in stopped], device=moved.device)[:, None]
        return replace(
            state,
            step=state.step + 1,
            vectors=torch.where(stays, state.vectors, moved),
            epsilon1=epsilon1,
            stopped=stopped,
        )

    def _direction(self, shown: Shown, generators: Sequence[torch.Generator]) -> Tensor:
        """ε1 · prior + ε2 · condition + ε4 · context + noise, (B,W)."""
        direction, state = shown.gradients, shown.before
        if state.epsilon1.any():
            weight = (state.epsilon1 * self.decoder.units.prior).to(direction.device)[:, None]
            direction = direction + weight * self.prior(state.vectors, shown.images)
        if self.settings.epsilon3 or self.settings.noise_rel:
            drawn = torch.stack([torch.randn(direction.shape[1], generator=each) for each in generators])
            scale = self.settings.epsilon3 + self.settings.noise_rel * direction.abs().mean(1, keepdim=True)
            direction = direction + scale * drawn.to(direction.device)
        return direction

    def _reset(self, state: State, moved: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Random vectors and a random ε1 if it is time, else those that are there."""
        every = self.settings.reset_every
        if not every or not state.step or state.step % every:
            return moved, state.epsilon1
        low, high = _RESET_EPSILON1
        drawn = torch.stack([self.decoder.random(each) for each in generators])
        spread = torch.stack([torch.rand((), generator=each) for each in generators])
        return drawn.to(moved.device), low + (high - low) * spread

    # ------------------------------------------------------------------------------------------------ all steps

    def run(
        self,
        seeds: Sequence[int] = (0,),
        start: Tensor | np.ndarray | None = None,
        *,
        after: Sampling | None = None,
        most: int | None = None,
        on_frame: Callable[[Frame], None] = lambda frame: None,
        on_step: Callable[[Sampling], None] = lambda sampling: None,
        progress: bool = True,
    ) -> Sampling:
        """All steps of the chains of these seeds, from `start` (W,) or (B,W), or from what the seeds draw.

        `after` goes on with chains that were interrupted, or that had come to the `most` steps of an earlier call.
        `on_frame` gets every frame that is kept, at once, `on_step` what there is after each step. Ctrl-C ends the
        call, which returns what there is; a chain whose gradient is zero or not finite ends, with a warning, and the
        others go on. Raises SettingsError.

        >>> part = sampler.run([0], most=5)  # doctest: +SKIP
        >>> whole = sampler.run(after=part)  # doctest: +SKIP
        """
        from tqdm.auto import tqdm

        sampling = after or Sampling(self.start(seeds, start))
        state = sampling.state
        if state.vectors.shape[1] != self.decoder.width:
            raise SettingsError(
                f"The chains have vectors of {state.vectors.shape[1]} numbers, those of {self.decoder.name!r} have "
                f"{self.decoder.width}: they were begun with another generator, or another version of it. Start again."
            )
        sampling.state = replace(state, vectors=state.vectors.to(self.decoder.device))
        shown_last: dict[int, Shown] = {}
        done, total, ended = state.step, self.steps, sampling.stopped
        last = total if most is None else min(total, done + inference.check_whole(most, "most", 1, 10**8))
        try:
            with tqdm(total=total, initial=done, desc="sampling", disable=not progress, mininterval=0.5) as bar:
                while sampling.state.step < last and sampling.state.moves:
                    shown_last |= self._step(sampling, on_frame)
                    on_step(sampling)
                    bar.set_postfix(next((shown.told() for shown in shown_last.values()), {}), refresh=False)
                    bar.update()
            sampling.is_finished = sampling.state.step >= total or not sampling.state.moves
        except KeyboardInterrupt:
            sampling.is_finished = False
        sampling.lasts |= {sampling.seeds[row]: shown.frame(row) for row, shown in shown_last.items()}
        for seed, why in sampling.stopped.items():
            if seed not in ended:
                warnings.warn(f"The chain of seed {seed} ended early, at {why}", stacklevel=2)
        return sampling

    def _step(self, sampling: Sampling, on_frame: Callable[[Frame], None]) -> dict[int, Shown]:
        """One step; returns what was seen, by the row of each chain that has a picture."""
        before = sampling.state
        after, shown = self.advance(before)
        rows = [row for row in before.moves if torch.isfinite(shown.images[row]).all()]
        kept = [shown.frame(row) for row in rows if shown.is_kept(row)]
        for frame in kept:
            on_frame(frame)
        sampling.frames += kept
        sampling.probabilities.append(shown.judgement.probability.tolist())
        sampling.state = after
        return dict.fromkeys(rows, shown)


# ---------------------------------------------------------------------------------------------------- checks


def _settings(settings: SamplerSettings | None, changed: dict[str, Any]) -> SamplerSettings:
    known = SamplerSettings.__dataclass_fields__
    if strange := next((name for name in changed if name not in known), None):
        raise unknown_setting("The sampler", strange, list(known))
    return replace(settings or SamplerSettings(), **changed)


def _reason(size: float, step: int) -> str:
    """Why a chain cannot go on after a direction of this mean size; empty if it can."""
    if not math.isfinite(size):
        return f"step {step}: the gradient is not finite. A smaller lr, or another condition or prior, may help."
    if size == 0:
        return f"step {step}: the gradient is zero, so no direction is better than another."
    return ""
