"""A chain on disk: strip.png, rounds/NN.png, attention/NN.png and .npz, and chain.json with all the rest.

A running game adds round after round, and chain.json, written last, says which rounds are whole. Pictures have 8 bits
per channel in the game as on disk, so a game that is read back and played on ends as if it had never stopped.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import uuid
import zipfile
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

import telephonegan
from telephonegan.chains import MOST_ROUNDS, Chain, PlaySettings, Round
from telephonegan.errors import DataError, TelephoneganError
from telephonegan.files import check_free, json_bytes, new_folder, png_bytes, replace, writing
from telephonegan.images import as_image
from telephonegan.inference import check_seed, check_whole
from telephonegan.results import Caption, Picture

_FORMAT = 1
_MANIFEST = "chain.json"
_MODELS = ("captioner", "generator")


class ChainFolder:
    """The folder of one game. `update` may be called after every round."""

    def __init__(self, path: Path, *, written: int = 0) -> None:
        self.path, self.written = path, written

    def update(self, chain: Chain) -> None:
        """Write the rounds that are not there yet. Raises OutputError."""
        for step in chain.rounds[self.written :]:
            self._write_round(step)
        replace(self.path / _MANIFEST, json_bytes(_manifest(chain)))
        self.written = len(chain)

    def finish(self, chain: Chain) -> None:
        """Write what is missing, and the strip of all rounds. Raises OutputError."""
        self.update(chain)
        replace(self.path / "strip.png", chain.strip_png())

    def _write_round(self, step: Round) -> None:
        with writing(self.path):
            (self.path / "rounds").mkdir(exist_ok=True)
            (self.path / "attention").mkdir(exist_ok=True)
        if step.picture is not None:
            replace(_picture_path(self.path, step.index), png_bytes(step.picture.image))
        if step.picture is not None and step.caption.attention is not None and step.caption.words:
            sheet = step.caption.attention_sheet()
            replace(_maps_path(self.path, step.index).with_suffix(".png"), png_bytes(sheet))
        if maps := _maps(step):
            replace(_maps_path(self.path, step.index), _npz(maps))


def save(chain: Chain, folder: str | os.PathLike[str]) -> Path:
    """Write a whole chain to a new folder, or nothing. Raises OutputError."""
    path = Path(folder).expanduser()
    check_free(path)
    partial = new_folder(path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial"))
    try:
        ChainFolder(partial).finish(chain)
        with writing(path):
            check_free(path)
            os.rename(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def load(folder: str | os.PathLike[str]) -> Chain:
    """Read a chain. Raises DataError where something is missing or damaged."""
    path = Path(folder).expanduser()
    try:
        manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is no saved game: it holds no {_MANIFEST}. Name the folder of one.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path / _MANIFEST} cannot be read: {error}.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise DataError(f"{path / _MANIFEST} is not of format {_FORMAT}, the one this version reads.")
    try:
        return _chain(path, manifest)
    except (KeyError, TypeError, ValueError, AttributeError, OSError, zipfile.BadZipFile) as error:
        what = str(error) if isinstance(error, TelephoneganError | OSError) else f"{type(error).__name__}: {error}"
        raise DataError(f"The game in {path} is damaged or incomplete: {what}") from error


def _manifest(chain: Chain) -> dict[str, Any]:
    from_text = isinstance(chain.source, str)
    return {
        "format": _FORMAT,
        "source": {"text": chain.source} if from_text else {"image": "rounds/00.png", "name": chain.source_name},
        "seed": chain.seed,
        "chain": chain.number,
        "rounds_wanted": chain.wanted,
        "settings": asdict(chain.settings),
        "models": chain.models,
        "versions": {
            "telephonegan": telephonegan.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "started": chain.started,
        "rounds": [_record(step) for step in chain],
    }


def _record(step: Round) -> dict[str, Any]:
    caption, picture = step.caption, step.picture
    return {
        "caption": _fields(caption, without=("attention", "image")),
        "picture": None if picture is None else _fields(picture, without=("attention", "image", "stages")),
    }


def _fields(result: Caption | Picture, without: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in vars(result).items() if name not in without}


def _chain(path: Path, manifest: dict[str, Any]) -> Chain:
    rounds = [_round(path, index, record) for index, record in enumerate(manifest["rounds"])]
    if not rounds:
        raise DataError(f"no round of it was finished. Delete {path} and start again.")
    source = manifest["source"]
    return Chain(
        source=source["text"] if "text" in source else rounds[0].picture.image,
        source_name=source.get("name", ""),
        seed=check_seed(manifest["seed"]),
        number=check_seed(manifest["chain"]),
        wanted=check_whole(manifest["rounds_wanted"], "rounds_wanted", 1, MOST_ROUNDS),
        settings=PlaySettings(**manifest["settings"]),
        models={kind: {part: str(manifest["models"][kind][part]) for part in ("name", "sha256")} for kind in _MODELS},
        rounds=rounds,
        started=manifest["started"],
    )


def _round(path: Path, index: int, record: dict[str, Any]) -> Round:
    maps = _read_npz(_maps_path(path, index))
    picture, image = None, None
    if record["picture"] is not None:
        image = as_image(_picture_path(path, index))
        picture = Picture(image, stages=[image], attention=maps.get("painted"), **record["picture"])
    said = record["caption"] | {"alternatives": [(text, log) for text, log in record["caption"]["alternatives"]]}
    return Round(index, Caption(image=image, attention=maps.get("seen"), **said), picture)


def _picture_path(folder: Path, index: int) -> Path:
    return folder / "rounds" / f"{index:02}.png"


def _maps_path(folder: Path, index: int) -> Path:
    return folder / "attention" / f"{index:02}.npz"


def _maps(step: Round) -> dict[str, np.ndarray]:
    """Where the captioner looked while it spoke, and where each word was painted (in half precision: it is large)."""
    painted = None if step.picture is None else step.picture.attention
    maps = {"seen": step.caption.attention, "painted": None if painted is None else painted.astype(np.float16)}
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
