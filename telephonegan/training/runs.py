"""Run folders: what a run began with, in run.json, and how another run, or `export`, reads it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan import files
from telephonegan.errors import DataError, SettingsError, WeightsError

if TYPE_CHECKING:
    from telephonegan.text import Vocabulary

_ORIGIN = ("seed", "data", "damsm", "vocabulary")  # beside recipe and settings; absent in the oldest run.json


def describe(run: Path, recipe_name: str, recipe: Any, settings: Any, *, command: str = "", **origin: Any) -> None:
    """Write run.json: what `export` and later runs need to know, and the `command` as it was typed.

    A run keeps what it began with, see `refuse_other`.
    """
    record = {
        "recipe": recipe_name,
        "settings": dataclasses.asdict(settings),
        "network": recipe.network(),
        "vocabulary": recipe.vocabulary.words,
        "command": command,
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
    known = read_record(path)
    if known["recipe"] != record["recipe"]:
        raise SettingsError(f"{run} is a {known['recipe']} run, no {record['recipe']} run; name another folder.")
    # A GAN has no schedule: it may go on for longer than it was begun for, compiled or not.
    ignored = {"steps", "compile"} if record["recipe"] == "attngan" else set()
    told = known["settings"].keys() - ignored
    differing = [key for key, value in record["settings"].items() if key in told and known["settings"][key] != value]
    differing += [key for key in _ORIGIN if key in known and key in record and known[key] != record[key]]
    if differing:
        raise SettingsError(
            f"{run} began with other values of: {', '.join(differing)}. "
            "Give the command it began with to go on, or name another folder."
        )


def read_run(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return run.json and the checkpoint of a run folder."""
    from telephonegan.training.loop import read_checkpoint

    missing = [name for name in ("run.json", "checkpoint.pt") if not (run / name).exists()]
    if missing:
        raise DataError(f"{run} has no {' and no '.join(missing)}; it is not the folder of a training run.")
    return (
        read_record(run / "run.json"),
        read_checkpoint(run / "checkpoint.pt"),
    )


def read_record(path: Path) -> dict[str, Any]:
    """run.json of a run. Raises DataError when it is damaged or not there."""
    needed = {"recipe", "settings", "network", "vocabulary", "command"}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        missing = needed - record.keys()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Is this the folder of a training run?") from error
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error}. Name another folder, or begin the run again.") from error
    if not missing and not all(isinstance(record[part], dict) for part in ("settings", "network")):
        raise DataError(f"{path} is damaged: its settings are none. Name another folder, or begin the run again.")
    if missing:
        raise DataError(f"{path} tells nothing of {', '.join(sorted(missing))}. Name another folder.")
    return record


def load_matching(source: str | Path) -> Any:
    """The frozen encoders of a DAMSM run's folder, or of a DAMSM model by its name."""
    return _matching_of_run(Path(source)) if Path(source).is_dir() else _matching_of_model(str(source))


def _matching_of_run(run: Path) -> Any:
    from telephonegan.text import Vocabulary

    record, checkpoint = read_run(run)
    if record["recipe"] != "damsm":
        raise WeightsError(f"{run} is a {record['recipe']} run; a DAMSM run is needed.")
    return _matching(
        Vocabulary(record["vocabulary"]),
        record["network"],
        {part: checkpoint[part] for part in ("text_encoder", "image_encoder")},
        record["settings"].get("input_size"),
    )


def _matching_of_model(name: str) -> Any:
    from telephonegan import inference
    from telephonegan.zoo import catalogue, store

    entry = catalogue.find("damsm", name)
    tensors = store.read_tensors(entry)
    parts = {
        part: {key.removeprefix(f"{part}."): value for key, value in tensors.items() if key.startswith(f"{part}.")}
        for part in ("text_encoder", "image_encoder")
    }
    if not parts["image_encoder"]:
        raise WeightsError(f"damsm/{name} has no image encoder. Import it once more with --image-encoder FILE.")
    with inference.settings_of(entry, "damsm") as settings:
        return _matching(inference.vocabulary_of(entry), settings, parts, settings.get("input_size"))


def _matching(vocabulary: Vocabulary, network: dict[str, Any], parts: dict[str, Any], input_size: int | None) -> Any:
    from telephonegan.networks.damsm import ImageEncoder, TextEncoder
    from telephonegan.networks.inception import InceptionEncoder
    from telephonegan.training.attngan import Matching
    from telephonegan.zoo.store import load_strict

    settings = dict(network["image"])
    kind = InceptionEncoder if settings.pop("backbone", None) == "inception" else ImageEncoder
    text = load_strict(TextEncoder(len(vocabulary), **network["text"]), parts["text_encoder"])
    image = load_strict(kind(**settings), parts["image_encoder"])
    return Matching(*(net.eval().requires_grad_(False) for net in (text, image)), vocabulary, input_size)
