"""A chain on disk: strip.png, rounds/NN.png, attention/NN.png and .npz, and chain.json with all the rest.

While a chain is played its rounds are added one by one, and chain.json, written last, says which rounds are complete.
Pictures have 8 bits per channel in memory as on disk, so a chain that is loaded and continued ends exactly as if it had
never stopped. The edited latents that a picture was painted from are kept in latents/NN.npz.
"""

from __future__ import annotations

import os
import shlex
import shutil
import uuid
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from telephonegan.errors import DataError, ImageError
from telephonegan.files import check_free, expanded, json_bytes, make_folder, new_folder, png_bytes, replace, writing
from telephonegan.images import as_image
from telephonegan.records import checked, inside, read_arrays, read_json, record_of
from telephonegan.results import Caption, Picture, Round

_FORMAT = 1
_MANIFEST = "chain.json"

K = TypeVar("K")

_CaptionRecord = record_of(Caption, "attention", "image")
_PictureRecord = record_of(Picture, "attention", "image", "stages", latents=list[str] | None)


@dataclass(frozen=True)
class _RoundRecord:
    caption: _CaptionRecord
    picture: _PictureRecord | None


@dataclass(frozen=True)
class _Rounds:
    rounds: list[_RoundRecord]


class Kept(Protocol):
    """What a folder stores: a `chains.Chain`."""

    rounds: list[Round]

    def manifest(self) -> dict[str, Any]:
        """The fields of chain.json that describe the whole chain."""

    def strip_png(self) -> bytes:
        """All rounds in one picture."""


class ChainFolder:
    """The folder of one chain. `update` may be called after every round."""

    def __init__(self, path: Path, *, written: int = 0) -> None:
        self.path, self.written = path, written

    def update(self, chain: Kept) -> None:
        """Write the rounds that are not on disk yet. Raises OutputError."""
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
    path = expanded(folder)
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


def load(folder: str | os.PathLike[str], kind: type[K]) -> tuple[K, list[Round]]:
    """The fields of chain.json that describe the whole chain, as a record of this kind, and its rounds.

    Raises DataError if something is missing or damaged, with the command that begins another game from what is left.
    """
    path = expanded(folder)
    try:
        return _read(path, kind)
    except DataError as error:
        raise DataError(f"{error}{_rescue(path)}") from error


def _read(path: Path, kind: type[K]) -> tuple[K, list[Round]]:
    remedy = "Name the folder of a saved chain."
    manifest = read_json(path / _MANIFEST, remedy=remedy, missing=f"There is no {path / _MANIFEST}. {remedy}")
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise DataError(f"{path / _MANIFEST} is not of format {_FORMAT}, the one this version reads.")
    chain, rounds = (checked(manifest, part, str(path / _MANIFEST)) for part in (kind, _Rounds))
    if not rounds.rounds:
        raise DataError(f"No round of the chain in {path} was finished. Delete the folder and start again.")
    try:
        return chain, [_round(path, index, record) for index, record in enumerate(rounds.rounds)]
    except (ImageError, OSError) as error:
        raise DataError(f"The chain in {path} is damaged or incomplete: {error}") from error


def _rescue(path: Path) -> str:
    """How to go on from the last picture of a damaged chain, if there is one."""
    for picture in sorted(path.glob("rounds/*.png"), reverse=True):
        try:
            as_image(picture)
        except (ImageError, OSError):
            continue
        image = shlex.quote(str(picture))
        return f" Its last good picture can begin another game: telephonegan play --image={image}"
    return ""


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


def _round(path: Path, index: int, record: _RoundRecord) -> Round:
    maps = read_arrays(_maps_path(path, index))
    picture, image = None, None
    if record.picture is not None:
        image, told = as_image(_picture_path(path, index)), vars(record.picture)
        latents = None if record.picture.latents is None else _latents(path, index, record.picture.latents)
        painted = _maps_of(maps, "painted", record.picture.words, path, index)
        picture = Picture(image, stages=[image], attention=painted, **told | {"latents": latents})
    elif index > 0:
        raise DataError(f"The chain in {path} is damaged or incomplete: round {index} has no picture.")
    said = record.caption
    if said.probabilities and len(said.probabilities) != len(said.words):
        raise DataError(f"The chain in {path} is damaged: round {index} needs one probability per word.")
    seen = _maps_of(maps, "seen", said.words, path, index)
    return Round(index, Caption(image=image, attention=seen, **vars(said)), picture)


def _maps_of(maps: dict[str, np.ndarray], name: str, words: list[str], path: Path, index: int) -> np.ndarray | None:
    found = maps.get(name)
    if found is not None and (found.ndim != 3 or len(found) != len(words) or 0 in found.shape[1:]):
        raise DataError(f"{_maps_path(path, index)} is damaged: {name} needs one map per word.")
    return found


def _latents(path: Path, index: int, parts: list[str]) -> dict[str, np.ndarray]:
    found = read_arrays(_latents_path(path, index))
    if lost := [part for part in parts if part not in found]:
        raise DataError(f"{_latents_path(path, index)} is damaged or incomplete: it lacks {', '.join(lost)}.")
    return {part: found[part] for part in parts}


# A folder may come from somebody else and contain links to the user's other files.


def _picture_path(folder: Path, index: int) -> Path:
    return inside(folder, f"rounds/{index:02}.png", str(folder))


def _maps_path(folder: Path, index: int) -> Path:
    return inside(folder, f"attention/{index:02}.npz", str(folder))


def _latents_path(folder: Path, index: int) -> Path:
    return inside(folder, f"latents/{index:02}.npz", str(folder))


def _maps(each: Round) -> dict[str, np.ndarray]:
    """The attention of the captioner and of the generator (the latter in half precision, because it is large)."""
    painted = None if each.picture is None else each.picture.attention
    maps = {"seen": each.caption.attention, "painted": None if painted is None else painted.astype(np.float16)}
    return {name: values for name, values in maps.items() if values is not None}


def _npz(maps: dict[str, np.ndarray]) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, **maps)
    return buffer.getvalue()
