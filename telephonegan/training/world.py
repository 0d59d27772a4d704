"""Training all four models of a world, from one data set, within a time limit.

DAMSM, judge and captioner are trained for a fixed number of steps, the generator for the remaining time. Photographs
without captions are captioned by the new captioner and used for the generator only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telephonegan.errors import SettingsError
from telephonegan.training import recipes
from telephonegan.training.exporting import export
from telephonegan.training.launch import time_left, train
from telephonegan.training.pieces import join_file, split_file
from telephonegan.zoo import catalogue

PARTS = ("damsm", "judge", "captioner", "generator")


@dataclass(frozen=True)
class _Run:
    """A training run of a world: the name of its folder, its recipe, the kind of model, and its seed."""

    name: str
    recipe: str
    part: str
    seed: int = 0
    origin: str | None = None  # the run from which it starts


_RUNS = (
    _Run("damsm", "damsm", "damsm"),
    _Run("judge", "damsm", "judge", seed=1),
    _Run("captioner", "captioner", "captioner"),
    _Run("tuned", "captioner", "captioner", origin="captioner"),
    _Run("generator", "attngan", "generator"),
)
_PRESETS = {  # of each run
    "world": {
        **{"damsm": "world", "judge": "world-judge", "captioner": "world", "tuned": "world-tuned"},
        "generator": "world",
    },
    "tiny": {"damsm": "tiny", "judge": "tiny", "captioner": "tiny", "generator": "tiny"},
}


def train_world(
    name: str,
    *,
    data: str | Path,
    run: str | Path,
    settings: Mapping[str, Any] | Sequence[str] = (),
    preset: str = "world",
    damsm: str | Path | None = None,
    judge: str | None = None,
    parts: Iterable[str] | None = None,
    pieces: bool = False,
    cache: str | Path | None = None,
    seed: int = 0,
    minutes: float | None = None,
    evaluate_every: int | None = None,
    **how: Any,
) -> bool:
    """Train the `PARTS` of a world one after the other within `minutes`; returns whether all are done.

    The runs are in sub-folders of `run`, finished models in `run`/models, each called `name`. Calling it again
    continues. `data` is a folder or pack of captioned photographs, `preset` is "world" or "tiny", and `settings` change
    it for single runs: a dictionary of "RUN.KEY", or RUN.KEY=VALUE texts. A given `damsm` (a run's folder or a model's
    name) or `judge` is not trained, nor is a part that is not in `parts`. `pieces` leaves checkpoints in files of at
    most 16 MiB. `how` is device, threads, checkpoint_minutes and command, as `train` takes them. Raises SettingsError
    before anything is written, and what `train` and `export` raise.

    >>> train_world("birds", data="birds.pack", run="runs/birds", minutes=60)  # doctest: +SKIP
    True
    """
    assignments = recipes.assignments_of(settings) if isinstance(settings, Mapping) else list(settings)
    world = _World(
        name=name,
        root=Path(run),
        data=Path(data),
        preset=preset,
        assignments=assignments,
        damsm=damsm,
        parts=frozenset(parts or PARTS) - {part for part, given in (("damsm", damsm), ("judge", judge)) if given},
        cache=Path(cache or Path(run) / "cache"),
        seed=seed,
        evaluate_every=evaluate_every,
        how=how,
    )
    world.check()
    left = time_left(minutes)
    done = False
    try:
        for each in world.runs:
            done = world.train(each, left())
            if not done:
                print(f"{each.name} is not finished. Run the same command again to continue.", flush=True)
                break
        world.export()
    finally:
        if pieces:
            world.split()
    return done


@dataclass(frozen=True)
class _World:
    """The arguments of `train_world`, and the steps it takes."""

    name: str
    root: Path
    data: Path
    preset: str
    assignments: list[str]
    damsm: str | Path | None
    parts: frozenset[str]
    cache: Path
    seed: int
    evaluate_every: int | None
    how: dict[str, Any]

    def check(self) -> None:
        """Raise SettingsError for anything that cannot be trained, or could not be stored afterwards."""
        if not catalogue.is_name(self.name):
            raise SettingsError(f"{self.name!r} cannot name a model: use a-z, 0-9, '.', '_' and '-', as in birds.")
        if self.preset not in _PRESETS:
            raise SettingsError(f"preset must be one of {', '.join(_PRESETS)}; {self.preset!r} was given.")
        names = [run.name for run in _RUNS]
        if unknown := {each.partition(".")[0] for each in self.assignments} - {*names}:
            raise SettingsError(
                f"--set takes RUN.KEY=VALUE with one of {', '.join(names)}; {min(unknown)!r} was given."
            )
        for run in self.runs:
            self.settings(run)
        shipped = catalogue.read_manifest(catalogue.SHIPPED, optional=True)
        if taken := [key for run in self.runs if (key := f"{run.part}/{self.name}") in shipped]:
            raise SettingsError(f"{taken[0]} is the name of a shipped model. Choose another name.")

    @property
    def runs(self) -> list[_Run]:
        """The requested runs, in order."""
        return [run for run in _RUNS if run.part in self.parts and run.name in _PRESETS[self.preset]]

    def settings(self, run: _Run) -> Any:
        """The settings of a run."""
        return recipes.settings_of(run.recipe, _PRESETS[self.preset][run.name], None, self._assigned(run))

    def _assigned(self, run: _Run) -> list[str]:
        return [each.removeprefix(f"{run.name}.") for each in self.assignments if each.startswith(f"{run.name}.")]

    def folder(self, name: str) -> Path:
        return self.root / name

    def train(self, run: _Run, minutes: float | None) -> bool:
        """Train a run, or continue it; returns whether it is finished."""
        folder = self.folder(run.name)
        join_file(folder / "checkpoint.pt")
        if self.is_done(run):
            return True
        if minutes == 0:
            return False
        print(f"{run.name}: {folder}", flush=True)
        return train(
            run.recipe,
            data=self._data(run),
            run=folder,
            settings=self._assigned(run),
            preset=_PRESETS[self.preset][run.name],
            seed=self.seed + run.seed,
            damsm=self.damsm or self.folder("damsm"),
            origin=None if run.origin is None else self.folder(run.origin),
            cache=self.cache,
            minutes=minutes,
            evaluate_every=self.evaluate_every or _measured_every(self.settings(run).steps),
            **self.how,
        )

    def is_done(self, run: _Run) -> bool:
        return self.steps(run.name) >= self.settings(run).steps

    def steps(self, name: str) -> int:
        """The number of steps a run has done."""
        from telephonegan.training.loop import read_checkpoint

        path = self.folder(name) / "checkpoint.pt"
        return read_checkpoint(path)["step"] if path.exists() else 0

    def _data(self, run: _Run) -> Path:
        """A run's data; for the generator, photographs without captions are captioned first."""
        if run.part != "generator" or not self.captioner():
            return self.data
        from telephonegan.captioning import Captioner
        from telephonegan.data.layouts import open_data
        from telephonegan.data.preparing import caption_photographs

        told = self.root / ("told.pack" if self.data.is_file() else "told")
        data = open_data(self.data)
        if told.exists() or not data.uncaptioned():
            return told if told.exists() else self.data
        entry = self._exported(self.captioner(), "captioner")
        return caption_photographs(data, Captioner(entry, self.how.get("device", "auto")), told, progress=True)

    def captioner(self) -> str | None:
        """The last finished run of the captioner, if it is part of this world."""
        done = [run.name for run in self.runs if run.part == "captioner" and self.is_done(run)]
        return done[-1] if done else None

    def export(self) -> None:
        """Write the models trained so far into the folder `models`, in half precision."""
        for part in PARTS:
            begun = [run.name for run in self.runs if run.part == part and self.steps(run.name)]
            if begun:
                self._exported((self.captioner() if part == "captioner" else None) or begun[0], part)

    def _exported(self, name: str, part: str) -> catalogue.Entry:
        entry, _ = export(
            self.folder(name), name=self.name, as_judge=part == "judge", folder=self.root / "models", replace=True
        )
        print(f"{part}/{self.name}: {entry.path}", flush=True)
        return entry

    def split(self) -> None:
        """Split the checkpoints into small files."""
        for run in self.runs:
            path = self.folder(run.name) / "checkpoint.pt"
            if path.exists():
                split_file(path)


def _measured_every(steps: int) -> int:
    return min(1000, max(1, steps // 4))
