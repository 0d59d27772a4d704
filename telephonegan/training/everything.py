"""`telephonegan train all`: DAMSM, the generator it guides, and a captioner, one after the other."""

from __future__ import annotations

import argparse
from pathlib import Path

from telephonegan.cli import train as commands
from telephonegan.errors import SettingsError

_ORDER = ("damsm", "attngan", "captioner")
_WORLD = {"train": 1200, "dev": 100, "test": 100}  # drawn pictures, where the tiny preset is given no data
_WORLD_SIZE = 48


def train_all(options: argparse.Namespace) -> int:
    """Train the three recipes into sub-folders of the run; without --data, the tiny preset draws itself a world."""
    if options.config is not None or options.set or options.origin is not None:
        raise SettingsError("train all takes a preset as it is: leave out --config, --set and --from.")
    root = options.run_folder
    data = options.data or _world(root, options.preset)
    for recipe in _ORDER:
        run = root / recipe
        print(f"{recipe}: {run}", flush=True)
        own = {"recipe": recipe, "run_folder": run, "data": data, "cache": options.cache or root / "cache"}
        commands.train(
            argparse.Namespace(**vars(options) | own | {"damsm": str(root / "damsm"), "resume": None, "name": None})
        )
    print("To play with them, give them a name:")
    for recipe in _ORDER:
        print(f"  telephonegan export {root / recipe} --name {root.name.lower()}")
    return 0


def _world(root: Path, preset: str) -> Path:
    if preset != "tiny":
        raise SettingsError("train all needs --data FOLDER; the preset tiny alone draws its own pictures.")
    from telephonegan.data.shapes import write_world

    folder = root / "world"
    if not folder.exists():
        write_world(folder, **_WORLD, size=_WORLD_SIZE)
    return folder
