"""`telephonegan train`: from a data folder to a trained model, one folder per run."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any

from telephonegan import files
from telephonegan.errors import DataError, SettingsError
from telephonegan.training import recipes, runs
from telephonegan.training.ranges import COUNT, check_ranges

_EXAMPLES = """examples:
  telephonegan train damsm     --data flickr8k --run runs/damsm
  telephonegan train damsm     --data flickr8k --run runs/judge --set backbone=lite2 input_size=160 views=4 --seed 1
  telephonegan train attngan   --data flickr8k --run runs/attngan --damsm runs/damsm
  telephonegan train attngan   --data birds --run runs/birds --damsm attngan-bird --config cfg/bird_attn2.yml
  telephonegan train captioner --data flickr8k --run runs/captioner --set steps=4500
  telephonegan train captioner --data flickr8k --run runs/cider --preset cider --from runs/captioner
  telephonegan train all --preset tiny --run runs/tiny
  telephonegan train world birds --data birds.pack --run runs/birds --minutes 60
  telephonegan train --resume runs/captioner
  telephonegan train attngan   --data flickr8k --run runs/attngan --damsm runs/damsm --minutes 30
  torchrun --nproc-per-node 4 -m telephonegan train damsm --data flickr8k --run runs/damsm --device cuda
A run that was stopped goes on when the same command is given again, or with --resume."""

_KEPT = ("recipe", "data", "run_folder", "cache", "damsm", "origin", "preset", "config", "steps", "seed", "set")
_PATHS = ("data", "run_folder", "cache", "origin", "config")


def add_train(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan train`."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "recipe",
        nargs="?",
        choices=(*recipes.NAMES, "all", "world"),
        help="all: the three, one after the other; world: all models of a world of pictures",
    )
    parser.add_argument("name", nargs="?", help="world: what its models are called, such as birds")
    parser.add_argument("--data", type=Path, help="a folder of captioned photographs, see `telephonegan data check`")
    parser.add_argument("--run", dest="run_folder", type=Path, help="folder for checkpoints, log and samples")
    parser.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on with a run as it was begun; attngan: --steps may be more"
    )
    parser.add_argument("--cache", type=Path, help="folder for packed photographs and features (default: RUN/../cache)")
    parser.add_argument("--damsm", help="attngan: the DAMSM run that guides it, or the name of a DAMSM model")
    parser.add_argument("--judge", help="world: a judge that is there already, so that none is trained")
    parser.add_argument("--parts", nargs="+", choices=("damsm", "judge", "captioner", "generator"), help="world: of it")
    parser.add_argument("--pieces", action="store_true", help="world: leave checkpoints in files of at most 16 MiB")
    parser.add_argument("--from", dest="origin", type=Path, metavar="RUN", help="start with the weights of another run")
    parser.add_argument("--preset", help="cpu (default), gpu, tiny, world; captioner: cider; others: birds, coco, …")
    parser.add_argument("--config", type=Path, metavar="YAML", help="settings of the recipe, or AttnGAN's own file")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the recipe")
    parser.add_argument("--steps", type=int, help="optimiser steps in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--checkpoint-minutes", type=float, default=5.0, help="between two checkpoints (default: 5)")
    parser.add_argument("--minutes", type=float, help="stop after so much time in all, as Ctrl-C would")
    parser.add_argument("--evaluate-every", type=int, metavar="STEPS", help="default: ten times in a run")


def train(options: argparse.Namespace) -> int:
    """Run a recipe to its last step or to the end of its time, or on from its checkpoint."""
    begun = time.monotonic()
    if options.resume is not None:
        options = _resumed(options)
    if options.recipe is None or options.run_folder is None:
        raise SettingsError("What is to be trained, and where? Give a recipe and --run FOLDER, or --resume RUN.")
    options.preset = options.preset or ("world" if options.recipe == "world" else "cpu")
    if options.recipe == "world":
        from telephonegan.training.world import train_world

        return train_world(options)
    if options.name is not None or options.parts or options.pieces or options.judge is not None:
        raise SettingsError("A name, --parts, --pieces and --judge belong to `train world`.")
    if options.recipe == "all":
        from telephonegan.training.everything import train_all

        return train_all(options)
    import torch

    from telephonegan import inference
    from telephonegan.training import devices, distributed

    inference.check_seed(options.seed)
    check_ranges(options, checkpoint_minutes=(0, 1e6))
    if options.minutes is not None:
        check_ranges(options, minutes=(0, 1e6))
    if options.evaluate_every is not None:
        check_ranges(options, evaluate_every=COUNT)
    if options.threads is not None:
        torch.set_num_threads(inference.check_whole(options.threads, "threads", 1, 1024))
    deadline = None if options.minutes is None else begun + 60 * options.minutes
    with distributed.processes(inference.resolve_device(options.device)) as device:
        devices.tune(device)
        run_recipe(options, device, deadline)
    return 0


def _resumed(options: argparse.Namespace) -> argparse.Namespace:
    record = runs.read_record(options.resume / "run.json")
    kept = record.get("options")
    if kept is None:
        raise SettingsError(f"{options.resume} does not tell how it was begun. Give the command it began with.")
    values = {name: Path(kept[name]) if name in _PATHS and kept[name] else kept[name] for name in kept}
    later = {"steps": options.steps} if options.steps is not None else {}
    return argparse.Namespace(**vars(options) | values | {"run_folder": options.resume} | later)


def run_recipe(options: argparse.Namespace, device: Any, deadline: float | None = None) -> None:
    """Build the recipe of these options and train it, on this process's device, to a time of `time.monotonic()`."""
    import torch

    from telephonegan.training import distributed, loop

    settings = recipes.settings_of(options.recipe, options.preset, options.config, options.set)
    if options.steps is not None:
        loop.check_steps(options.steps)
        settings = dataclasses.replace(settings, steps=options.steps) if _has(settings, "steps") else settings
    torch.manual_seed(options.seed)
    sources = _sources(options)
    begun = {"seed": options.seed, **sources.fingerprints()}
    runs.refuse_other(options.run_folder, {"recipe": options.recipe, "settings": dataclasses.asdict(settings), **begun})
    with distributed.main_first():
        recipe = _recipe(options, settings, sources, device)
    if distributed.is_main():
        runs.describe(options.run_folder, options.recipe, recipe, settings, options=_typed(options), **begun)
    if options.origin is not None and not (options.run_folder / "checkpoint.pt").exists():
        _start_from(recipe, options)
    steps = options.steps or getattr(recipe, "steps", None) or settings.steps
    loop.run(
        recipe,
        options.run_folder,
        steps=steps,
        seed=options.seed,
        evaluate_every=options.evaluate_every or max(1, steps // 10),
        checkpoint_minutes=options.checkpoint_minutes,
        deadline=deadline,
    )


def _typed(options: argparse.Namespace) -> dict[str, Any]:
    """What --resume needs; absolute, so that it works from any folder."""
    values = {name: getattr(options, name) for name in _KEPT}
    values |= {name: str(values[name].expanduser().absolute()) for name in _PATHS if values[name] is not None}
    if options.damsm is not None and Path(options.damsm).is_dir():
        values["damsm"] = str(Path(options.damsm).absolute())
    return values


def _has(settings: Any, name: str) -> bool:
    return name in {field.name for field in dataclasses.fields(settings)}


def _start_from(recipe: Any, options: argparse.Namespace) -> None:
    if not hasattr(recipe, "warm_start"):
        raise SettingsError(f"{options.recipe} with preset {options.preset} cannot start from another run.")
    record, checkpoint = runs.read_run(options.origin)
    recipe.warm_start({**checkpoint, "vocabulary": record.get("vocabulary")})


@dataclasses.dataclass(frozen=True)
class _Sources:
    """What a recipe learns from: photographs to train and to measure on and, for attngan, the DAMSM encoders."""

    train: Any
    measured: Any
    matcher: Any = None

    def fingerprints(self) -> dict[str, str]:
        """What tells these sources from others, in run.json."""
        damsm = {} if self.matcher is None else {"damsm": _fingerprint(self.matcher.text, self.matcher.image)}
        return {"data": self.train.fingerprint(), **damsm}


def _sources(options: argparse.Namespace) -> _Sources:
    from telephonegan.data.layouts import open_data

    if options.data is None:
        raise SettingsError(f"train {options.recipe} needs --data FOLDER.")
    data = open_data(options.data)
    measured = "test" if options.recipe == "attngan" and "test" not in data.absent else "dev"
    train, measured = (_usable(data.split(name), _cache(options)) for name in ("train", measured))
    if options.recipe != "attngan":
        return _Sources(train, measured)
    if options.damsm is None:
        raise SettingsError("train attngan needs --damsm RUN: train DAMSM first, it gives the text encoder.")
    return _Sources(train, measured, runs.load_matcher(options.damsm))


def _usable(photos: Any, cache: Path) -> Any:
    """The photographs that can be read; the others are told. What was found is kept, for it takes a while.

    A pack has a checksum of every photograph and is not looked through.
    """
    from tqdm.auto import tqdm

    from telephonegan.training import distributed

    if photos.pack is not None:
        return photos
    broken = [(name, "it is not there") for row, name in enumerate(photos.names) if not photos.is_there(row)]
    there = _without(photos, broken)
    found = cache / f"unreadable-{there.fingerprint()}.json"
    if not found.exists():
        files.make_folder(cache)
        files.replace(found, files.json_bytes(there.readable(progress=distributed.is_main())[1]))
    broken += json.loads(found.read_text(encoding="utf-8"))
    if distributed.is_main():
        for name, why in broken[:20]:
            tqdm.write(f"skipped {name}: {why}")
        if broken:
            tqdm.write(f"{len(broken)} of {len(photos)} photographs cannot be read and are skipped.")
    if len(broken) == len(photos):
        raise DataError(f"None of the {len(photos)} photographs in {photos.folder} can be read.")
    return _without(photos, broken)


def _without(photos: Any, broken: list) -> Any:
    lost = {name for name, _ in broken}
    return photos.take([row for row, name in enumerate(photos.names) if name not in lost])


def _fingerprint(*nets: Any) -> str:
    digest = hashlib.sha256()
    for net in nets:
        for tensor in net.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:8]


def _recipe(options: argparse.Namespace, settings: Any, sources: _Sources, device: Any) -> Any:
    cls = recipes.recipe_class(options.recipe, settings)
    parts = [sources.train, sources.measured, *([] if sources.matcher is None else [sources.matcher])]
    return cls(*parts, settings, _cache(options), device)


def _cache(options: argparse.Namespace) -> Path:
    return options.cache or options.run_folder.parent / "cache"
