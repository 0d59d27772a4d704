"""Exporting the model of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from telephonegan.errors import SettingsError
from telephonegan.provenance import without_places
from telephonegan.training.runs import read_exportable

if TYPE_CHECKING:
    from telephonegan.zoo.catalogue import Entry

# Of the model that a recipe trains.
_KINDS = {
    "captioner": "captioner",
    "damsm": "damsm",
    "attngan": "generator",
    "free": "generator",
    "embedding": "embedding",
    "gan-cls": "generator",
    "ppgn": "ppgn",
}
_MATCHING = ("damsm", "embedding")  # the recipes of matchers


class Exported(NamedTuple):
    """An exported model's entry in the manifest, and the training step whose weights it has."""

    entry: Entry
    step: int


def export(
    run: str | Path,
    *,
    name: str,
    others: Sequence[str | Path] = (),
    as_judge: bool = False,
    damsm_name: str | None = None,
    folder: Path | None = None,
    description: str = "",
    data: str = "",
    licence: str = "",
    quality: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> Exported:
    """Store the averaged weights of the run in the folder `run` as a model, and list it in a manifest.

    With `others`, runs that started from the same weights, the model is the mean of all of them. `as_judge` registers
    a matcher's run as a judge. `damsm_name` is the DAMSM, or for GAN-CLS the embedding, that encodes a generator's
    texts (default: `name`).
    `folder` is where models are kept (default: the user's own). `description`, `data` (what it was trained on),
    `licence` and `quality` (measured numbers) go into the manifest. `replace` replaces a model of that name.

    Raises DataError or WeightsError for a folder without a valid run, SettingsError for runs that cannot be averaged
    and for an invalid name, OutputError if the model cannot be written.

    >>> export("runs/damsm", name="mine").entry.kind  # doctest: +SKIP
    'damsm'
    """
    from telephonegan.training.averaging import check_alike, mean_weights
    from telephonegan.zoo import store

    folders = [Path(each) for each in (run, *others)]
    if len({each.resolve() for each in folders}) < len(folders):
        raise SettingsError("The same run is given twice. Average it (--with) with another one.")
    runs = [read_exportable(each) for each in folders]
    record, checkpoint = runs[0]
    check_alike([each for each, _ in runs])
    if as_judge and record["recipe"] not in _MATCHING:
        raise SettingsError(
            f"Only a run of {' or '.join(_MATCHING)} can be registered as a judge; {run} is a {record['recipe']} run."
        )
    tensors = mean_weights([_tensors(each["recipe"], state) for each, state in runs])
    entry = store.register(
        "judge" if as_judge else _KINDS[record["recipe"]],
        name,
        tensors,
        **_described(record, damsm_name or name),
        data=data,
        licence=licence,
        command="; ".join(filter(None, (without_places(each["command"]) for each, _ in runs))),
        quality=dict(quality or {}),
        description=description,
        full_precision=["*running_var"] if any(key.endswith("running_var") for key in tensors) else (),
        folder=folder,
        replace=replace,
    )
    return Exported(entry, checkpoint["step"])


def _tensors(recipe: str, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The weights to export: the moving average, both encoders of a matcher, or the three networks of a code model."""
    if recipe == "ppgn":
        parts = {"encoder": "encoder", "generator": "average", "autoencoder": "autoencoder"}
        return {f"{own}.{key}": value for own, part in parts.items() for key, value in checkpoint[part].items()}
    if recipe not in _MATCHING:
        return checkpoint["average"]
    parts = ("text_encoder", "image_encoder")
    return {f"{part}.{key}": value for part in parts for key, value in checkpoint[part].items()}


def _described(record: Mapping[str, Any], damsm_name: str) -> dict[str, Any]:
    """Architecture, settings and vocabulary of a run's model, as the manifest lists them."""
    settings, network = record["settings"], record["network"]
    if record["recipe"] == "captioner":
        return {
            "architecture": "lite0-caption-model",
            "vocabulary": record["vocabulary"],
            "settings": {
                "network": network,
                "backbone": "lite0",
                "input_size": settings["input_size"],
                "beam_width": 3,
                "length_power": settings["length_power"],
                "words_limit": settings["words_limit"],
            },
        }
    if record["recipe"] == "damsm":
        kept = ("backbone", "picture_size", "input_size", "words_limit")
        return {
            "architecture": "damsm",
            "vocabulary": record["vocabulary"],
            "settings": {**{key: settings[key] for key in kept if key in settings}, **network},
        }
    if record["recipe"] == "embedding":
        reads_characters = settings["encoder"] == "char-cnn-rnn"
        sizes = {key: settings[key] for key in ("backbone", "picture_size", "input_size")}
        return {
            "architecture": settings["encoder"],
            "vocabulary": None if reads_characters else record["vocabulary"],
            "settings": {**sizes, **network, **({"plain": True} if reads_characters else {})},
        }
    if record["recipe"] == "gan-cls":
        return {"architecture": "gan-cls", "settings": {"network": network, "embedding": damsm_name}}
    if record["recipe"] == "ppgn":
        return {"architecture": "ppgn", "settings": {"network": network, "backbone": "lite0"}}
    if record["recipe"] == "free":
        return {"architecture": "free", "settings": {"network": network}}
    return {
        "architecture": "attngan",
        "settings": {"network": network, "damsm": damsm_name, "words_limit": settings["words_limit"]},
    }
