"""A data folder once it is read: captions by photograph, the photographs of each split, and remarks."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from telephonegan.data.caption_files import SPLITS, split_of_word
from telephonegan.data.photos import Box, CaptionedPhotos, Packed
from telephonegan.errors import DataError, TextError
from telephonegan.images import PICTURE_SUFFIXES
from telephonegan.text import decoded, lines_of, tokenise

Captions = dict[str, list[list[str]]]
Remarks = dict[str, list[str]]

_LONGEST_CASE = 300  # characters
BY_MODEL = "captions_by_model.txt"  # names of the photographs whose captions a captioner made
MISSING = "named photographs that do not exist, left out"
_WITHOUT_WORD = "captions without words, left out"
_UNPARTED = "captions in a language without spaces between words, left out"
_UNCAPTIONED = "photographs without a caption"
_TWO_SPLITS = "photographs in two splits, kept in the first"
_GUESSED = "files whose encoding was guessed, so look at letters with accents"


class DataWarning(UserWarning):
    """Something in a data folder was left out, guessed or repaired."""


@dataclass(frozen=True)
class DataFolder:
    """The content of a data folder, whatever its layout: all captions by photograph, and the names of each split.

    `absent` has the reason for each missing split. Names are relative to `photos`. `read_as` describes how each file
    was understood, `remarks` list by kind all cases where something was left out, guessed or repaired, and `written`
    has each photograph's first caption as it is in the file.
    """

    folder: Path
    layout: str
    photos: Path
    captions: Captions
    splits: dict[str, list[str]]
    absent: dict[str, str] = field(default_factory=dict)
    classes: dict[str, int] | None = None
    boxes: dict[str, Box] | None = None
    pack: Packed | None = None
    read_as: tuple[str, ...] = ()
    remarks: Remarks = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)

    def split(self, name: str) -> CaptionedPhotos:
        """One split. Raises DataError if it is missing or empty, or if one of its photographs has no caption."""
        if name not in SPLITS:
            raise DataError(f"There is no split {name!r}. There are: {', '.join(SPLITS)}.")
        if name in self.absent:
            raise DataError(
                f"{self.folder} has no {name} split: {self.absent[name]}. It was read as the {self.layout} layout; "
                f"`telephonegan data check {self.folder}` shows how."
            )
        names = self.splits[name]
        if not names:
            raise DataError(f"The {name} split of {self.folder} is empty. It needs at least one captioned photograph.")
        without = [each for each in names if each not in self.captions]
        if without:
            raise DataError(f"{len(without)} photographs of the {name} split have no caption, first {without[0]}.")
        return self.rows(names)

    def rows(self, names: list[str]) -> CaptionedPhotos:
        """Any photographs of this folder by name; those without a caption get an empty list."""
        return CaptionedPhotos(
            self.photos,
            names,
            [self.captions.get(name, []) for name in names],
            None if self.classes is None else [self.classes[name] for name in names],
            None if self.boxes is None else [self.boxes[name] for name in names],
            self.pack,
        )

    def samples(self) -> list[tuple[str, str, str]]:
        """Three photographs for inspection: name, first caption as written, and the words read from it."""
        names = list(self.captions)
        chosen = [names[row] for row in sorted({0, (len(names) - 1) // 2, len(names) - 1})] if names else []
        words = {name: " ".join(self.captions[name][0]) for name in chosen}
        return [(name, self.written.get(name, words[name]), words[name]) for name in chosen]

    def uncaptioned(self) -> list[str]:
        """Names of the photographs without a caption, in order."""
        return sorted(self.pictures() - self.captions.keys())

    def pictures(self) -> set[str]:
        """Names of the picture files in the pack, or in every folder that contains a captioned photograph."""
        if self.pack is not None:
            return set(self.pack.sizes)
        parents = {Path(name).parent for name in self.captions}
        return {
            (parent / path.name).as_posix()
            for parent in parents
            if (self.photos / parent).is_dir()
            for path in (self.photos / parent).iterdir()
            if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
        }


class Gathering:
    """Captions, splits and remarks, collected while the files of a folder are read."""

    def __init__(self, folder: Path, layout: str) -> None:
        self.folder, self.layout = folder, layout
        self.captions: Captions = {}
        self.splits: dict[str, str] = {}
        self.remarks: Remarks = defaultdict(list)
        self.read_as: list[str] = []
        self._named: dict[str, None] = {}
        self._written: dict[str, str] = {}
        self._refusal = ""

    def add(self, name: str, captions: Iterable[str], place: str, split: str | None = None) -> None:
        """Add a photograph's captions and split; `place` is their position in the file."""
        self._named.setdefault(name)
        if split is not None and self.splits.setdefault(name, split) != split:
            self.remarks[_TWO_SPLITS].append(f"{place}: {name}, {self.splits[name]} and {split}")
        for caption in captions:
            try:
                words = tokenise(caption)
            except TextError as error:
                self._refusal = self._refusal or str(error)
                self.remarks[_UNPARTED].append(f"{place}: {caption[:60]}")
                continue
            if words:
                self.captions.setdefault(name, []).append(words)
                self._written.setdefault(name, caption)
            else:
                self.remarks[_WITHOUT_WORD].append(f"{place}: {caption[:60]!r}")

    def note(self, remarks: Mapping[str, list[str]]) -> None:
        """Add the remarks on a file."""
        for what, cases in remarks.items():
            self.remarks[what] += cases

    def lines(self, path: Path) -> list[str]:
        """The non-empty lines of a text file, stripped."""
        text, encoding, is_guess = decoded(path)
        if is_guess:
            self.remarks[_GUESSED].append(f"{path.relative_to(self.folder).as_posix()}: {encoding}")
        return [line.strip() for line in lines_of(text) if line.strip()]

    def finished(self, photos: Path, splits: dict[str, list[str]], absent: dict[str, str], **more: Any) -> DataFolder:
        """The data folder. Raises DataError if no caption is left."""
        if not self.captions:
            why = self._refusal or "; ".join(f"{what}: {cases[0]}" for what, cases in self.remarks.items() if cases)
            raise DataError(f"{self.folder} has no readable caption. {why}".rstrip())
        self.remarks[_UNCAPTIONED] += [name for name in self._named if name not in self.captions]
        return DataFolder(
            self.folder,
            self.layout,
            photos,
            self.captions,
            splits,
            absent,
            read_as=tuple(self.read_as),
            remarks={what: [*map(_cut, cases)] for what, cases in self.remarks.items() if cases},
            written=self._written,
            **more,
        )


def _cut(case: str) -> str:
    return case if len(case) <= _LONGEST_CASE else f"{case[:_LONGEST_CASE]}…"


# --------------------------------------------------------------------------------------------------------------- splits


def tenth(name: str) -> int:
    """0 to 9 by the name only, so that adding photographs never moves others to another split."""
    return int(hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest(), 16) % 10


def split_by_name(name: str) -> str:
    """The default split of a photograph by its name: a tenth is dev, another tenth test."""
    return {0: "dev", 1: "test"}.get(tenth(name), "train")


def divided(gathering: Gathering, photos: Path) -> dict[str, list[str]]:
    """The splits: as given in the caption files, else by folders named after splits, else by name."""
    names = [*gathering.captions]
    given = gathering.splits or _splits_of_folders(names)
    if not given:
        there = {name for name in names if os.path.isfile(photos / name)}  # no error for a name that is too long
        gathering.remarks[MISSING] += [name for name in names if name not in there]
        return {split: [n for n in names if n in there and split_by_name(n) == split] for split in SPLITS}
    splits = {split: [name for name in names if given.get(name) == split] for split in SPLITS}
    return held_out({split: found for split, found in splits.items() if found})


def _splits_of_folders(names: Iterable[str]) -> dict[str, str]:
    """Splits by folders named after them; empty if a photograph is elsewhere."""
    found = {}
    for name in names:
        split = next(filter(None, map(split_of_word, name.split("/")[:-1])), None)
        if split is None:
            return {}
        found[name] = split
    return found


def held_out(splits: dict[str, list[str]]) -> dict[str, list[str]]:
    """The splits, with a tenth of train as dev if there is no dev."""
    if "train" not in splits or "dev" in splits:
        return splits
    held_out = {name for name in splits["train"] if tenth(name) == 0}
    parts = {split: [n for n in splits["train"] if (n in held_out) == (split == "dev")] for split in ("train", "dev")}
    return parts | {split: names for split, names in splits.items() if split not in parts}
