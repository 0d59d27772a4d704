"""The loop every recipe shares: steps, logging, evaluation, atomic checkpoints and exact resumption."""

from __future__ import annotations

import json
import math
import pickle
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm.auto import tqdm

from telephonegan.errors import SettingsError, TelephoneganError, WeightsError
from telephonegan.files import replacing


class Recipe(Protocol):
    """What a training recipe gives to the loop."""

    batch_size: int

    def state(self) -> Mapping[str, Any]:
        """Everything with `state_dict`/`load_state_dict` that a checkpoint must hold."""

    def step(self, step: int) -> dict[str, float]:
        """Do one optimiser step; return the numbers to log."""

    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Measure, and write sample pictures into `folder`."""


class TrainingDiverged(TelephoneganError, RuntimeError):
    """A loss became NaN or infinite; the last checkpoint, where there is one, is still good."""


def run(
    recipe: Recipe,
    folder: str | Path,
    *,
    steps: int,
    seed: int = 0,
    log_every: int = 50,
    evaluate_every: int = 0,
    checkpoint_minutes: float = 5.0,
) -> None:
    """Train `recipe` to `steps`, resuming from `folder`/checkpoint.pt when it is there.

    Every step draws from its own random stream, seeded by (seed, step): a resumed run therefore continues exactly as an
    uninterrupted one would. Ctrl-C ends the step, saves and returns. Raises TrainingDiverged on NaN and keeps the last
    checkpoint, WeightsError when the checkpoint does not fit the recipe.
    """
    check_steps(steps)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    done = _resume(recipe, folder)
    started = saved = time.monotonic()
    recent: list[dict[str, float]] = []
    try:
        for step in tqdm(range(done, steps), initial=done, total=steps, mininterval=5):
            seed_step(seed, step)
            with interrupts_deferred():
                losses = recipe.step(step)
                _check_finite(losses, step, folder)
                done = step + 1
            recent.append(losses)
            if done % log_every == 0:
                seconds = round(time.monotonic() - started, 1)
                _log(folder, {"step": done, "images": done * recipe.batch_size, "seconds": seconds, **_means(recent)})
                recent.clear()
            if evaluate_every and done % evaluate_every == 0:
                _log(folder, {"step": done, "evaluation": recipe.evaluate(done, folder)})
            if time.monotonic() - saved > checkpoint_minutes * 60:
                save_checkpoint(recipe, folder, done)
                saved = time.monotonic()
    except KeyboardInterrupt:
        print(f"Stopped at step {done}; run the same command again to go on.")
    save_checkpoint(recipe, folder, done)


def check_steps(steps: int) -> None:
    """Raise SettingsError for a number of steps below one."""
    if steps < 1:
        raise SettingsError(f"steps must be at least 1; {steps} was given.")


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Hold Ctrl-C back to the end of the block: a step that stops half-way leaves weights of no step."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread is interrupted
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        signal.raise_signal(signal.SIGINT)  # now for whoever handles it, or nobody where it is ignored


def seed_step(seed: int, step: int) -> None:
    """Seed torch's global stream for one step of one run."""
    torch.manual_seed((seed * 1_000_003 + step) & 0x7FFF_FFFF_FFFF_FFFF)


def save_checkpoint(recipe: Recipe, folder: Path, step: int) -> None:
    """Write checkpoint.pt atomically: a crash while saving leaves the previous one."""
    with replacing(folder / "checkpoint.pt") as partial:
        torch.save({"step": step, **{name: part.state_dict() for name, part in recipe.state().items()}}, partial)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what `save_checkpoint` wrote. Raises WeightsError when the file is damaged."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"The checkpoint {path} cannot be read, it is damaged: {error}. Train anew in another folder."
        ) from error


def _resume(recipe: Recipe, folder: Path) -> int:
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0
    checkpoint = read_checkpoint(path)
    parts = recipe.state()
    if set(parts) != set(checkpoint) - {"step"}:
        raise WeightsError(f"{path} is of another recipe: it holds {sorted(checkpoint)}, this one {sorted(parts)}.")
    for name, part in parts.items():
        try:
            part.load_state_dict(checkpoint[name])
        except (RuntimeError, ValueError) as error:
            raise WeightsError(
                f"The checkpoint {path} is of another network: {name} does not fit ({error}). "
                "Go on with the settings it began with, or name another folder."
            ) from error
    return checkpoint["step"]


def _check_finite(losses: Mapping[str, float], step: int, folder: Path) -> None:
    if all(map(math.isfinite, losses.values())):
        return
    kept = f" The last checkpoint in {folder} is still good." if (folder / "checkpoint.pt").exists() else ""
    found = ", ".join(f"{key} {value:.4g}" for key, value in losses.items())
    raise TrainingDiverged(f"Step {step + 1}: {found}. Lower the learning rate.{kept}")


def _means(records: list[dict[str, float]]) -> dict[str, float]:
    return {key: sum(record[key] for record in records) / len(records) for key in records[0]}


def _log(folder: Path, record: dict[str, Any]) -> None:
    with open(folder / "log.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
