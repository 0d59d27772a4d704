"""Reading and storing weights in folders of models: checksums, strict loading, and safe registration."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import nn

from telephonegan.errors import DataError, OutputError, SettingsError, WeightsError
from telephonegan.files import json_bytes, locked, sha256
from telephonegan.files import replace as write_file
from telephonegan.records import inside
from telephonegan.text import Vocabulary
from telephonegan.zoo import catalogue
from telephonegan.zoo.catalogue import FORMAT, MANIFEST, Description, Entry, entry_of, read_manifest, remedy

_LOCK_SECONDS = 60.0
_LISTED = 5

Module = TypeVar("Module", bound=nn.Module)


# ---------------------------------------------------------------------------------------------------- reading


def read_tensors(entry: Entry) -> dict[str, torch.Tensor]:
    """The tensors of one model by name, on the CPU; half precision is returned as float32, other types as stored.

    The checksum is verified on every call. Raises WeightsError if the file is missing, changed or not safetensors.

        >>> load_strict(network, read_tensors(find("captioner", "flickr8k")))  # doctest: +SKIP
    """
    try:
        found = sha256(entry.path)
        if found != entry.sha256:
            raise WeightsError(_damaged(entry, f"expected sha256 {entry.sha256}, found {found}"))
        if entry.path.suffix == ".tar":  # a checkpoint that another package brings along
            tensors = torch.load(entry.path, map_location="cpu", weights_only=True)["netG_state_dict"]
        else:
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
        f"{entry.path} ({size} bytes): {what}. {remedy(entry.path)}"
    )


def read_vocabulary(entry: Entry) -> Vocabulary | None:
    """The model's words and their ids; None for a model without words.

    Raises WeightsError if the word list is missing, damaged or not the one the model was trained with.

        >>> read_vocabulary(find("captioner", "flickr8k")).encode("a dog").ids  # doctest: +SKIP
    """
    if entry.vocabulary is None:
        return None
    ascii_only = entry.preprocessing.get("words") == "ascii"
    if isinstance(entry.vocabulary, Path):
        vocabulary, where = Vocabulary.load(entry.vocabulary, ascii_only=ascii_only), entry.vocabulary
    else:
        vocabulary, where = Vocabulary(entry.vocabulary, ascii_only=ascii_only), entry.path.with_name(MANIFEST)
    if entry.vocabulary_sha256 and entry.vocabulary_sha256 != _words_sha256(vocabulary.words):
        raise WeightsError(
            f"the vocabulary of {entry.kind}/{entry.name} in {where} ({len(vocabulary)} words) "
            f"is not the one it was trained with. {remedy(where)}"
        )
    return vocabulary


def load_strict(module: Module, tensors: Mapping[str, torch.Tensor]) -> Module:
    """Copy `tensors` into `module` and return it; every name and shape must match.

    Otherwise raises WeightsError, which lists the first few mismatches, and leaves `module` unchanged.

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
        raise WeightsError(f"these weights do not fit this {type(module).__name__}: " + "; ".join(lines))
    module.load_state_dict(dict(tensors))
    return module


def _first_few(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _words_sha256(words: Sequence[str]) -> str:
    # Of the words, not of the file: git may change line endings.
    return hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------- writing


def register(
    kind: str,
    name: str,
    tensors: Mapping[str, torch.Tensor],
    *,
    vocabulary: Sequence[str] | None = None,
    full_precision: Sequence[str] = (),
    folder: Path | None = None,
    replace: bool = False,
    **described: Any,
) -> Entry:
    """Store a model under a name in `folder` (default `home()`) and return its entry.

    float32 and float64 tensors are stored in half precision, other types as they are; `full_precision` lists names or
    patterns ("*.running_var") to keep unchanged. `vocabulary` is the list of words in the order of their ids.
    `described` are fields of `catalogue.Description`: architecture, settings and so on. An interrupted call leaves the
    folder unchanged.

    Raises SettingsError for a bad or taken name (`replace=True` replaces one in the same folder, never a shipped one),
    unknown fields, settings that are not JSON, and values beyond half precision; UnknownModelError for a kind not in
    `KINDS`; WeightsError for a damaged manifest; OutputError when the folder cannot be written.

        >>> register("captioner", "mine", net.state_dict(), architecture="lstm", settings={"size": 8})  # doctest: +SKIP
    """
    model = prepared(kind, name, tensors, vocabulary=vocabulary, full_precision=full_precision, **described)
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
    vocabulary: Sequence[str] | None = None,
    full_precision: Sequence[str] = (),
    **described: Any,
) -> Prepared:
    """Check and prepare what `register` stores, without writing anything; same arguments and errors."""
    catalogue.check_kind(kind)
    if not catalogue.is_name(name):
        raise SettingsError(f"{name!r} cannot name a model: use a-z, 0-9, '.', '_', '-'; begin with a letter or digit.")
    contents = safetensors.torch.save(_stored(tensors, full_precision))
    digest = hashlib.sha256(contents).hexdigest()
    # The digest in the file name keeps a replaced model intact until the manifest points to the new one.
    stem = f"{kind}-{name}-{digest[:8]}"
    files = {f"{stem}.safetensors": contents}
    record = {"kind": kind, "file": f"{stem}.safetensors", "sha256": digest} | _described(described)
    if vocabulary is not None:
        _check_words(vocabulary)
        record["vocabulary_sha256"] = _words_sha256(vocabulary)
        record["vocabulary"] = f"{kind}-{name}-{record['vocabulary_sha256'][:8]}.vocabulary.json"
        files[record["vocabulary"]] = json_bytes(list(vocabulary))
    return Prepared(f"{kind}/{name}", record, files)


def register_together(models: Sequence[Prepared], *, folder: Path | None = None, replace: bool = False) -> list[Entry]:
    """Store models that belong together: all of them or none. Raises the errors of `register`.

    >>> register_together([prepared("damsm", "mine", …), prepared("generator", "mine", …)])  # doctest: +SKIP
    """
    folder = (folder or catalogue.home()).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".manifest.lock", wait_s=_LOCK_SECONDS):
            _store(folder, models, overwrite=replace)
    except OSError as error:
        keys = " and ".join(model.key for model in models)
        raise OutputError(f"{keys} cannot be stored in {folder}: {error}. Free space or use another folder.") from error
    return [entry_of(folder, model.key, model.record) for model in models]


def _described(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        described = asdict(Description(**given))
    except TypeError as error:
        known = ", ".join(each.name for each in fields(Description))
        raise SettingsError(f"A model is described by {known}; {', '.join(given)} was given.") from error
    try:
        json.dumps(described, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"A manifest holds plain JSON (numbers, text, lists, dictionaries): {error}.") from error
    return described


def _check_words(vocabulary: Sequence[str]) -> None:
    if isinstance(vocabulary, str) or not all(isinstance(word, str) for word in vocabulary):
        raise SettingsError("vocabulary must be the list of words in the order of their ids.")


def _stored(tensors: Mapping[str, torch.Tensor], full_precision: Sequence[str]) -> dict[str, torch.Tensor]:
    if not tensors:
        raise SettingsError("There are no tensors to store: give the network's state_dict().")
    unmatched = [pattern for pattern in full_precision if not any(_matches(name, [pattern]) for name in tensors)]
    if unmatched:
        raise SettingsError(f"No tensor matches {', '.join(unmatched)}. There are {_first_few([*tensors])}.")
    return {name: _stored_tensor(name, tensor, _matches(name, full_precision)) for name, tensor in tensors.items()}


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _stored_tensor(name: str, tensor: torch.Tensor, kept: bool) -> torch.Tensor:
    # Copied, because safetensors refuses tensors that share memory.
    tensor = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    if kept or tensor.dtype not in (torch.float32, torch.float64):
        return tensor
    half = tensor.half()
    if (half.isinf() & tensor.isfinite()).any():
        largest = tensor[tensor.isfinite()].abs().max()
        raise SettingsError(
            f"{name} has values up to {largest:.3g}, beyond half precision (65504). Add it to full_precision."
        )
    return half


def _store(folder: Path, models: Sequence[Prepared], *, overwrite: bool) -> None:
    whole = catalogue.read_whole(folder, optional=True)
    known = whole.get("models", {})
    for model in models:
        _check_free(folder, model.key, known, overwrite=overwrite)
    wanted = known | {model.key: model.record for model in models}
    before, after = _files_of(known), _files_of(wanted)
    try:
        for model in models:
            for file, contents in model.files.items():
                write_file(folder / file, contents, durable=True)
        manifest = {"format": FORMAT, **whole, "models": dict(sorted(wanted.items()))}
        write_file(folder / MANIFEST, json_bytes(manifest), durable=True)
    except BaseException:
        _remove(folder, after - before)
        raise
    _remove(folder, before - after)


def _check_free(folder: Path, key: str, models: Mapping[str, Any], *, overwrite: bool) -> None:
    shipped = {} if folder.resolve() == catalogue.SHIPPED.resolve() else read_manifest(catalogue.SHIPPED, optional=True)
    if key in shipped:
        raise SettingsError(f"{key} is the name of a shipped model. Choose another name.")
    if key in models and not overwrite:
        raise SettingsError(f"{key} already exists in {folder}. Choose another name, or use replace=True (--replace).")


def _files_of(models: Mapping[str, Mapping[str, Any]]) -> set[str]:
    named = (record.get(part) for record in models.values() for part in ("file", "vocabulary"))
    return {file for file in named if isinstance(file, str)}


def _remove(folder: Path, files: set[str]) -> None:
    for file in files:
        with contextlib.suppress(OSError, DataError):
            inside(folder, file, file).unlink(missing_ok=True)
