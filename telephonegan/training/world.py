"""`telephonegan train world`: all four models of one world of pictures, in the time there is.

DAMSM, judge and captioner are trained by steps, the generator for what is left of the time. Photographs that nobody
described are described by the captioner first, and serve the generator alone.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telephonegan.cli import train as commands
from telephonegan.errors import SettingsError
from telephonegan.training import export, recipes
from telephonegan.training.pieces import join_file, split_file
from telephonegan.zoo import catalogue

PARTS = ("damsm", "judge", "captioner", "generator")


@dataclass(frozen=True)
class _Run:
    """One training run of a world: its folder's name, the recipe, what `export` calls the model, and its seed."""

    name: str
    recipe: str
    part: str
    seed: int = 0
    origin: str | None = None  # the run it starts from


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


def train_world(options: argparse.Namespace) -> int:
    """Train the parts of a world one after the other, as far as the time goes; called again it goes on."""
    world = _World(options)
    try:
        for run in world.runs:
            if not world.train(run):
                print(f"{run.name} is not done; run the same command again to go on.", flush=True)
                break
        world.export()
    finally:
        world.split()
    return 0


class _World:
    """The runs asked for, in their order, and where everything lies."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.root = options, options.run_folder
        self.deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
        self._check()
        given = {part for part in ("damsm", "judge") if getattr(options, part) is not None}
        self.parts = set(options.parts or PARTS) - given
        presets = _PRESETS[options.preset]
        self.runs = [run for run in _RUNS if run.part in self.parts and run.name in presets]
        self.settings = {run.name: self._settings(run) for run in self.runs}
        self._check_free()

    def _check(self) -> None:
        options = self.options
        if options.name is None or options.data is None:
            raise SettingsError(
                "train world needs a name and --data: telephonegan train world birds --data birds.pack …"
            )
        if not catalogue.is_name(options.name):
            raise SettingsError(f"{options.name!r} cannot name a model: use a-z, 0-9, '.', '_' and '-', such as birds.")
        if options.config is not None or options.origin is not None or options.steps is not None:
            raise SettingsError("train world takes --set RUN.KEY=VALUE; leave out --config, --from and --steps.")
        if options.preset not in _PRESETS:
            raise SettingsError(f"A world's preset is one of {', '.join(_PRESETS)}; {options.preset!r} was given.")
        unknown = {each.partition(".")[0] for each in options.set} - {run.name for run in _RUNS}
        if unknown:
            raise SettingsError(
                f"--set takes RUN.KEY=VALUE with one of {', '.join(run.name for run in _RUNS)}; "
                f"{min(unknown)!r} was given."
            )

    def _check_free(self) -> None:
        """A shipped model's name would be refused when all is trained."""
        shipped = catalogue.read_manifest(catalogue.SHIPPED, optional=True)
        if taken := [key for run in self.runs if (key := f"{run.part}/{self.options.name}") in shipped]:
            raise SettingsError(f"{taken[0]} is the name of a shipped model. Choose another name.")

    def _settings(self, run: _Run) -> Any:
        return recipes.settings_of(run.recipe, _PRESETS[self.options.preset][run.name], None, self._assigned(run))

    def _assigned(self, run: _Run) -> list[str]:
        return [each.removeprefix(f"{run.name}.") for each in self.options.set if each.startswith(f"{run.name}.")]

    def folder(self, name: str) -> Path:
        return self.root / name

    def train(self, run: _Run) -> bool:
        """Train one run, or on; whether it is done."""
        folder = self.folder(run.name)
        join_file(folder / "checkpoint.pt")
        if self.is_done(run):
            return True
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return False
        print(f"{run.name}: {folder}", flush=True)
        own = {
            "recipe": run.recipe,
            "run_folder": folder,
            "data": self._data(run),
            "cache": self.options.cache or self.root / "cache",
            "damsm": self.options.damsm or str(self.folder("damsm")),
            "origin": None if run.origin is None else self.folder(run.origin),
            "preset": _PRESETS[self.options.preset][run.name],
            "set": self._assigned(run),
            "seed": self.options.seed + run.seed,
            **{"resume": None, "name": None, "parts": None, "pieces": False, "judge": None},
            "evaluate_every": self.options.evaluate_every or _measured_every(self.settings[run.name].steps),
            "minutes": None if self.deadline is None else max(0.0, self.deadline - time.monotonic()) / 60,
        }
        commands.train(argparse.Namespace(**vars(self.options) | own))
        return self.is_done(run)

    def is_done(self, run: _Run) -> bool:
        return self.steps(run.name) >= self.settings[run.name].steps

    def steps(self, name: str) -> int:
        """How many steps a run has done."""
        from telephonegan.training.loop import read_checkpoint

        path = self.folder(name) / "checkpoint.pt"
        return read_checkpoint(path)["step"] if path.exists() else 0

    def _data(self, run: _Run) -> Path:
        """What a run learns from; for the generator with the captioner's words where people's are missing."""
        if run.part != "generator" or not self.captioner():
            return self.options.data
        from telephonegan.captioning import Captioner
        from telephonegan.data.layouts import open_data
        from telephonegan.data.preparing import caption_photographs

        told = self.root / ("told.pack" if self.options.data.is_file() else "told")
        data = open_data(self.options.data)
        if told.exists() or not data.uncaptioned():
            return told if told.exists() else self.options.data
        entry = self._exported(self.captioner(), "captioner")
        return caption_photographs(data, Captioner(entry, self.options.device), told, progress=True)

    def captioner(self) -> str | None:
        """The captioner's last run that is done, if it is part of this world."""
        done = [run.name for run in self.runs if run.part == "captioner" and self.is_done(run)]
        return done[-1] if done else None

    def export(self) -> None:
        """Write the models there are into the folder `models`, in half precision."""
        for part in PARTS:
            begun = [run.name for run in self.runs if run.part == part and self.steps(run.name)]
            if begun:
                self._exported((self.captioner() if part == "captioner" else None) or begun[0], part)

    def _exported(self, name: str, part: str) -> catalogue.Entry:
        entry = export.exported(self.folder(name), self.options.name, kind=part, folder=self.root / "models")
        print(f"{part}/{self.options.name}: {entry.path}", flush=True)
        return entry

    def split(self) -> None:
        """Split the checkpoints into small files, where that was asked for."""
        if self.options.pieces:
            for run in self.runs:
                path = self.folder(run.name) / "checkpoint.pt"
                if path.exists():
                    split_file(path)


def _measured_every(steps: int) -> int:
    return min(1000, max(1, steps // 4))
