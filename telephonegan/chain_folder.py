"""A chain on disk: strip.png, rounds/NN.png, attention/NN.png and .npz, and chain.json with all the rest.

A chain that is being played adds round after round, and chain.json, written last, says which rounds are whole. Pictures
have 8 bits per channel in memory as on disk, so a chain that is read back and played on ends as if it had never
stopped. Pictures that were painted from edited latents have these in latents/NN.npz.
"""

from __future__ import annotations

import os
import shutil
import uuid
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from telephonegan.errors import DataError, TelephoneganError
from telephonegan.files import check_free, json_bytes, make_folder, new_folder, png_bytes, read_json, replace, writing
from telephonegan.images import as_image
from telephonegan.results import Caption, Picture, Round

_FORMAT = 1
_MANIFEST = "chain.json"

C = TypeVar("C")


class Kept(Protocol):
    """What a folder keeps: a `chains.Chain`."""

    rounds: list[Round]

    def manifest(self) -> dict[str, Any]:
        """What chain.json says of the chain as a whole."""

    def strip_png(self) -> bytes:
        """All rounds in one picture."""


class ChainFolder:
    """The folder of one chain. `update` may be called after every round."""

    def __init__(self, path: Path, *, written: int = 0) -> None:
        self.path, self.written = path, written

    def update(self, chain: Kept) -> None:
        """Write the rounds that are not there yet. Raises OutputError."""
        for each in chain.rounds[self.written :]:
            self._write_round(each)
        records = [_record(each) for each in chain.rounds]
        replace(self.path / _MANIFEST, json_bytes({"format": _FORMAT, **chain.manifest(), "rounds": records}))
        self.written = len(chain.rounds)

    def finish(self, chain: Kept) -> None:
        """Write what is missing, and the strip of all rounds. Raises OutputError."""
        self.update(chain)
        replace(self.path / "strip.png", chain.strip_png())

    def _write_round(self, each: Round) -> None:
        caption, picture = each.caption, each.picture
        with writing(self.path):
            (self.path / "rounds").mkdir(exist_ok=True)
            (self.path / "attention").mkdir(exist_ok=True)
        if picture is not None:
            replace(_picture_path(self.path, each.index), png_bytes(picture.image))
        if picture is not None and caption.attention is not None and caption.words:
            sheet = caption.attention_sheet()
            replace(_maps_path(self.path, each.index).with_suffix(".png"), png_bytes(sheet))
        if maps := _maps(each):
            replace(_maps_path(self.path, each.index), _npz(maps))
        if picture is not None and picture.latents is not None:
            make_folder(self.path / "latents")
            replace(_latents_path(self.path, each.index), _npz(picture.latents))


def save(chain: Kept, folder: str | os.PathLike[str]) -> Path:
    """Write a whole chain to a new folder, or nothing. Raises OutputError."""
    path = Path(folder).expanduser()
    check_free(path)
    partial = new_folder(path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial"))
    try:
        ChainFolder(partial).finish(chain)
        check_free(path)
        with writing(path):
            os.rename(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def load(folder: str | os.PathLike[str], make: Callable[[dict[str, Any], list[Round]], C]) -> C:
    """Read a chain, which `make` builds from chain.json and the rounds.

    Raises DataError where something is missing, damaged, or refused by `make`.
    """
    path = Path(folder).expanduser()
    manifest = read_json(path / _MANIFEST, remedy="Name the folder of a saved chain.")
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise DataError(f"{path / _MANIFEST} is not of format {_FORMAT}, the one this version reads.")
    try:
        rounds = [_round(path, index, record) for index, record in enumerate(manifest["rounds"])]
        if not rounds:
            raise DataError(f"No round of the chain in {path} was finished. Delete the folder and start again.")
        return make(manifest, rounds)
    except (KeyError, TypeError, ValueError, AttributeError, OSError, zipfile.BadZipFile) as error:
        what = str(error) if isinstance(error, TelephoneganError | OSError) else f"{type(error).__name__}: {error}"
        raise DataError(f"The chain in {path} is damaged or incomplete: {what}") from error


def _record(each: Round) -> dict[str, Any]:
    caption, picture = each.caption, each.picture
    record = {
        "caption": _fields(caption, without=("attention", "image")),
        "picture": None if picture is None else _fields(picture, without=("attention", "image", "stages", "latents")),
    }
    if picture is not None and picture.latents is not None:
        record["picture"]["latents"] = list(picture.latents)
    return record


def _fields(result: Caption | Picture, without: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in vars(result).items() if name not in without}


def _round(path: Path, index: int, record: dict[str, Any]) -> Round:
    maps = _read_npz(_maps_path(path, index))
    picture, image = None, None
    if record["picture"] is not None:
        image, told = as_image(_picture_path(path, index)), dict(record["picture"])
        if parts := told.pop("latents", None):
            latents = _read_npz(_latents_path(path, index))
            told["latents"] = {part: latents[part] for part in parts}
        picture = Picture(image, stages=[image], attention=maps.get("painted"), **told)
    said = record["caption"] | {"alternatives": [(text, log) for text, log in record["caption"]["alternatives"]]}
    return Round(index, Caption(image=image, attention=maps.get("seen"), **said), picture)


def _picture_path(folder: Path, index: int) -> Path:
    return folder / "rounds" / f"{index:02}.png"


def _maps_path(folder: Path, index: int) -> Path:
    return folder / "attention" / f"{index:02}.npz"


def _latents_path(folder: Path, index: int) -> Path:
    return folder / "latents" / f"{index:02}.npz"


def _maps(each: Round) -> dict[str, np.ndarray]:
    """Where the captioner looked while it spoke, and where each word was painted (in half precision: it is large)."""
    painted = None if each.picture is None else each.picture.attention
    maps = {"seen": each.caption.attention, "painted": None if painted is None else painted.astype(np.float16)}
    return {name: values for name, values in maps.items() if values is not None}


def _npz(maps: dict[str, np.ndarray]) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, **maps)
    return buffer.getvalue()


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as maps:
        return {name: maps[name].astype(np.float32) for name in maps.files}
