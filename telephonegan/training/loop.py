"""The training loop of all recipes: steps, logging, evaluation, atomic checkpoints and exact resumption."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch

from telephonegan.errors import SettingsError, TelephoneganError, WeightsError
from telephonegan.files import locked, make_folder, replacing
from telephonegan.inference import CoreWatch
from telephonegan.training import distributed
from telephonegan.training.journal import Journal

_ADVICE = "Lower the learning rate."
_watch = CoreWatch("step")


class Recipe(Protocol):
    """The interface of a training recipe.

    It may also have `collapse(means)`: a message if the logged numbers show that the run no longer learns, else None;
    and `device`, if that is not the CPU.
    """

    batch_size: int
    seed: int  # the run's; set by `run` before the first step

    def state(self) -> Mapping[str, Any]:
        """Everything a checkpoint must contain, as objects with `state_dict` and `load_state_dict`."""

    def step(self, step: int) -> dict[str, float]:
        """Do one optimiser step; return the numbers to log."""

    def evaluate(self, step: int, folder: Path) -> dict[str, float]:
        """Return scores, and write samples into `folder`."""


class TrainingDiverged(TelephoneganError, RuntimeError):
    """A loss or weight became NaN or infinite, or the run no longer learns. The last checkpoint is still good."""


def run(
    recipe: Recipe,
    folder: str | Path,
    *,
    steps: int,
    seed: int = 0,
    log_every: int = 50,
    evaluate_every: int = 0,
    checkpoint_minutes: float = 5.0,
    deadline: float | None = None,
) -> bool:
    """Train `recipe` to `steps`, resuming from `folder`/checkpoint.pt if it exists.

    Every step has its own random stream, seeded by (seed, step), so a resumed run continues exactly as an uninterrupted
    one would. Returns True when the run is complete. Ctrl-C or the `deadline` (in terms of `time.monotonic()`) finishes
    the step, saves and returns False. Numbers go to log.jsonl and, if TensorBoard is installed, to its event files; of
    several processes only one writes. Raises TrainingDiverged on NaN or a collapse, keeping the last checkpoint,
    WeightsError if the checkpoint does not fit the recipe, OutputError if another process trains in that folder.
    """
    check_steps(steps)
    distributed.check_batch(recipe.batch_size)
    folder = Path(folder)
    make_folder(folder)
    # Processes that train together are one run, whose folder the main process locks for all.
    with locked(folder / ".lock") if distributed.is_main() else nullcontext():
        recipe.seed = seed
        found = _resume(recipe, folder)
        with Journal(folder, recipe.batch_size, write=distributed.is_main()) as journal:
            done, finished = _steps(
                recipe,
                folder,
                journal,
                range(found, steps),
                seed,
                log_every,
                evaluate_every,
                checkpoint_minutes,
                math.inf if deadline is None else deadline,
            )
        if done > found or not done:
            save_checkpoint(recipe, folder, done)
    return finished


def _steps(
    recipe: Recipe,
    folder: Path,
    journal: Journal,
    wanted: range,
    seed: int,
    log_every: int,
    evaluate_every: int,
    checkpoint_minutes: float,
    deadline: float,
) -> tuple[int, bool]:
    """Train; return the number of steps done, and whether the run is complete."""
    done, saved, warning = wanted.start, time.monotonic(), None
    device = getattr(recipe, "device", torch.device("cpu"))
    recent: list[dict[str, float]] = []
    try:
        for step in journal.watched(wanted):
            if _is_past(deadline):
                raise KeyboardInterrupt
            seed_step(seed, step)
            with _watch(device), interrupts_deferred():
                losses = recipe.step(step)
                _check_finite(losses, step, folder)
                done = step + 1
            recent.append(losses)
            if done % log_every == 0:
                means = _means(recent)
                recent.clear()
                journal.scalars(done, means)
                warning = _collapse(recipe, means, warning, folder)
            if evaluate_every and done % evaluate_every == 0 and distributed.is_main():
                _check_weights(recipe, folder, done)
                journal.evaluation(done, recipe.evaluate(done, folder))
            # Do not replace the last good checkpoint while the run may be collapsing.
            if warning is None and time.monotonic() - saved > checkpoint_minutes * 60:
                save_checkpoint(recipe, folder, done)
                saved = time.monotonic()
    except KeyboardInterrupt:
        journal.say(f"Stopped at step {done}; run the same command again to continue.")
        return done, False
    return done, True


def _is_past(deadline: float) -> bool:
    """Whether the time is up; processes that train together agree on the answer."""
    return math.isfinite(deadline) and distributed.total(time.monotonic() >= deadline) > 0


def check_steps(steps: int) -> None:
    """Raise SettingsError for a number of steps below one."""
    if steps < 1:
        raise SettingsError(f"steps must be at least 1; {steps} was given.")


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Defer Ctrl-C and SIGTERM to the end of the block, because half a step leaves inconsistent weights."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread is interrupted
        yield
        return
    pressed: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, frame: pressed.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if distributed.total(len(pressed)):  # processes that train together stop together
        signal.raise_signal(pressed[-1] if pressed else signal.SIGINT)  # now with the original handlers


def seed_step(seed: int, step: int) -> None:
    """Seed torch's global stream for one step of one run."""
    torch.manual_seed((seed * 1_000_003 + step) & 0x7FFF_FFFF_FFFF_FFFF)


def save_checkpoint(recipe: Recipe, folder: Path, step: int) -> None:
    """Write checkpoint.pt atomically: if saving crashes, the previous one is still there.

    If a weight is not finite, raises TrainingDiverged and keeps the previous one.
    """
    if not distributed.is_main():
        return
    parts = _check_weights(recipe, folder, step)
    with replacing(folder / "checkpoint.pt") as partial:
        try:
            torch.save({"step": step, **parts}, partial)
        except RuntimeError as error:  # what torch raises when it cannot write
            raise OSError(f"the disk may be full ({error})") from error


def _check_weights(recipe: Recipe, folder: Path, step: int) -> dict[str, Any]:
    """The state of every part. Raises TrainingDiverged if a number in it is not finite."""
    parts = {name: part.state_dict() for name, part in recipe.state().items()}
    broken = next((name for name, part in parts.items() if not _all_finite(part)), None)
    if broken is not None:
        raise TrainingDiverged(f"After step {step} the weights of {broken} are not finite. {_ADVICE}{_kept(folder)}")
    return parts


def _all_finite(part: Any) -> bool:
    if isinstance(part, Mapping):
        return all(map(_all_finite, part.values()))
    if isinstance(part, torch.Tensor):
        return not part.is_floating_point() or bool(part.isfinite().all())
    return True


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint: `step`, and the state dict of each part. Raises WeightsError for an invalid file."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a damaged file
        raise WeightsError(
            f"The checkpoint {path} is damaged and cannot be read: {error}. Train in another folder."
        ) from error
    parts = found if isinstance(found, dict) else {}
    step = parts.get("step")
    if type(step) is not int or step < 0 or not all(isinstance(parts[name], dict) for name in parts if name != "step"):
        raise WeightsError(f"{path} is not a checkpoint of a training run. Train in another folder.")
    return found


def _resume(recipe: Recipe, folder: Path) -> int:
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0
    checkpoint = read_checkpoint(path)
    parts = recipe.state()
    if set(parts) != set(checkpoint) - {"step"}:
        raise WeightsError(
            f"{path} is from another recipe: it has {sorted(checkpoint)}, this recipe needs {sorted(parts)}."
        )
    for name, part in parts.items():
        try:
            part.load_state_dict(checkpoint[name])
        except (RuntimeError, ValueError) as error:
            raise WeightsError(
                f"The checkpoint {path} is from another network: {name} does not fit ({error}). "
                "Resume with the original settings, or choose another folder."
            ) from error
    return checkpoint["step"]


def _check_finite(losses: Mapping[str, float], step: int, folder: Path) -> None:
    if all(map(math.isfinite, losses.values())):
        return
    found = ", ".join(f"{key} {value:.4g}" for key, value in losses.items())
    raise TrainingDiverged(f"Step {step + 1}: {found}. {_ADVICE}{_kept(folder)}")


def _collapse(recipe: Recipe, means: dict[str, float], before: str | None, folder: Path) -> str | None:
    """The recipe's warning. Raises TrainingDiverged for the second warning in a row."""
    found = recipe.collapse(means) if hasattr(recipe, "collapse") else None
    if found is not None and before is not None:
        raise TrainingDiverged(f"{found} {_ADVICE}{_kept(folder)}")
    return found


def _kept(folder: Path) -> str:
    return f" The last checkpoint in {folder} is still good." if (folder / "checkpoint.pt").exists() else ""


def _means(records: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each loss over the steps that have it."""
    names = dict.fromkeys(name for record in records for name in record)
    given = {name: [record[name] for record in records if name in record] for name in names}
    return {name: sum(values) / len(values) for name, values in given.items()}
