"""The available models by kind and name; reads the manifests only, not the weights, and needs no torch.

A folder of weights holds safetensors files and one `manifest.json`:

    {"format": 1, "models": {"captioner/flickr8k": {"kind": "captioner", "file": "….safetensors", "sha256": "…", …}}}

There are two such folders: the one shipped with the repository and the user's own, `home()`.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
import stat
import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from telephonegan.errors import OutputError, UnknownModelError, WeightsError
from telephonegan.records import FileName, checked, inside, read_json
from telephonegan.zoo.links import PUBLISHED

KINDS = ("captioner", "generator", "damsm", "judge", "embedding", "extractor", "axes", "ppgn")
MANIFEST = "manifest.json"
FORMAT = 1

# In a wheel the weights are inside the package, in a checkout beside it.
_CHECKOUT = Path(__file__).resolve().parents[2]
_PACKED = Path(__file__).resolve().parents[1] / "weights"
SHIPPED = _PACKED if _PACKED.is_dir() else _CHECKOUT / "weights"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class Description:
    """The description of a model; a manifest stores each field under its own name.

    `settings`, `preprocessing` and `quality` are plain JSON.
    """

    architecture: str = ""
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    preprocessing: dict[str, Any] = field(default_factory=dict, hash=False)
    data: str = ""
    licence: str = ""
    command: str = ""
    quality: dict[str, Any] = field(default_factory=dict, hash=False)
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Record(Description):
    """One model as a manifest stores it. `file` and `vocabulary` are beside the manifest; words may be inside it."""

    kind: str
    file: FileName
    sha256: str = ""
    vocabulary: FileName | list[str] | None = None
    vocabulary_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry(Record):
    """One model of a manifest and the place of its file. `size` is in bytes, 0 if the file is missing."""

    name: str
    path: Path
    size: int
    vocabulary: Path | tuple[str, ...] | None = None


def home() -> Path:
    """The folder of the user's own models: $TELEPHONEGAN_HOME, else `telephonegan` in the platform's cache folder.

    Without a home folder it is a temporary one, with a warning.
    """
    try:
        if chosen := os.environ.get("TELEPHONEGAN_HOME"):
            return Path(chosen).expanduser().absolute()
        return _cache_folder() / "telephonegan"
    except RuntimeError:  # raised by Path.home and expanduser if there is none
        return _temporary_home()


def _cache_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return chosen if chosen.is_absolute() else Path.home() / ".cache"


@cache
def _temporary_home() -> Path:
    """A folder only this user can write to: whoever writes to it chooses our models."""
    folder = Path(tempfile.gettempdir()) / f"telephonegan-{os.getuid() if hasattr(os, 'getuid') else 'home'}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        ours = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o022
        if not ours or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
            folder = Path(tempfile.mkdtemp(prefix="telephonegan-"))
    except OSError as error:
        raise OutputError(
            f"There is no home folder, and {folder} cannot be created: {error.strerror or error}. "
            "Set the environment variable TELEPHONEGAN_HOME to a folder for models."
        ) from error
    warnings.warn(
        f"This user has no home folder, so your own models are kept in {folder}, which may be emptied at any time. "
        "Set the environment variable TELEPHONEGAN_HOME to another folder.",
        stacklevel=3,
    )
    return folder


def entries(kind: str | None = None) -> list[Entry]:
    """All available models, shipped ones first; reads the two manifests but no weights.

    `kind` is one of `KINDS`, or None for all. Raises WeightsError if a manifest is damaged or the shipped one missing.

        >>> [entry.name for entry in entries("captioner")]  # doctest: +SKIP
        ['flickr8k']
    """
    if kind is not None:
        check_kind(kind)
    found = _listing(SHIPPED)
    for key, entry in _listing(home(), optional=True).items():
        if key in found:
            warnings.warn(f"{key} in {home()} is not used: a shipped model has that name. Rename yours.", stacklevel=2)
        else:
            found[key] = entry
    found |= {key: entry for key, entry in _installed().items() if key not in found}
    return [entry for entry in found.values() if kind in (None, entry.kind)]


def _installed() -> dict[str, Entry]:
    """Models that other packages bring along, where those are installed; they are not imported."""
    spec = importlib.util.find_spec("gan_face_generate")
    if spec is None or spec.origin is None:
        return {}
    path = Path(spec.origin).with_name("weights.tar")
    entry = Entry(
        name="gan-face-generate",
        kind="generator",
        file=path.name,
        path=path,
        size=path.stat().st_size if path.is_file() else 0,
        sha256="0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f",
        architecture="dcgan",
        settings={"network": {"channels": 64, "noise_width": 100}},
        data="DigiFace-1M, rendered faces",
        licence="MIT",
        description="faces at 64 px, a DCGAN of the package gan-face-generate 1.1.1",
    )
    return {"generator/gan-face-generate": entry}


def find(kind: str, name: str) -> Entry:
    """The entry of one model by name; `kind` is one of `KINDS`.

    Raises UnknownModelError, with the available names, if no manifest lists it.

        >>> find("captioner", "flickr8k").settings  # doctest: +SKIP
    """
    named = {entry.name: entry for entry in entries(kind)}
    if name not in named:
        raise UnknownModelError(_unknown(kind, str(name), list(named)))
    return named[name]


def check_kind(kind: str) -> None:
    """Raises UnknownModelError for a kind outside `KINDS`."""
    if kind not in KINDS:
        raise UnknownModelError(f"There is no kind of model called {kind!r}. The kinds are {', '.join(KINDS)}.")


def is_name(name: str) -> bool:
    """Whether a model can have that name, which becomes part of a file name."""
    return bool(_NAME.fullmatch(name))


def _unknown(kind: str, name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), names, n=1)
    guess = f" Did you mean {close[0]!r}?" if close else ""
    if name in PUBLISHED and kind in PUBLISHED[name].kinds:
        guess = f" Download it with: telephonegan download {name}."
    known = f"Available: {', '.join(names)}." if names else f"There is no {kind} yet: train or import one."
    return f"No {kind} is called {name!r}.{guess} {known}"


def remedy(path: Path) -> str:
    """What to do about a damaged file in a folder of weights."""
    if not path.is_relative_to(SHIPPED.resolve()):
        return "Repair it or move it away, then train, import or download the model again."
    if SHIPPED == _PACKED:
        return "It comes with the library: install telephonegan again, with `pip install --force-reinstall`."
    return (
        "It comes with a clone of the repository: restore it there with "
        f"`git checkout -- {path.name}` in {path.parent}, or clone again and reinstall with `pip install -e .`."
    )


# ---------------------------------------------------------------------------------------------------- manifests


def read_manifest(folder: Path, *, optional: bool = False) -> dict[str, dict[str, Any]]:
    """The records of a folder's manifest by KIND/NAME; empty if an `optional` one is missing. Raises WeightsError."""
    return read_whole(folder, optional=optional).get("models", {})


def read_whole(folder: Path, *, optional: bool = False) -> dict[str, Any]:
    """All of a folder's manifest, its models checked; {} where an `optional` one is missing. Raises WeightsError."""
    path = folder / MANIFEST
    if optional and not path.exists():
        return {}
    manifest = read_json(path, error=WeightsError, remedy=remedy(path))
    models = manifest.get("models") if isinstance(manifest, dict) else None
    if not isinstance(models, dict) or not all(isinstance(record, dict) for record in models.values()):
        raise WeightsError(f'{path} is not a manifest of weights: it needs {{"format": {FORMAT}, "models": {{…}}}}.')
    if manifest.get("format") != FORMAT:
        raise WeightsError(
            f"{path} has format {manifest.get('format')!r}; this version reads {FORMAT}. Update telephonegan."
        )
    return manifest


def entry_of(folder: Path, key: str, record: Mapping[str, Any]) -> Entry:
    """The entry of one record of the manifest in `folder`. Raises WeightsError for a damaged record."""
    manifest = folder / MANIFEST
    kind, _, name = key.partition("/")
    if kind not in KINDS or record.get("kind") != kind or not is_name(name):
        raise WeightsError(f'{manifest}: {key!r} is not KIND/NAME with its own "kind", one of {", ".join(KINDS)}.')
    read = checked(record, Record, f"{manifest}: {key}", WeightsError, remedy(manifest))
    path = inside(folder, read.file, f"{manifest}: {key}", WeightsError)
    words = read.vocabulary
    if isinstance(words, str):
        words = inside(folder, words, f"{manifest}: {key}", WeightsError)
    own = {"name": name, "path": path, "size": path.stat().st_size if path.is_file() else 0}
    return Entry(**vars(read) | own | {"vocabulary": tuple(words) if isinstance(words, list) else words})


def _listing(folder: Path, *, optional: bool = False) -> dict[str, Entry]:
    return {key: entry_of(folder, key, record) for key, record in read_manifest(folder, optional=optional).items()}
