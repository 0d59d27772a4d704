"""Run folders: run.json, which records how a run was started, and reading it for other runs and for `export`."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from telephonegan import files
from telephonegan.errors import DataError, SettingsError, WeightsError
from telephonegan.records import Count, Form, PathName, Seed, checked, read_json

if TYPE_CHECKING:
    from telephonegan.matcher import Matcher

_FILES = ("run.json", "checkpoint.pt")
_RECIPES = ("captioner", "damsm", "attngan", "free", "embedding", "gan-cls", "ppgn")
_RecipeName = Annotated[str, Form("|".join(_RECIPES), f"{', '.join(_RECIPES[:-1])} or {_RECIPES[-1]}")]
# Besides recipe and settings; absent in old files.
_ORIGIN = ("seed", "data", "damsm", "embedding", "vocabulary")


class _Quoted:
    """The texts that `shlex.split` reads."""

    def __contains__(self, value: str) -> bool:
        try:
            return bool(shlex.split(value)) or not value
        except ValueError:
            return False

    def __str__(self) -> str:
        return "that is a shell command"


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of a run's first call that `resume` uses."""

    recipe: _RecipeName
    data: PathName | list[PathName]
    run_folder: PathName | None = None
    cache: PathName | None = None
    damsm: PathName | None = None
    embedding: PathName | None = None
    origin: PathName | None = None
    config: PathName | None = None
    preset: str | None = None
    steps: Count | None = None
    seed: Seed | None = None
    set: list[str] | None = None
    without: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class _Record:
    recipe: _RecipeName
    settings: dict[str, int | float | str | bool | list[int | float | str] | None]
    network: dict[str, Any]
    vocabulary: list[str]
    command: Annotated[str, _Quoted()]
    seed: int | None = None
    data: str | None = None
    damsm: str | None = None
    embedding: str | None = None
    options: Options | None = None


@dataclasses.dataclass(frozen=True)
class _OfCaptioner:
    input_size: Count
    length_power: float
    words_limit: Count


@dataclasses.dataclass(frozen=True)
class _OfDamsm:
    input_size: Count | None = None
    words_limit: Count | None = None


@dataclasses.dataclass(frozen=True)
class _OfGan:
    words_limit: Count | None


@dataclasses.dataclass(frozen=True)
class _OfFree:
    size: Count


@dataclasses.dataclass(frozen=True)
class _OfEmbedding:
    encoder: str
    backbone: str
    picture_size: Count
    input_size: Count


# By recipe: the settings that describe its exported model, and the parts of a checkpoint that make up the model.
_EXPORTED = {
    "captioner": _OfCaptioner,
    "damsm": _OfDamsm,
    "attngan": _OfGan,
    "free": _OfFree,
    "embedding": _OfEmbedding,
    "gan-cls": _OfFree,
    "ppgn": _OfFree,
}
_PARTS = dict.fromkeys(("captioner", "attngan", "free", "gan-cls"), ("average",))
_PARTS |= dict.fromkeys(("damsm", "embedding"), ("text_encoder", "image_encoder"))
_PARTS["ppgn"] = ("encoder", "average", "autoencoder")


# Kinds of models from which a run may start.
_KINDS = {"captioner": "captioner", "attngan": "generator", "free": "generator", "ppgn": "ppgn"}


def describe(run: Path, recipe_name: str, recipe: Any, settings: Any, *, command: str = "", **origin: Any) -> None:
    """Write run.json: everything that `export` and later runs need, and the `command` as typed.

    An existing file is not changed, and must fit, see `refuse_other`.
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
    """Raise SettingsError if the run in this folder was started with other options; missing fields are ignored."""
    path = run / "run.json"
    if not path.exists():
        return
    known = read_record(path)
    if known["recipe"] != record["recipe"]:
        raise SettingsError(f"{run} is a {known['recipe']} run, not a {record['recipe']} run. Choose another folder.")
    # A GAN has no schedule, so it may be continued for more steps, compiled or not.
    ignored = {"steps", "compile"} if record["recipe"] in ("attngan", "free", "ppgn") else set()
    told = known["settings"].keys() - ignored
    differing = [key for key, value in record["settings"].items() if key in told and known["settings"][key] != value]
    differing += [key for key in _ORIGIN if key in known and key in record and known[key] != record[key]]
    if differing:
        raise SettingsError(
            f"{run} was started with other values of: {', '.join(differing)}. "
            "Give the original command to continue it, or choose another folder."
        )


def read_run(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return run.json and the checkpoint of a run folder."""
    from telephonegan.training.loop import read_checkpoint

    missing = [name for name in _FILES if not (run / name).exists()]
    if missing:
        raise DataError(f"{run} lacks {' and '.join(missing)}, so it is not a run folder. Give the folder of a run.")
    return read_record(run / "run.json"), read_checkpoint(run / "checkpoint.pt")


def means_folder(source: str | Path) -> bool:
    """Is this the folder of a run, and not the name of a model? Data beside it may have the name of a model, too."""
    from telephonegan.zoo import catalogue

    return not catalogue.is_name(str(source)) or any((Path(source) / name).exists() for name in _FILES)


def read_origin(recipe: str, origin: str | Path) -> dict[str, Any]:
    """Weights, by part, from which a run of this recipe can start, and their "vocabulary".

    `origin` is the folder of a run, or the name of a captioner, a generator or a model of codes.
    """
    from telephonegan.zoo import catalogue, store

    if means_folder(origin) or recipe not in _KINDS:
        record, checkpoint = read_run(Path(origin))
        return {**checkpoint, "vocabulary": record.get("vocabulary")}
    entry = catalogue.find(_KINDS[recipe], str(origin))
    tensors, vocabulary = store.read_tensors(entry), store.read_vocabulary(entry)
    words = None if vocabulary is None else vocabulary.words
    return {**_by_part(recipe, tensors), "vocabulary": words}


def _by_part(recipe: str, tensors: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A model's tensors under the names that a checkpoint has for its parts."""
    if recipe != "ppgn":
        return dict.fromkeys(("average", "generator"), tensors)
    parts: dict[str, dict[str, Any]] = {}
    for key, value in tensors.items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = value
    return {**parts, "average": parts["generator"]}


def read_exportable(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """`read_run`, with a check that everything an exported model needs is there. Raises DataError."""
    record, checkpoint = read_run(run)
    checked(record["settings"], _EXPORTED[record["recipe"]], f"{run / 'run.json'}: settings")
    if missing := [part for part in _PARTS[record["recipe"]] if part not in checkpoint]:
        raise DataError(f"{run / 'checkpoint.pt'} lacks {' and '.join(missing)}, so it is from another run.")
    return record, checkpoint


def read_record(path: Path) -> dict[str, Any]:
    """The contents of run.json. Raises DataError if the file is damaged or missing."""
    missing = f"{path} cannot be read: there is no such file. Is this the folder of a training run?"
    remedy = "Give another folder, or start the run again."
    record = read_json(path, remedy=remedy, missing=missing)
    checked(record, _Record, str(path), remedy=remedy)
    return record


def load_matcher(source: str | Path, kind: str = "damsm") -> Matcher:
    """The matcher in the folder of a run of this kind ("damsm" or "embedding"), or the model KIND/SOURCE."""
    from telephonegan.matcher import Matcher

    return _matcher_of_run(Path(source), kind) if means_folder(source) else Matcher.load(f"{kind}/{source}")


def _matcher_of_run(run: Path, kind: str) -> Matcher:
    from telephonegan.inference import Settings
    from telephonegan.matcher import Matcher
    from telephonegan.text import Alphabet, Vocabulary

    record, checkpoint = read_run(run)
    if record["recipe"] != kind:
        raise WeightsError(f"{run} is a {record['recipe']} run; a run of {kind} is needed.")
    encoders = ("text_encoder", "image_encoder")
    tensors = {f"{part}.{name}": tensor for part in encoders for name, tensor in checkpoint[part].items()}
    settings = Settings(f"in {run / 'run.json'}", {**record["settings"], **record["network"]})
    architecture = settings.value("encoder", str, "damsm")
    words = Alphabet(plain=True) if architecture == "char-cnn-rnn" else Vocabulary(record["vocabulary"])
    return Matcher.of_parts(words, settings, tensors, architecture=architecture, name=str(run))
