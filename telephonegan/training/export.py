"""`telephonegan export`: the model of a training run under a name."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan.errors import SettingsError
from telephonegan.training.runs import read_run, without_places

if TYPE_CHECKING:
    from telephonegan.zoo.catalogue import Entry


def add_export(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan export`."""
    parser.epilog = (
        "examples:\n  telephonegan export runs/attngan --name mine --damsm-name flickr8k\n"
        "  telephonegan export runs/captioner --with runs/cider --name mine"
    )
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of a training run")
    parser.add_argument(
        "--with",
        dest="others",
        metavar="RUN",
        type=Path,
        action="append",
        default=[],
        help="the mean of the weights with this run, begun --from the other; may be repeated",
    )
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
    from telephonegan.training.soup import check_alike, mean_weights
    from telephonegan.zoo import store

    folders = [folder.resolve() for folder in (options.run_folder, *options.others)]
    if len({*folders}) < len(folders):
        raise SettingsError("One run is named twice: --with wants another one.")
    runs = [read_run(folder) for folder in (options.run_folder, *options.others)]
    record, checkpoint = runs[0]
    check_alike([each for each, _ in runs])
    if options.kind == "judge" and record["recipe"] != "damsm":
        raise SettingsError(f"Only a DAMSM run can become a judge; {options.run_folder} is a {record['recipe']} run.")
    kind, _, description = _exported(record, checkpoint, options)
    tensors = mean_weights([_exported(each, state, options)[1] for each, state in runs])
    entry = store.register(
        kind,
        options.name,
        tensors,
        **description,
        data=options.data,
        licence=options.licence,
        command="; ".join(without_places(each["command"]) for each, _ in runs),
        quality=options.quality,
        description=options.description,
        full_precision=["*running_var"] if any(key.endswith("running_var") for key in tensors) else (),
        folder=options.folder,
        replace=options.replace,
    )
    print(f"{kind}/{options.name}: {entry.path} ({entry.size / 1e6:.1f} MB, step {checkpoint['step']})")
    return 0


def exported(run_folder: Path, name: str, *, kind: str, folder: Path) -> Entry:
    """The entry of a run's model, written into `folder` in the place of one of that name. Raises what `export` raises.

    `kind` matters for a DAMSM run alone, which may become a judge.
    """
    from telephonegan.zoo import catalogue

    options = {"run_folder": run_folder, "name": name, "folder": folder, "kind": kind if kind == "judge" else None}
    parser = argparse.ArgumentParser()
    add_export(parser)
    given = parser.parse_args([str(run_folder), "--name", name, "--replace"])
    export(argparse.Namespace(**vars(given) | options))
    key = f"{kind}/{name}"
    return catalogue.entry_of(folder, key, catalogue.read_manifest(folder)[key])


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
                "settings": {**{key: settings[key] for key in kept if key in settings}, **network},
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
