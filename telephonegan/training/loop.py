"""The loop every recipe shares: steps, logging, evaluation, atomic checkpoints and exact resumption."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm.auto import tqdm

from telephonegan.errors import SettingsError, TelephoneganError, WeightsError


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
    """A loss became NaN or infinite; the last checkpoint is still good."""


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
    uninterrupted one would. Ctrl-C saves and returns. Raises TrainingDiverged on NaN and keeps the last checkpoint.
    """
    if steps < 1:
        raise SettingsError(f"steps must be at least 1; {steps} was given.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    done = _resume(recipe, folder)
    started = saved = time.monotonic()
    sums: dict[str, float] = {}
    try:
        for step in tqdm(range(done, steps), initial=done, total=steps, mininterval=5):
            seed_step(seed, step)
            for key, value in recipe.step(step).items():
                sums[key] = sums.get(key, 0.0) + value
            done = step + 1
            if done % log_every == 0:
                means = {key: value / log_every for key, value in sums.items()}
                sums.clear()
                if not all(map(math.isfinite, means.values())):
                    raise TrainingDiverged(f"Step {done}: {means}. The last checkpoint in {folder} is still good.")
                rate = (step + 1) * recipe.batch_size
                _log(folder, {"step": done, "images": rate, "seconds": round(time.monotonic() - started, 1), **means})
            if evaluate_every and done % evaluate_every == 0:
                _log(folder, {"step": done, "evaluation": recipe.evaluate(done, folder)})
            if time.monotonic() - saved > checkpoint_minutes * 60:
                save_checkpoint(recipe, folder, done)
                saved = time.monotonic()
    except KeyboardInterrupt:
        print(f"Stopped at step {done}; run the same command again to go on.")
    save_checkpoint(recipe, folder, done)


def seed_step(seed: int, step: int) -> None:
    """Seed torch's global stream for one step of one run."""
    torch.manual_seed((seed * 1_000_003 + step) & 0x7FFF_FFFF_FFFF_FFFF)


def save_checkpoint(recipe: Recipe, folder: Path, step: int) -> None:
    """Write checkpoint.pt atomically: a crash while saving leaves the previous one."""
    temporary = folder / f"checkpoint.{os.getpid()}.tmp"
    torch.save({"step": step, **{name: part.state_dict() for name, part in recipe.state().items()}}, temporary)
    os.replace(temporary, folder / "checkpoint.pt")


def _resume(recipe: Recipe, folder: Path) -> int:
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    parts = recipe.state()
    if set(parts) != set(checkpoint) - {"step"}:
        raise WeightsError(f"{path} is of another recipe: it holds {sorted(checkpoint)}, this one {sorted(parts)}.")
    for name, part in parts.items():
        part.load_state_dict(checkpoint[name])
    return checkpoint["step"]


def _log(folder: Path, record: dict[str, Any]) -> None:
    with open(folder / "log.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
