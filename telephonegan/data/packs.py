"""A data folder in one file: small photographs, captions and splits, easy to copy to another machine.

A pack is a zip that unpacks to a plain data folder (images/, captions.txt, train.txt, …) with pack.json beside it. It
is a zip because every member has a checksum and can be read alone, and any machine can open it. Photographs are stored
as encoded, texts are deflated; dates and order are fixed, so that the same photographs give the same bytes.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

from PIL import Image
from tqdm.auto import tqdm

from telephonegan.data.caption_files import SPLITS
from telephonegan.data.folder import BY_MODEL, DataFolder
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.errors import DataError, SettingsError
from telephonegan.files import check_free, expanded, json_bytes, replace, writing
from telephonegan.records import Range, checked
from telephonegan.text import tokenise

UNCAPTIONED = "uncaptioned"
LARGEST = 1024  # pixels of a side

_FORMAT = 1
_DATE = (1980, 1, 1, 0, 0, 0)  # the first a zip knows
_SUFFIXES = {"webp": ".webp", "jpeg": ".jpg", "png": ".png"}
_ENCODINGS: dict[str, Callable[[int], dict[str, Any]]] = {
    "webp": lambda quality: {"quality": quality, "method": 6},
    "jpeg": lambda quality: {"quality": quality, "optimize": True},
    "png": lambda quality: {"optimize": True},
}


@dataclass(frozen=True)
class Pack:
    """The photographs of a pack by name. Raises DataError if the file is damaged or not a pack."""

    path: Path

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise DataError(f"{self.path} is not a pack, or is damaged: {error}. {_REMEDY}") from error

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Bytes of each photograph."""
        members = self._zip.infolist()
        return {m.filename.removeprefix(_IMAGES): m.file_size for m in members if m.filename.startswith(_IMAGES)}

    def photograph(self, name: str) -> bytes:
        """The encoded bytes of a photograph."""
        return self.read(_IMAGES + name)

    def read(self, member: str) -> bytes:
        """The bytes of one member, with its checksum verified."""
        try:
            return self._zip.read(member)
        except KeyError as error:
            raise DataError(f"{self.path} lacks {member}. {_REMEDY}") from error
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as error:
            raise DataError(f"{self.path} is damaged at {member}: {error}. {_REMEDY}") from error

    def lines(self, member: str) -> list[str]:
        try:
            return self.read(member).decode().splitlines()
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path} is damaged at {member}: {error}. {_REMEDY}") from error

    def has(self, member: str) -> bool:
        return member in self._zip.NameToInfo


_IMAGES = "images/"
_REMEDY = "Copy it again, or rebuild it with `telephonegan data pack`."


def open_pack(path: str | Path) -> DataFolder:
    """Read captions and splits of a pack, like `open_data` for a folder. Raises DataError."""
    path = Path(path)
    pack = Pack(path)
    told = _told(pack)
    captions = _captions(pack)
    splits = {split: pack.lines(f"{split}.txt") for split in SPLITS if pack.has(f"{split}.txt")}
    if lost := [name for listed in splits.values() for name in listed if name not in pack.sizes]:
        raise DataError(f"{path} lists {len(lost)} photographs that are missing, first {lost[0]}. {_REMEDY}")
    absent = {split: f"the pack was made of {', '.join(splits)}" for split in SPLITS if split not in splits}
    classes, read_as = told.get("classes"), (f"a pack of photographs of at most {told.get('size')} pixels",)
    return DataFolder(path, "pack", path, captions, splits, absent, classes=classes, pack=pack, read_as=read_as)


@dataclass(frozen=True)
class _Told:
    size: Annotated[int, Range(1, LARGEST)]
    classes: dict[str, int] | None = None


def _told(pack: Pack) -> dict[str, Any]:
    try:
        told = json.loads(pack.read("pack.json"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{pack.path} is damaged at pack.json: {error}. {_REMEDY}") from error
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise DataError(f"{pack.path} cannot be read by this version: its format is not {_FORMAT}. {_REMEDY}")
    checked(told, _Told, f"{pack.path}, pack.json", remedy=_REMEDY)
    return told


def _captions(pack: Pack) -> dict[str, list[list[str]]]:
    captions: dict[str, list[list[str]]] = {}
    for number, line in enumerate(pack.lines("captions.txt"), 1):
        name, tab, sentence = line.partition("\t")
        if not tab:
            raise DataError(f"{pack.path} is damaged at captions.txt, line {number}. {_REMEDY}")
        captions.setdefault(name.rpartition("#")[0], []).append(tokenise(sentence))
    return captions


# ---------------------------------------------------------------------------------------------------------- writing


def write_pack(
    data: DataFolder,
    out: str | Path,
    *,
    size: int = 128,
    encoding: str = "webp",
    quality: int = 88,
    splits: Sequence[str] | None = None,
    without: Iterable[int] = (),
    progress: bool = False,
) -> Path:
    """Pack a data folder's photographs, at most `size` pixels wide and high, with their captions and splits.

    `splits` are some of train, dev, test and uncaptioned (default: all that exist); photographs whose class number is
    in `without` are left out. Photographs are squashed to a square, as in every recipe, and never enlarged. Photographs
    from a pack that are small enough are copied unchanged.
    Raises DataError, ImageError, SettingsError, or OutputError if `out` already exists.

    >>> write_pack(open_data("flowers"), "flowers.pack", splits=["train", "dev"])  # doctest: +SKIP
    """
    _check_how(size, encoding, quality)
    parts = _wanted(data, splits, frozenset(without))
    told = {"format": _FORMAT, "size": size, "encoding": encoding, "quality": quality}
    as_they_are = data.pack is not None and _told(data.pack)["size"] <= size
    if as_they_are:
        told = {key: value for key, value in _told(data.pack).items() if key != "classes"}
    suffix = "" if as_they_are else _SUFFIXES[encoding]

    def content(part: CaptionedPhotos, row: int) -> bytes:
        return part.content(row) if as_they_are else _encoded(part.image(row), size, encoding, quality)

    rows = [(part, row, part.names[row] + suffix) for part in parts.values() for row in range(len(part))]
    bar = tqdm(rows, desc=f"packing {size} px", disable=not progress, mininterval=2)
    photographs = ((name, content(part, row)) for part, row, name in bar)
    captions = {name: part.captions[row] for part, row, name in rows if part.captions[row]}
    classes = None if data.classes is None else {name: part.classes[row] for part, row, name in rows}
    listed = {split: [name + suffix for name in part.names] for split, part in parts.items()}
    return _write(Path(out), told, classes, captions, listed, photographs)


def with_captions(data: DataFolder, out: str | Path, said: dict[str, list[list[str]]]) -> Path:
    """Copy a pack, adding its uncaptioned photographs in `said` to the training split with these captions.

    captions_by_model.txt lists them. Raises DataError or OutputError.
    """
    splits = {split: list(names) for split, names in data.splits.items()}
    splits["train"] = [*splits.get("train", []), *said]
    splits[UNCAPTIONED] = [name for name in data.uncaptioned() if name not in said]
    names = [name for listed in splits.values() for name in listed]
    photographs = ((name, data.pack.photograph(name)) for name in names)
    told = {key: value for key, value in _told(data.pack).items() if key != "classes"}
    by_model = {BY_MODEL: "".join(f"{name}\n" for name in said)}
    return _write(Path(out), told, data.classes, data.captions | said, splits, photographs, by_model)


def _check_how(size: int, encoding: str, quality: int) -> None:
    if encoding not in _ENCODINGS:
        raise SettingsError(f"format must be one of {', '.join(_ENCODINGS)}; {encoding!r} was given.")
    if not 8 <= size <= LARGEST:
        raise SettingsError(f"size must be from 8 to {LARGEST} pixels; {size} was given.")
    if not 1 <= quality <= 100:
        raise SettingsError(f"quality must be from 1 to 100; {quality} was given.")


def _wanted(data: DataFolder, splits: Sequence[str] | None, without: frozenset[int]) -> dict[str, CaptionedPhotos]:
    if splits is None:
        splits = [split for split in SPLITS if data.splits.get(split)]
        splits += [UNCAPTIONED] if data.uncaptioned() and data.boxes is None else []
    unknown = [split for split in splits if split not in (*SPLITS, UNCAPTIONED)]
    if unknown:
        raise DataError(f"There is no split {unknown[0]!r}. There are: {', '.join((*SPLITS, UNCAPTIONED))}.")
    parts = {
        split: data.rows(data.uncaptioned()) if split == UNCAPTIONED else data.split(split)
        for split in dict.fromkeys(splits)
    }
    return {split: part.without(without) for split, part in parts.items()}


def _encoded(image: Image.Image, size: int, encoding: str, quality: int) -> bytes:
    side = (min(size, image.width), min(size, image.height))
    if side != image.size:
        image = image.resize(side, Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, encoding.upper(), **_ENCODINGS[encoding](quality))
    return buffer.getvalue()


def _write(
    out: Path,
    told: dict[str, Any],
    classes: dict[str, int] | None,
    captions: dict[str, list[list[str]]],
    splits: dict[str, list[str]],
    photographs: Iterator[tuple[str, bytes]],
    more: dict[str, str] | None = None,
) -> Path:
    out = expanded(out)
    names = [name for listed in splits.values() for name in listed]
    if not names:
        raise DataError("There are no photographs to pack: choose a split that has some.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{twice} is in two splits. A pack can have each photograph only once.")
    texts = {
        "pack.json": json_bytes(told | ({} if classes is None else {"classes": {n: classes[n] for n in names}})),
        "captions.txt": _caption_lines(names, captions).encode(),
        **{f"{split}.txt": "".join(f"{name}\n" for name in listed).encode() for split, listed in splits.items()},
        **{member: text.encode() for member, text in (more or {}).items()},
    }
    check_free(out)
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for member, content in texts.items():
            file.writestr(zipfile.ZipInfo(member, _DATE), content, zipfile.ZIP_DEFLATED, 9)
        for name, content in photographs:
            file.writestr(zipfile.ZipInfo(_IMAGES + name, _DATE), content, zipfile.ZIP_STORED)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.touch(exist_ok=False)
        replace(out, buffer.getvalue())
    return out


def _caption_lines(names: list[str], captions: dict[str, list[list[str]]]) -> str:
    return "".join(
        f"{name}#{number}\t{' '.join(words)}\n" for name in names for number, words in enumerate(captions.get(name, ()))
    )
