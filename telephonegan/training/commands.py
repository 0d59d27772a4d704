"""`telephonegan train` and `telephonegan export`: from a data folder to a named model, one folder per run."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from telephonegan.errors import DataError, SettingsError, WeightsError

RECIPES = ("captioner", "damsm", "attngan")
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

    from telephonegan.training import loop

    if options.threads:
        torch.set_num_threads(options.threads)
    settings = changed(_defaults(options), options.set)
    if options.steps and hasattr(settings, "steps"):
        settings = dataclasses.replace(settings, steps=options.steps)
    cache = options.cache or options.run_folder.parent / "cache"
    torch.manual_seed(options.seed)
    recipe = _recipe(options, settings, cache)
    describe(options.run_folder, options.recipe, recipe, settings)
    steps = options.steps or getattr(settings, "steps", 10_000)
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


def _recipe(options: argparse.Namespace, settings: Any, cache: Path) -> Any:
    from telephonegan.training.data import read_flickr8k

    photos = read_flickr8k(options.data, "train")
    if options.recipe == "captioner":
        from telephonegan.training.captioner import CaptionerRecipe

        return CaptionerRecipe(photos, read_flickr8k(options.data, "dev"), settings, cache)
    if options.recipe == "damsm":
        from telephonegan.training.damsm import DamsmRecipe

        return DamsmRecipe(photos, read_flickr8k(options.data, "dev"), settings, cache)
    from telephonegan.training.attngan import GanRecipe

    if options.damsm is None:
        raise SettingsError("train attngan needs --damsm RUN: train DAMSM first, it gives the text encoder.")
    shown = read_flickr8k(options.data, "test")
    return GanRecipe(photos, shown, load_matching(options.damsm), settings, cache, options.device)


def changed(settings: Any, assignments: list[str]) -> Any:
    """Return the settings dataclass with KEY=VALUE texts applied; SettingsError lists the keys there are."""
    kinds = {field.name: type(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or key not in kinds:
            raise SettingsError(f"No setting is called {key!r}; there are {', '.join(kinds)}. Write KEY=VALUE.")
        try:
            values[key] = {"True": True, "False": False}[text] if kinds[key] is bool else kinds[key](text)
        except (KeyError, ValueError):
            raise SettingsError(f"{key} is a {kinds[key].__name__}; {text!r} is none.") from None
    return dataclasses.replace(settings, **values)


def describe(run: Path, recipe_name: str, recipe: Any, settings: Any) -> None:
    """Write run.json: what `export` and later runs need to know. A run keeps the settings it began with."""
    record = {
        "recipe": recipe_name,
        "settings": dataclasses.asdict(settings),
        "network": recipe.network(),
        "vocabulary": recipe.vocabulary.words,
        "command": "telephonegan " + " ".join(sys.argv[1:]),
    }
    path = run / "run.json"
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        differing = [key for key, value in record["settings"].items() if known["settings"].get(key) != value]
        if known["recipe"] != recipe_name or differing:
            raise SettingsError(
                f"{run} is a {known['recipe']} run with other settings ({', '.join(differing)}); name another folder."
            )
        return
    run.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(temporary, path)


def read_run(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return run.json and the checkpoint of a run folder."""
    import torch

    missing = [name for name in ("run.json", "checkpoint.pt") if not (run / name).exists()]
    if missing:
        raise DataError(f"{run} has no {' and no '.join(missing)}; it is not the folder of a training run.")
    return (
        json.loads((run / "run.json").read_text(encoding="utf-8")),
        torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True),
    )


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
    return Matching(text, image, vocabulary)


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
    kind, tensors, description = _exported(record, checkpoint, options)
    entry = weights.register(
        kind,
        options.name,
        tensors,
        **description,
        data=options.data,
        licence=options.licence,
        command=record["command"],
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
