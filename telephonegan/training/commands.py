"""`telephonegan train` and `telephonegan export`: from a data folder to a named model, one folder per run."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any

from telephonegan import files
from telephonegan.errors import DataError, SettingsError, WeightsError

RECIPES = ("captioner", "damsm", "attngan")
_ORIGIN = ("seed", "data", "damsm", "vocabulary")  # beside recipe and settings; absent in the oldest run.json
_EXAMPLES = """examples:
  telephonegan train damsm     --data flickr8k --run runs/damsm
  telephonegan train damsm     --data flickr8k --run runs/judge --set backbone=lite2 input_size=160 views=4 --seed 1
  telephonegan train attngan   --data flickr8k --run runs/attngan --damsm runs/damsm --preset cpu
  telephonegan train captioner --data flickr8k --run runs/captioner --set steps=4500
  telephonegan export runs/attngan --name flickr8k --damsm-name flickr8k
A run that was stopped goes on when the same command is given again."""


def add_train(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan train`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("recipe", choices=RECIPES)
    parser.add_argument(
        "--data", type=Path, required=True, help="a Flickr8k folder: images/, captions.txt, train.txt, …"
    )
    parser.add_argument(
        "--run", dest="run_folder", type=Path, required=True, help="folder for checkpoints, log and samples"
    )
    parser.add_argument("--cache", type=Path, help="folder for packed photographs and features (default: RUN/../cache)")
    parser.add_argument("--damsm", type=Path, help="attngan: the DAMSM run that guides it")
    parser.add_argument("--preset", choices=("cpu", "gpu"), default="cpu", help="attngan: 64 or 128 px")
    parser.add_argument("--steps", type=int, help="optimiser steps in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="attngan: cpu or cuda")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the recipe")


def train(options: argparse.Namespace) -> int:
    """Run a recipe to its last step, or on from its checkpoint."""
    import torch

    from telephonegan import inference
    from telephonegan.training import loop

    inference.check_seed(options.seed)
    if options.threads is not None:
        torch.set_num_threads(inference.check_whole(options.threads, "threads", 1, 1024))
    settings = changed(_defaults(options), options.set)
    if options.steps is not None and hasattr(settings, "steps"):
        settings = dataclasses.replace(settings, steps=options.steps)
    steps = getattr(settings, "steps", 10_000 if options.steps is None else options.steps)
    loop.check_steps(steps)
    torch.manual_seed(options.seed)
    sources = _sources(options)
    origin = {"seed": options.seed, **sources.fingerprints()}
    refuse_other(options.run_folder, {"recipe": options.recipe, "settings": dataclasses.asdict(settings), **origin})
    recipe = _recipe(options, settings, sources)
    describe(options.run_folder, options.recipe, recipe, settings, **origin)
    loop.run(recipe, options.run_folder, steps=steps, seed=options.seed, evaluate_every=max(1, steps // 10))
    return 0


def _defaults(options: argparse.Namespace) -> Any:
    if options.recipe == "captioner":
        from telephonegan.training.captioner import CaptionerSettings

        return CaptionerSettings()
    if options.recipe == "damsm":
        from telephonegan.training.damsm import DamsmSettings

        return DamsmSettings()
    from telephonegan.training.attngan import PRESETS

    return PRESETS[options.preset]


@dataclasses.dataclass(frozen=True)
class _Sources:
    """What a recipe learns from: photographs to train and to measure on and, for attngan, the DAMSM encoders."""

    train: Any
    measured: Any
    matching: Any = None

    def fingerprints(self) -> dict[str, str]:
        """What tells these sources from others, in run.json."""
        damsm = {} if self.matching is None else {"damsm": _fingerprint(self.matching.text, self.matching.image)}
        return {"data": self.train.fingerprint(), **damsm}


def _sources(options: argparse.Namespace) -> _Sources:
    from telephonegan.training.data import read_flickr8k

    if options.recipe != "attngan":
        return _Sources(read_flickr8k(options.data, "train"), read_flickr8k(options.data, "dev"))
    if options.damsm is None:
        raise SettingsError("train attngan needs --damsm RUN: train DAMSM first, it gives the text encoder.")
    matching = load_matching(options.damsm)
    return _Sources(read_flickr8k(options.data, "train"), read_flickr8k(options.data, "test"), matching)


def _fingerprint(*nets: Any) -> str:
    digest = hashlib.sha256()
    for net in nets:
        for tensor in net.state_dict().values():
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:8]


def _recipe(options: argparse.Namespace, settings: Any, sources: _Sources) -> Any:
    cache = options.cache or options.run_folder.parent / "cache"
    if options.recipe == "captioner":
        from telephonegan.training.captioner import CaptionerRecipe

        return CaptionerRecipe(sources.train, sources.measured, settings, cache)
    if options.recipe == "damsm":
        from telephonegan.training.damsm import DamsmRecipe

        return DamsmRecipe(sources.train, sources.measured, settings, cache)
    from telephonegan.training.attngan import GanRecipe

    return GanRecipe(sources.train, sources.measured, sources.matching, settings, cache, options.device)


def changed(settings: Any, assignments: list[str]) -> Any:
    """Return the settings dataclass with KEY=VALUE texts applied; SettingsError lists the keys there are."""
    kinds = {field.name: type(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or key not in kinds:
            raise SettingsError(f"No setting is called {key!r}; there are {', '.join(kinds)}. Write KEY=VALUE.")
        try:
            values[key] = _READERS[kinds[key]](text)
        except (KeyError, ValueError):
            raise SettingsError(f"{key} is {_ALLOWED[kinds[key]]}; {text!r} was given.") from None
    return dataclasses.replace(settings, **values)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


_READERS = {bool: {"True": True, "False": False}.__getitem__, int: int, float: _finite, str: str}
_ALLOWED = {bool: "True or False", int: "a whole number", float: "a finite number"}


def describe(run: Path, recipe_name: str, recipe: Any, settings: Any, **origin: Any) -> None:
    """Write run.json: what `export` and later runs need to know. A run keeps what it began with, see `refuse_other`."""
    record = {
        "recipe": recipe_name,
        "settings": dataclasses.asdict(settings),
        "network": recipe.network(),
        "vocabulary": recipe.vocabulary.words,
        "command": command_line(),
        **origin,
    }
    refuse_other(run, record)
    path = run / "run.json"
    if not path.exists():
        files.make_folder(run)
        files.replace(path, files.json_bytes(record))


def refuse_other(run: Path, record: dict[str, Any]) -> None:
    """Raise SettingsError when the run in this folder began otherwise; what its run.json does not tell is accepted."""
    path = run / "run.json"
    if not path.exists():
        return
    known = _read_record(path)
    if known["recipe"] != record["recipe"]:
        raise SettingsError(f"{run} is a {known['recipe']} run, no {record['recipe']} run; name another folder.")
    differing = [key for key, value in record["settings"].items() if known["settings"].get(key) != value]
    differing += [key for key in _ORIGIN if key in known and key in record and known[key] != record[key]]
    if differing:
        raise SettingsError(
            f"{run} began with other values of: {', '.join(differing)}. "
            "Give the command it began with to go on, or name another folder."
        )


def command_line() -> str:
    """The command being run, quoted for a shell."""
    return shlex.join(["telephonegan", *sys.argv[1:]])


def without_places(command: str) -> str:
    """The command with the last part only of each absolute path: what may be published with a model.

    >>> without_places("telephonegan train damsm --data /home/ann/flickr8k --run runs/damsm")
    'telephonegan train damsm --data flickr8k --run runs/damsm'
    """
    return shlex.join(_without_place(argument) for argument in shlex.split(command))


def _without_place(argument: str) -> str:
    option, equals, value = argument.rpartition("=")
    return option + equals + (Path(value).name if Path(value).is_absolute() else value)


def read_run(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return run.json and the checkpoint of a run folder."""
    from telephonegan.training.loop import read_checkpoint

    missing = [name for name in ("run.json", "checkpoint.pt") if not (run / name).exists()]
    if missing:
        raise DataError(f"{run} has no {' and no '.join(missing)}; it is not the folder of a training run.")
    return (
        _read_record(run / "run.json"),
        read_checkpoint(run / "checkpoint.pt"),
    )


def _read_record(path: Path) -> dict[str, Any]:
    needed = {"recipe", "settings", "network", "vocabulary", "command"}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = needed - record.keys()
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error}. Name another folder, or begin the run again.") from error
    if missing:
        raise DataError(f"{path} tells nothing of {', '.join(sorted(missing))}. Name another folder.")
    return record


def load_matching(run: Path) -> Any:
    """The encoders of a DAMSM run, frozen."""
    from telephonegan.models.damsm import ImageEncoder, TextEncoder
    from telephonegan.text import Vocabulary
    from telephonegan.training.attngan import Matching

    record, checkpoint = read_run(run)
    if record["recipe"] != "damsm":
        raise WeightsError(f"{run} is a {record['recipe']} run; a DAMSM run is needed.")
    vocabulary = Vocabulary(record["vocabulary"])
    text = TextEncoder(len(vocabulary), **record["network"]["text"]).eval().requires_grad_(False)
    text.load_state_dict(checkpoint["text_encoder"])
    image = ImageEncoder(**record["network"]["image"]).eval().requires_grad_(False)
    image.load_state_dict(checkpoint["image_encoder"])
    return Matching(text, image, vocabulary, record["settings"]["input_size"])


def add_export(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan export`."""
    parser.epilog = "example:\n  telephonegan export runs/attngan --name mine --damsm-name flickr8k"
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of a training run")
    parser.add_argument("--name", required=True, help="name of the model, such as flickr8k")
    parser.add_argument("--kind", choices=("judge",), help="register a DAMSM run as a judge")
    parser.add_argument("--damsm-name", help="a generator's DAMSM model (default: the same name)")
    parser.add_argument("--folder", type=Path, help="where to (default: your own models)")
    parser.add_argument("--description", default="")
    parser.add_argument("--data", default="", help="what it was trained on")
    parser.add_argument("--licence", default="")
    parser.add_argument("--quality", type=json.loads, default={}, help="measured quality as JSON")
    parser.add_argument("--replace", action="store_true", help="replace a model of that name")


def export(options: argparse.Namespace) -> int:
    """Write the averaged weights of a run as safetensors and list them in a manifest."""
    from telephonegan import weights

    record, checkpoint = read_run(options.run_folder)
    if options.kind == "judge" and record["recipe"] != "damsm":
        raise SettingsError(f"Only a DAMSM run can become a judge; {options.run_folder} is a {record['recipe']} run.")
    kind, tensors, description = _exported(record, checkpoint, options)
    entry = weights.register(
        kind,
        options.name,
        tensors,
        **description,
        data=options.data,
        licence=options.licence,
        command=without_places(record["command"]),
        quality=options.quality,
        description=options.description,
        full_precision=["*running_var"] if any(key.endswith("running_var") for key in tensors) else (),
        folder=options.folder,
        replace=options.replace,
    )
    print(f"{kind}/{options.name}: {entry.path} ({entry.size / 1e6:.1f} MB, step {checkpoint['step']})")
    return 0


def _exported(
    record: dict[str, Any], checkpoint: dict[str, Any], options: argparse.Namespace
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    settings, network, words = record["settings"], record["network"], record["vocabulary"]
    if record["recipe"] == "captioner":
        return (
            "captioner",
            checkpoint["average"],
            {
                "architecture": "lite0-caption-model",
                "vocabulary": words,
                "settings": {
                    "network": network,
                    "backbone": "lite0",
                    "input_size": settings["input_size"],
                    "beam_width": 3,
                    "length_power": settings["length_power"],
                    "words_limit": settings["words_limit"],
                },
            },
        )
    if record["recipe"] == "damsm":
        tensors = {
            f"{part}.{key}": value
            for part in ("text_encoder", "image_encoder")
            for key, value in checkpoint[part].items()
        }
        kept = ("backbone", "picture_size", "input_size", "words_limit")
        return (
            options.kind or "damsm",
            tensors,
            {
                "architecture": "damsm",
                "vocabulary": words,
                "settings": {**network, **{key: settings[key] for key in kept}},
            },
        )
    return (
        "generator",
        checkpoint["average"],
        {
            "architecture": "attngan",
            "settings": {
                "network": network,
                "damsm": options.damsm_name or options.name,
                "words_limit": settings["words_limit"],
            },
        },
    )
