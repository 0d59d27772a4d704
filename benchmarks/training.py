"""Training, preset by preset: pictures per second of whole steps, of loading alone, and peak memory.

Run it with `python benchmarks/training.py [PRESET …]`, such as `attngan/cpu`. It trains on drawn pictures, a process of
its own for each preset. Loading must be faster than the steps, or the network waits for data.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from telephonegan.data.layouts import read_data
from telephonegan.data.shapes import write_world
from telephonegan.training import loop, recipes, runs

PRESETS = ("damsm/cpu", "damsm/tiny", "attngan/cpu", "attngan/tiny", "attngan/birds", "captioner/cpu", "captioner/tiny")
_WORLD = {"train": 128, "dev": 8, "test": 8}
_STEPS = 3
_SMALLER = {"attngan/birds": ["batch_size=4"]}  # for this machine's memory and patience


def loading(recipe: Any) -> Callable[[int], Any]:
    """What a recipe does to get one batch, and nothing else."""
    if hasattr(recipe, "batches"):
        return recipe.batches.take
    if hasattr(recipe, "photos"):  # the GAN: pixels and sentences lie in memory

        def draw(step: int) -> Any:
            rows = torch.randint(len(recipe.photos), (recipe.batch_size,))
            return recipe.photos[rows].float(), recipe.text.draw(rows)

        return draw
    if hasattr(recipe, "draw"):
        return lambda step: recipe.draw()
    return lambda step: recipe.sight.bank[
        torch.zeros(recipe.batch_size, dtype=torch.long), torch.randint(len(recipe.train), (recipe.batch_size,))
    ]


def rate(compute: Callable[[int], Any], batch: int, steps: int) -> float:
    """Pictures per second over `steps` batches, after one to warm up."""
    for step in range(steps + 1):
        if step == 1:
            started = time.perf_counter()
        loop.seed_step(0, step)
        compute(step)
    return batch * steps / (time.perf_counter() - started)


def measure(preset: str, world: Path) -> str:
    """One line of the table."""
    name, _, kind = preset.partition("/")
    settings = recipes.settings_of(name, kind, None, _SMALLER.get(preset, []))
    parts: list[Any] = [read_data(world, "train"), read_data(world, "test")]
    if name == "attngan":
        matcher = runs.load_matcher("flickr8k")
        matcher.input_size = None  # whatever it was trained at
        parts.append(matcher)
    recipe = recipes.recipe_class(name, settings)(*parts, settings, world / "cache")
    loaded = rate(loading(recipe), recipe.batch_size, 4 * _STEPS)
    stepped = rate(recipe.step, recipe.batch_size, _STEPS)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return f"{preset:16}{recipe.batch_size:6}{stepped:10.1f}{loaded:12.0f}{loaded / stepped:8.1f}{memory:8.2f}"


def main(presets: list[str]) -> None:
    if len(presets) == 2 and Path(presets[1]).is_dir():
        print(measure(presets[0], Path(presets[1])))
        return
    print(f"{'preset':16}{'batch':>6}{'steps':>10}{'loading':>12}{'ratio':>8}{'memory':>8}")
    print(f"{'':22}{'img/s':>10}{'img/s':>12}{'':8}{'GB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        world = write_world(Path(folder) / "world", **_WORLD, size=160)
        for preset in presets or PRESETS:
            done = subprocess.run([sys.executable, __file__, preset, world], capture_output=True, text=True)
            print(done.stdout.strip() or f"{preset}: {done.stderr.strip().splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
