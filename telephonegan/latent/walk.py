"""A walk through latent space: a picture, how far it was moved along each axis, locks, undo, and a text to share it.

Moves add up, so a walk is its start and the steps made under each set of locks; their order makes no difference.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

import numpy as np

from telephonegan.errors import SettingsError, TelephoneganError
from telephonegan.generation import Generator
from telephonegan.images import to_tensor
from telephonegan.inference import is_number
from telephonegan.latent.axes import AxisSet
from telephonegan.latent.features import Features
from telephonegan.latent.measure import standard_scores
from telephonegan.results import Picture

MOST = 20.0  # σ along one axis
_STEPS = 1000  # steps are kept in thousandths of σ, so that a shared text restores them exactly
_VERSION = "tg1"

Locks = frozenset[str]


@dataclass(frozen=True)
class State:
    """Where a walk stands.

    `seed` draws the start, unless `start` holds latents of its own, such as those of an inverted photograph. `text` is
    the caption, "" for a generator without text. `steps` are thousandths of σ by the locks they were made under and the
    feature; `locked` are the present locks.
    """

    seed: int = 0
    text: str = ""
    steps: Mapping[Locks, Mapping[str, int]] = field(default_factory=dict)
    locked: Locks = frozenset()
    start: Mapping[str, np.ndarray] | None = None

    def total(self, name: str) -> float:
        """How far the picture was moved along a feature, in σ, over all locks."""
        return sum(steps.get(name, 0) for steps in self.steps.values()) / _STEPS

    def before(self, name: str) -> State:
        """The state without the steps that were made while a feature was locked, none of which should have moved it."""
        return replace(self, steps={locks: made for locks, made in self.steps.items() if name not in locks})

    def part(self, share: float) -> State:
        """The state on the straight way here, from 0 for the start to 1 for this one."""
        steps = {
            locks: {name: round(share * step) for name, step in made.items()} for locks, made in self.steps.items()
        }
        return replace(self, steps=_cleaned(steps))


class Walk:
    """A generator, its axes, and a state that can be changed, undone and shared. It has no widgets.

    Raises SettingsError for axes of another model.

    >>> walk = Walk(Generator.load("faces"), AxisSet.load("faces"), seed=3)  # doctest: +SKIP
    >>> walk.lock("sex")  # doctest: +SKIP
    >>> walk.set("age", 2.0)  # doctest: +SKIP
    >>> walk.picture().save("older.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        generator: Generator,
        axes: AxisSet,
        *,
        seed: int = 0,
        text: str = "",
        start: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        axes.check_model(generator.sha256)
        generator.encode(text)
        self.generator, self.axes = generator, axes
        self._past: list[State] = []
        self._future: list[State] = []
        self.state = State(seed=seed, text=text, start=None if start is None else _rounded(start))
        self.latents(State(seed, text, start=self.state.start))  # says now if they do not fit

    # ------------------------------------------------------------------------------------------------ changing

    def set(self, name: str, sigmas: float) -> None:
        """Move along a feature to `sigmas` from the start, holding what is locked. Raises SettingsError."""
        self._go(self.moved(name, sigmas))

    def moved(self, name: str, sigmas: float) -> State:
        """The present state with one feature moved as `set` does; the walk stays where it is. Raises SettingsError."""
        self.axes.index(name)
        if not is_number(sigmas) or not abs(sigmas) <= MOST:
            raise SettingsError(f"A step is from -{MOST:g} to {MOST:g} σ; {sigmas!r} was given for {name}.")
        if name in self.state.locked:
            raise SettingsError(f"{name} is locked. Unlock it to move it.")
        if name in (disabled := self.disabled()):
            raise SettingsError(f"{name} cannot move: {disabled[name]}.")
        here = dict(self.state.steps.get(self.state.locked, {}))
        here[name] = here.get(name, 0) + round(sigmas * _STEPS) - round(self.state.total(name) * _STEPS)
        return replace(self.state, steps=_cleaned({**self.state.steps, self.state.locked: here}))

    def step(self, name: str, sigmas: float = 0.4) -> None:
        """Move along a feature by so many σ, as the + and − of the original do."""
        self.set(name, self.state.total(name) + sigmas)

    def lock(self, name: str, locked: bool = True) -> None:
        """Hold a feature, or let it go. The picture stays; later moves are made differently.

        Raises SettingsError for the last one that is free.
        """
        self.axes.index(name)
        wanted = self.state.locked | {name} if locked else self.state.locked - {name}
        self.axes.disentangled(sorted(wanted))
        if wanted != self.state.locked:
            self._go(replace(self.state, locked=wanted))

    def reset(self) -> None:
        """Back to the start, with the same locks."""
        self._go(replace(self.state, steps={}))

    def random(self, seed: int, text: str | None = None) -> None:
        """Another start, and another caption if one is given. The steps and locks are kept."""
        text = self.state.text if text is None else text
        self.generator.encode(text)
        self._go(replace(self.state, seed=seed, text=text, start=None))

    def retext(self, text: str) -> None:
        """Another caption, with the same noise. Raises TextError for one without known words."""
        self.generator.encode(text)
        self._go(replace(self.state, text=text))

    def undo(self) -> bool:
        """Take back the last change; False if there is none."""
        if not self._past:
            return False
        self._future.append(self.state)
        self.state = self._past.pop()
        return True

    def redo(self) -> bool:
        """Make the change again that was taken back; False if there is none."""
        if not self._future:
            return False
        self._past.append(self.state)
        self.state = self._future.pop()
        return True

    @property
    def can_undo(self) -> bool:
        """Whether there is a change to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a change that was taken back."""
        return bool(self._future)

    def _go(self, state: State) -> None:
        self.latents(state)
        self._past.append(self.state)
        self._future.clear()
        self.state = state

    # ------------------------------------------------------------------------------------------------ looking

    def disabled(self) -> dict[str, str]:
        """The features that cannot move under the present locks, and why."""
        return self.axes.disentangled(sorted(self.state.locked))[1]

    def latents(self, state: State | None = None) -> dict[str, np.ndarray]:
        """The latents of the picture, by part."""
        state = self.state if state is None else state
        drawn = {name: part[0].cpu().numpy() for name, part in self.generator.latents([state.seed]).items()}
        latents = drawn | dict(state.start or {})
        for locks, steps in sorted(state.steps.items(), key=lambda item: sorted(item[0])):
            latents = self.axes.move(latents, {n: s / _STEPS for n, s in steps.items()}, sorted(locks))
        self.generator.checked_latents([latents], 1)
        return latents

    def picture(self, state: State | None = None) -> Picture:
        """The picture of the present state, or of another one."""
        state = self.state if state is None else state
        return self.generator([state.text], seeds=[state.seed], latents=[self.latents(state)])[0]

    def start(self) -> Picture:
        """The picture before any move."""
        return self.picture(replace(self.state, steps={}))

    def sketch(self, state: State | None = None) -> Picture | None:
        """The picture in a lower resolution, if this generator can paint that faster; else None."""
        state = self.state if state is None else state
        return self.generator.sketch(state.text, seed=state.seed, latents=self.latents(state))

    def scores(self, features: Features, state: State | None = None) -> dict[str, float]:
        """The scores of the picture by name, as standard deviations from the mean of random pictures.

        `features` are those of `latent.measure.features_of(axes)`. The change since `start` is what a move really did.

        >>> walk.scores(features_of(walk.axes))["age"]  # doctest: +SKIP
        1.7
        """
        image = to_tensor([self.picture(state).image], self.generator.size).to(self.generator.device)
        return dict(zip(self.axes.names, standard_scores(self.axes, features, image)[0].tolist(), strict=True))

    def frames(self, name: str, sigmas: Iterable[float]) -> list[Picture]:
        """Pictures with one feature moved to each of these places, under the present locks; the state stays."""
        states = [self.moved(name, each) for each in sigmas]
        texts, seeds = [state.text for state in states], [state.seed for state in states]
        return self.generator(texts, seeds=seeds, latents=[self.latents(state) for state in states])

    # ------------------------------------------------------------------------------------------------ sharing

    def share(self, state: State | None = None) -> str:
        """The present state, or another one, as one short line of text: generator, seed, steps and locks.

        >>> walk.share()  # doctest: +SKIP
        'tg1;faces;3;;age=2@sex;sex;'
        """
        state = self.state if state is None else state
        parts = [
            ",".join(f"{quote(name, safe='')}={steps / _STEPS:g}" for name, steps in sorted(made.items()))
            + (f"@{_joined(locks)}" if locks else "")
            for locks, made in sorted(state.steps.items(), key=lambda item: sorted(item[0]))
        ]
        start = "" if state.start is None else "&".join(f"{n}={_packed(v)}" for n, v in sorted(state.start.items()))
        head = [_VERSION, quote(self.generator.name, safe=""), str(state.seed), quote(state.text, safe="")]
        return ";".join([*head, "|".join(parts), _joined(state.locked), start])

    def restore(self, shared: str) -> None:
        """Go to a state that `share` wrote. It can be undone. Raises SettingsError for any other text."""
        self._go(self.read(shared))

    def read(self, shared: str) -> State:
        """The state of a shared text, checked. Raises SettingsError."""
        try:
            version, *parts = shared.strip().split(";")
            if version != _VERSION or len(parts) != 6:
                raise ValueError("`share` writes such texts, and this is none of them")
            generator, seed, text, moves, locks, start = parts
            if unquote(generator) != self.generator.name:
                raise ValueError(f"it belongs to the generator {unquote(generator)!r:.60}")
            state = State(
                seed=int(seed),
                text=unquote(text),
                steps=_cleaned(dict(_moves(part) for part in moves.split("|") if part)),
                locked=_split(locks),
                start={n: _unpacked(v) for n, v in (p.split("=", 1) for p in start.split("&"))} if start else None,
            )
            self.generator.encode(state.text)
            if state.locked:
                self.axes.disentangled(sorted(state.locked))
            if any(abs(state.total(name)) > MOST for name in self.axes.names):
                raise ValueError(f"it moves further than {MOST:g} σ")
            self.latents(state)
        except (ValueError, binascii.Error, TelephoneganError) as error:
            raise SettingsError(f"{shared!r:.80} does not describe a walk with these axes: {error}.") from error
        return state


def _cleaned(steps: Mapping[Locks, Mapping[str, int]]) -> dict[Locks, dict[str, int]]:
    kept = {locks: {name: step for name, step in made.items() if step} for locks, made in steps.items()}
    return {locks: made for locks, made in kept.items() if made}


def _moves(part: str) -> tuple[Locks, dict[str, int]]:
    made, _, locks = part.partition("@")
    pairs = (each.split("=", 1) for each in made.split(","))
    return _split(locks), {unquote(name): round(float(sigmas) * _STEPS) for name, sigmas in pairs}


def _joined(names: Iterable[str]) -> str:
    return ".".join(quote(name, safe="").replace(".", "%2E") for name in sorted(names))


def _split(names: str) -> Locks:
    return frozenset(unquote(name) for name in names.split(".") if name)


def _rounded(start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Half precision, which a shared text has room for."""
    return {name: np.asarray(part, dtype=np.float16).astype(np.float32) for name, part in start.items()}


def _packed(part: np.ndarray) -> str:
    return base64.urlsafe_b64encode(np.asarray(part, dtype="<f2").tobytes()).decode().rstrip("=")


def _unpacked(text: str) -> np.ndarray:
    content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    return np.frombuffer(content, dtype="<f2").astype(np.float32)
