"""Names of models to files: manifests, checksums, strict loading, and a safe way to add a model.

A folder of weights holds safetensors files and one `manifest.json`:

    {"format": 1, "models": {"captioner/flickr8k": {"kind": "captioner", "file": "….safetensors", "sha256": "…", …}}}

There are two such folders: the shipped one in the repository and the user's own, `home()`.
"""

from __future__ import annotations

import contextlib
import difflib
import fnmatch
import hashlib
import json
import os
import re
import sys
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import nn

from telephonegan.errors import OutputError, SettingsError, UnknownModelError, WeightsError
from telephonegan.text import Vocabulary

KINDS = ("captioner", "generator", "damsm", "judge")
SHIPPED = Path(__file__).resolve().parents[2] / "weights"

_FORMAT = 1
_MANIFEST = "manifest.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_LOCK_SECONDS = 60.0
_LISTED = 5

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Entry:
    """One model of a manifest: what it is and where its file lies. `size` is in bytes, 0 where the file is missing."""

    name: str
    kind: str
    path: Path
    sha256: str
    size: int
    architecture: str = ""
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    vocabulary: Path | tuple[str, ...] | None = None
    vocabulary_sha256: str = ""
    preprocessing: dict[str, Any] = field(default_factory=dict, hash=False)
    data: str = ""
    licence: str = ""
    command: str = ""
    quality: dict[str, Any] = field(default_factory=dict, hash=False)
    description: str = ""


# What a manifest stores word for word under the name of the Entry's field, and the JSON type it must have.
_PLAIN = {
    "sha256": str,
    "architecture": str,
    "settings": dict,
    "vocabulary_sha256": str,
    "preprocessing": dict,
    "data": str,
    "licence": str,
    "command": str,
    "quality": dict,
    "description": str,
}


def home() -> Path:
    """The folder of the user's own models: $TELEPHONEGAN_HOME, else `telephonegan` in the platform's cache folder."""
    if chosen := os.environ.get("TELEPHONEGAN_HOME"):
        return Path(chosen).expanduser().absolute()
    return _cache_folder() / "telephonegan"


def _cache_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return chosen if chosen.is_absolute() else Path.home() / ".cache"


# ---------------------------------------------------------------------------------------------------- reading


def entries(kind: str | None = None) -> list[Entry]:
    """All models known here, shipped ones first; reads the two manifests and no weights.

    `kind` is one of `KINDS`, or None for all. Raises WeightsError for a damaged manifest, or none beside the library.

        >>> [entry.name for entry in entries("captioner")]  # doctest: +SKIP
        ['flickr8k']
    """
    if kind is not None:
        _check_kind(kind)
    found = _listing(SHIPPED)
    for key, entry in _listing(home(), optional=True).items():
        if key in found:
            warnings.warn(f"{key} in {home()} is not used: a shipped model has that name. Rename yours.", stacklevel=2)
        else:
            found[key] = entry
    return [entry for entry in found.values() if kind in (None, entry.kind)]


def entries_of(folder: Path) -> list[Entry]:
    """The models of one folder of weights. Raises WeightsError for a damaged manifest, or none."""
    return list(_listing(folder).values())


def find(kind: str, name: str) -> Entry:
    """The entry of one model by name; `kind` is one of `KINDS`.

    Raises UnknownModelError, with the names there are, when no manifest lists it.

        >>> find("captioner", "flickr8k").settings  # doctest: +SKIP
    """
    named = {entry.name: entry for entry in entries(kind)}
    if name not in named:
        raise UnknownModelError(_unknown(kind, str(name), list(named)))
    return named[name]


def _unknown(kind: str, name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), names, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    known = f"Here are: {', '.join(names)}." if names else f"There is no {kind} here yet: train or import one."
    return f"no {kind} is called {name!r}.{guess} {known}"


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes as 64 hexadecimal digits. The file is streamed, so its size does not matter."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_tensors(entry: Entry) -> dict[str, torch.Tensor]:
    """The tensors of one model by name, on the CPU; half precision comes back as float32, all else as stored.

    The checksum is compared at every call. Raises WeightsError for a file that is missing, changed or no safetensors.

        >>> load_strict(network, read_tensors(find("captioner", "flickr8k")))  # doctest: +SKIP
    """
    try:
        found = sha256(entry.path)
        if found != entry.sha256:
            raise WeightsError(_damaged(entry, f"expected sha256 {entry.sha256}, found {found}"))
        tensors = safetensors.torch.load_file(entry.path)
    except OSError as error:
        raise WeightsError(_damaged(entry, f"it cannot be read: {error}")) from error
    except safetensors.SafetensorError as error:
        raise WeightsError(_damaged(entry, f"it is not in the safetensors format: {error}")) from error
    return {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in tensors.items()}


def _damaged(entry: Entry, what: str) -> str:
    size = entry.path.stat().st_size if entry.path.is_file() else 0
    return (
        f"the weights of {entry.kind}/{entry.name} are damaged or incomplete: "
        f"{entry.path} ({size} bytes): {what}. {_remedy(entry.path)}"
    )


def _remedy(path: Path) -> str:
    if not path.is_relative_to(SHIPPED.resolve()):
        return "Repair it or move it away, then train, import or download the model again."
    return (
        "It comes with a clone of the repository: restore it there with "
        f"`git checkout -- {path.name}` in {path.parent}, or clone again and reinstall with `pip install -e .`."
    )


def read_vocabulary(entry: Entry) -> Vocabulary | None:
    """The model's words and their ids; None for a model without words.

    Raises WeightsError when the word list is missing, damaged or not the one the model was trained with.

        >>> read_vocabulary(find("captioner", "flickr8k")).encode("a dog").ids  # doctest: +SKIP
    """
    if entry.vocabulary is None:
        return None
    ascii_only = entry.preprocessing.get("words") == "ascii"
    if isinstance(entry.vocabulary, Path):
        vocabulary, where = Vocabulary.load(entry.vocabulary, ascii_only=ascii_only), entry.vocabulary
    else:
        vocabulary, where = Vocabulary(entry.vocabulary, ascii_only=ascii_only), entry.path.with_name(_MANIFEST)
    if entry.vocabulary_sha256 and entry.vocabulary_sha256 != _words_sha256(vocabulary.words):
        raise WeightsError(
            f"the vocabulary of {entry.kind}/{entry.name} in {where} ({len(vocabulary)} words) "
            f"is not the one it was trained with. {_remedy(where)}"
        )
    return vocabulary


def load_strict(module: Module, tensors: Mapping[str, torch.Tensor]) -> Module:
    """Copies `tensors` into `module` and returns it; every name and shape must agree.

    Raises WeightsError that lists the first few missing, unexpected and mismatching names; `module` is then unchanged.

        >>> load_strict(nn.Linear(2, 1), {"weight": torch.zeros(1, 2), "bias": torch.ones(1)})
        Linear(in_features=2, out_features=1, bias=True)
    """
    own = module.state_dict()
    problems = {
        "missing": [name for name in own if name not in tensors],
        "unexpected": [name for name in tensors if name not in own],
        "of another shape": [
            f"{name} (file {tuple(tensors[name].shape)}, network {tuple(own[name].shape)})"
            for name in own
            if name in tensors and tensors[name].shape != own[name].shape
        ],
    }
    lines = [f"{len(names)} {what}: {_first_few(names)}" for what, names in problems.items() if names]
    if lines:
        raise WeightsError(f"these weights are not of this {type(module).__name__}: " + "; ".join(lines))
    module.load_state_dict(dict(tensors))
    return module


def load_published(source: str | Path | Mapping[str, torch.Tensor], kind: str | None = None) -> nn.Module:
    """The network of a checkpoint of AttnGAN or the CNN-LSTM captioner, see `telephonegan.zoo.published`."""
    from telephonegan.zoo import published  # it needs every network, this module none

    return published.load_published(source, kind)


def _first_few(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


# ---------------------------------------------------------------------------------------------------- manifests


def _listing(folder: Path, *, optional: bool = False) -> dict[str, Entry]:
    return {key: _entry(folder, key, record) for key, record in _read_manifest(folder, optional=optional).items()}


def _read_manifest(folder: Path, *, optional: bool) -> dict[str, dict[str, Any]]:
    path = folder / _MANIFEST
    if optional and not path.exists():
        return {}
    manifest = _read_json(path)
    models = manifest.get("models") if isinstance(manifest, dict) else None
    if not isinstance(models, dict) or not all(isinstance(record, dict) for record in models.values()):
        raise WeightsError(f'{path} is not a manifest of weights: it needs {{"format": {_FORMAT}, "models": {{…}}}}.')
    if manifest.get("format") != _FORMAT:
        raise WeightsError(
            f"{path} has format {manifest.get('format')!r}; this version reads {_FORMAT}. Update telephonegan."
        )
    return models


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing. {_remedy(path)}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is damaged or incomplete: {error}. {_remedy(path)}") from error


def _entry(folder: Path, key: str, record: Mapping[str, Any]) -> Entry:
    kind, _, name = key.partition("/")
    if kind not in KINDS or record.get("kind") != kind or not _NAME.fullmatch(name):
        raise WeightsError(
            f'{folder / _MANIFEST}: {key!r} is not KIND/NAME with its own "kind", one of {", ".join(KINDS)}.'
        )
    for plain, form in _PLAIN.items():
        if not isinstance(record.get(plain, form()), form):
            raise WeightsError(f"{folder / _MANIFEST}: {plain!r} of {key} is not a {form.__name__}.")
    path = _inside(folder, key, record.get("file"))
    return Entry(
        name=name,
        kind=kind,
        path=path,
        size=path.stat().st_size if path.is_file() else 0,
        vocabulary=_vocabulary_place(folder, key, record.get("vocabulary")),
        **{plain: record.get(plain, form()) for plain, form in _PLAIN.items()},
    )


def _vocabulary_place(folder: Path, key: str, given: Any) -> Path | tuple[str, ...] | None:
    if given is None:
        return None
    return tuple(map(str, given)) if isinstance(given, list) else _inside(folder, key, given)


def _inside(folder: Path, key: str, file: Any) -> Path:
    """A manifest may come from somebody else: it must not point at other files of the user."""
    outside = f"{folder / _MANIFEST}: {key} names the file {file!r}, which is not inside that folder."
    if not isinstance(file, str) or not file:
        raise WeightsError(outside)
    try:
        root = folder.resolve()
        path = (root / file).resolve()
    except (OSError, ValueError) as error:
        raise WeightsError(outside) from error
    if root not in path.parents:
        raise WeightsError(outside)
    return path


def _words_sha256(words: Sequence[str]) -> str:
    # Of the words, not of the file: git may change line ends.
    return hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------- writing


def register(
    kind: str,
    name: str,
    tensors: Mapping[str, torch.Tensor],
    *,
    architecture: str,
    settings: Mapping[str, Any],
    vocabulary: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    data: str = "",
    licence: str = "",
    command: str = "",
    quality: Mapping[str, Any] | None = None,
    description: str = "",
    full_precision: Sequence[str] = (),
    folder: Path | None = None,
    replace: bool = False,
) -> Entry:
    """Stores a model under a name in `folder` (default `home()`) and returns its entry.

    float32 and float64 tensors are stored in half precision, other types as they are; `full_precision` lists names or
    patterns ("*.running_var") to leave alone. `vocabulary` are the words in the order of their ids. `settings`,
    `preprocessing` and `quality` must be plain JSON. An interrupted call leaves the folder as it was.

    Raises SettingsError for a bad or taken name (`replace=True` replaces one of the same folder, never a shipped one),
    settings that are no JSON, and values beyond half precision; UnknownModelError for a kind outside `KINDS`;
    WeightsError for a damaged manifest; OutputError when the folder cannot be written.

        >>> register("captioner", "mine", net.state_dict(), architecture="lstm", settings={"size": 8})  # doctest: +SKIP
    """
    model = prepared(
        kind,
        name,
        tensors,
        architecture=architecture,
        settings=settings,
        vocabulary=vocabulary,
        preprocessing=preprocessing,
        data=data,
        licence=licence,
        command=command,
        quality=quality,
        description=description,
        full_precision=full_precision,
    )
    return register_together([model], folder=folder, replace=replace)[0]


@dataclass(frozen=True)
class Prepared:
    """A model ready to be stored: its key, its record of the manifest, and its files by name."""

    key: str
    record: dict[str, Any]
    files: dict[str, bytes]


def prepared(
    kind: str,
    name: str,
    tensors: Mapping[str, torch.Tensor],
    *,
    settings: Mapping[str, Any],
    vocabulary: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    quality: Mapping[str, Any] | None = None,
    full_precision: Sequence[str] = (),
    **told: str,
) -> Prepared:
    """What `register` stores, checked, before anything is written; arguments and errors are the same."""
    _check_kind(kind)
    check_name(name)
    contents = safetensors.torch.save(_stored(tensors, full_precision))
    digest = hashlib.sha256(contents).hexdigest()
    # The digest in the file name lets a replaced model stay whole until the manifest points to the new one.
    stem = f"{kind}-{name}-{digest[:8]}"
    files = {f"{stem}.safetensors": contents}
    record: dict[str, Any] = {
        "kind": kind,
        "file": f"{stem}.safetensors",
        "sha256": digest,
        "architecture": "",
        "settings": dict(settings),
        "preprocessing": dict(preprocessing or {}),
        "data": "",
        "licence": "",
        "command": "",
        "quality": dict(quality or {}),
        "description": "",
    } | told
    if vocabulary is not None:
        _check_words(vocabulary)
        record["vocabulary_sha256"] = _words_sha256(vocabulary)
        record["vocabulary"] = f"{kind}-{name}-{record['vocabulary_sha256'][:8]}.vocabulary.json"
        files[record["vocabulary"]] = _json_bytes(list(vocabulary))
    _json_bytes(record)  # refuses what is no JSON before anything is written
    return Prepared(f"{kind}/{name}", record, files)


def register_together(models: Sequence[Prepared], *, folder: Path | None = None, replace: bool = False) -> list[Entry]:
    """Stores models that belong together: all of them or none. Raises what `register` raises.

    >>> register_together([prepared("damsm", "mine", …), prepared("generator", "mine", …)])  # doctest: +SKIP
    """
    folder = (folder or home()).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            _store(folder, models, replace=replace)
    except OSError as error:
        keys = " and ".join(model.key for model in models)
        raise OutputError(f"{keys} cannot be stored in {folder}: {error}. Free it or choose another.") from error
    return [_entry(folder, model.key, model.record) for model in models]


def check_name(name: str) -> None:
    """Raise SettingsError for what cannot name a model."""
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{name!r} cannot name a model: use a-z, 0-9, '.', '_', '-'; begin with a letter or digit.")


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UnknownModelError(f"there is no kind of model called {kind!r}. The kinds are {', '.join(KINDS)}.")


def _check_words(vocabulary: Sequence[str]) -> None:
    if isinstance(vocabulary, str) or not all(isinstance(word, str) for word in vocabulary):
        raise SettingsError("vocabulary must be the list of words in the order of their ids.")


def _stored(tensors: Mapping[str, torch.Tensor], full_precision: Sequence[str]) -> dict[str, torch.Tensor]:
    if not tensors:
        raise SettingsError("there are no tensors to store: give the network's state_dict().")
    unmatched = [pattern for pattern in full_precision if not any(_matches(name, [pattern]) for name in tensors)]
    if unmatched:
        raise SettingsError(f"no tensor matches {', '.join(unmatched)}. There are {_first_few([*tensors])}.")
    return {name: _stored_tensor(name, tensor, _matches(name, full_precision)) for name, tensor in tensors.items()}


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _stored_tensor(name: str, tensor: torch.Tensor, kept: bool) -> torch.Tensor:
    # A copy, because safetensors refuses tensors that share memory.
    tensor = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    if kept or tensor.dtype not in (torch.float32, torch.float64):
        return tensor
    half = tensor.half()
    if (half.isinf() & tensor.isfinite()).any():
        largest = tensor[tensor.isfinite()].abs().max()
        raise SettingsError(
            f"{name} holds values up to {largest:.3g}, beyond half precision (65504). Add it to full_precision."
        )
    return half


def _json_bytes(value: Any) -> bytes:
    try:
        return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise SettingsError(f"a manifest holds plain JSON (numbers, text, lists, dictionaries): {error}.") from error


def _store(folder: Path, models: Sequence[Prepared], *, replace: bool) -> None:
    known = _read_manifest(folder, optional=True)
    for model in models:
        _check_free(folder, model.key, known, replace=replace)
    wanted = known | {model.key: model.record for model in models}
    before, after = _files_of(known), _files_of(wanted)
    try:
        for model in models:
            for file, contents in model.files.items():
                _write_atomically(folder / file, contents)
        manifest = {"format": _FORMAT, "models": dict(sorted(wanted.items()))}
        _write_atomically(folder / _MANIFEST, _json_bytes(manifest))
    except BaseException:
        _remove(folder, after - before)
        raise
    _remove(folder, before - after)


def _check_free(folder: Path, key: str, models: Mapping[str, Any], *, replace: bool) -> None:
    shipped = {} if folder.resolve() == SHIPPED.resolve() else _read_manifest(SHIPPED, optional=True)
    if key in shipped:
        raise SettingsError(f"{key} is the name of a shipped model. Choose another name.")
    if key in models and not replace:
        raise SettingsError(f"{key} exists already in {folder}. Choose another name, or replace=True (--replace).")


def _files_of(models: Mapping[str, Mapping[str, Any]]) -> set[str]:
    named = (record.get(part) for record in models.values() for part in ("file", "vocabulary"))
    return {file for file in named if isinstance(file, str)}


def _remove(folder: Path, files: set[str]) -> None:
    for file in files:
        with contextlib.suppress(OSError, WeightsError):
            _inside(folder, file, file).unlink(missing_ok=True)


def _write_atomically(path: Path, contents: bytes) -> None:
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer per folder: a file that only one process can create. It works on network folders too."""
    lock = folder / ".manifest.lock"
    deadline = time.monotonic() + _LOCK_SECONDS
    while not _created(lock):
        if time.monotonic() > deadline:
            raise OutputError(
                f"another process has been writing to {folder} for {_LOCK_SECONDS:g} s. "
                f"If none is running any more, delete {lock} and try again."
            )
        time.sleep(0.05)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _created(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
