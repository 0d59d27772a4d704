"""Matching names in caption files to photographs, tolerating different spellings and reporting every difference."""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from telephonegan.images import PICTURE_SUFFIXES

_SAMPLE = 500  # names used to choose the folder
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True)
class Located:
    """The folder of the photographs, and the file name in it for each given name.

    `differing` has a line for each name spelled differently from its file, and `ambiguous` one for each name without a
    file because several fit, or because its file belongs to another name.
    """

    photos: Path
    names: dict[str, str]
    differing: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


def locate(folder: Path, names: Iterable[str], places: Sequence[str]) -> Located:
    """Find photographs by name in one of the `places` of a folder, or else anywhere below the folder.

    Names and files match if they differ only in Unicode form, case, separators (a backslash, a leading ./), suffix
    (missing, or of another picture format), or in folders that one of them omits. For absolute paths and URLs the end
    counts. A name that fits several files matches none.
    """
    names = list(dict.fromkeys(names))
    place = _best_place(folder, names, places)
    exact = {name: own for name in names if (own := _exact(folder, place, name)) is not None}
    rest = [name for name in names if name not in exact]
    if not rest:
        return Located(folder / place, exact)
    matched, ambiguous = _Matcher(folder, places).match(rest, {_joined(place, own) for own in exact.values()})
    if all(_inside(place, file) is not None for file in matched.values()):
        own = exact | {name: _inside(place, file) for name, file in matched.items()}
        photos = folder / place
    else:
        own = {name: _joined(place, file) for name, file in exact.items()} | matched
        photos = folder
    in_order = {name: own[name] for name in names if name in own}
    differing = [f"{name} → {own[name]} ({_difference(name, own[name])})" for name in matched]
    return Located(photos, in_order, differing, ambiguous)


def pictures_below(folder: Path) -> Iterator[str]:
    """Names of all picture files below a folder, relative to it; hidden files and folders are left out."""
    seen: set[tuple[int, int]] = set()  # folders, by device and inode: links may be circular
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            status = os.stat(folder / below)
            entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if posixpath.splitext(entry.name)[1].lower() in PICTURE_SUFFIXES:
                yield posixpath.join(below, entry.name)
            elif entry.is_dir():
                waiting.append(posixpath.join(below, entry.name))


def without_suffix(name: str) -> str:
    """A name without its picture suffix; other dots are kept.

    >>> without_suffix("a.b.jpg"), without_suffix("a.b")
    ('a.b', 'a.b')
    """
    stem, suffix = posixpath.splitext(name)
    return stem if suffix.lower() in PICTURE_SUFFIXES else name


def spelled(name: str) -> str:
    r"""A name normalised for comparison: NFC, lower case, / between folders, only the path of a URL.

    >>> spelled(".\\Images\\A.JPG")
    'images/a.jpg'
    """
    parts = [part for part in _local(name).replace("\\", "/").split("/") if part not in ("", ".")]
    return _folded("/".join(parts))


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _local(name: str) -> str:
    return unquote(urlsplit(name).path) if _ADDRESS.match(name) else name


def _is_absolute(name: str) -> bool:
    return re.match(r"[/\\]|[a-z]:[/\\]", name, re.IGNORECASE) is not None or _ADDRESS.match(name) is not None


# ------------------------------------------------------------------------------------------------- names that are exact


def _best_place(folder: Path, names: Sequence[str], places: Sequence[str]) -> str:
    """The place with the most photographs; the first in a tie."""
    some = names[:: max(1, len(names) // _SAMPLE)]
    there = [place for place in places if (folder / place).is_dir()] or ["."]
    counts = {place: sum(_exact(folder, place, name) is not None for name in some) for place in there}
    return max(there, key=counts.__getitem__)


def _exact(folder: Path, place: str, name: str) -> str | None:
    """The file of exactly this name: relative to the place, or absolute if it is elsewhere."""
    path = _local(name) if name.lower().startswith("file://") else name
    try:
        if not path or not os.path.isfile(os.path.join(folder, place, path)):
            return None
    except ValueError:  # a zero byte, or a character that the file system cannot encode
        return None
    if not os.path.isabs(path):
        return posixpath.normpath(path)
    inside = os.path.relpath(path, os.path.abspath(folder / place)).replace(os.sep, "/")
    return path if inside.startswith("../") else inside


def _joined(place: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(place, name))


def _inside(place: str, file: str) -> str | None:
    """The name of a file relative to a place; None if it is elsewhere."""
    if place == ".":
        return file
    return file.removeprefix(f"{place}/") if file.startswith(f"{place}/") else None


# ------------------------------------------------------------------------------------------------ names that are not


class _Matcher:
    """All pictures below a folder, indexed by the last part of their names."""

    def __init__(self, folder: Path, places: Sequence[str]) -> None:
        self._places = sorted((spelled(place).split("/") for place in places if place != "."), key=len, reverse=True)
        self._by_base: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for file in pictures_below(folder):
            base = _folded(file.rpartition("/")[2])
            self._by_base[base].append(file)
            self._by_stem[without_suffix(base)].append(file)

    def match(self, names: Sequence[str], taken: set[str]) -> tuple[dict[str, str], list[str]]:
        """Files by name, and remarks on names that fit several files or whose file belongs to another name."""
        candidates = {name: self._files(name) for name in names}
        found = {name: files[0] for name, files in candidates.items() if len(files) == 1}
        found |= self._lone_absolutes([name for name in names if not candidates[name]], {*taken, *found.values()})
        unsure = {name: " or ".join(files[:3]) for name, files in candidates.items() if len(files) > 1}
        claims: dict[str, set[str]] = defaultdict(set)
        for name, file in found.items():
            claims[file].add(self._identity(name))
        for name, file in found.items():
            whole, own = self._identity(file).split("/"), self._identity(name).split("/")
            if not _ends_with(whole, own) and (file in taken or len(claims[file]) > 1):
                unsure[name] = f"{file} belongs to another name"
        kept = {name: file for name, file in found.items() if name not in unsure}
        return kept, [f"{name}: {why}" for name, why in unsure.items()]

    def _files(self, name: str) -> list[str]:
        for spelling in dict.fromkeys((spelled(name), spelled(unquote(name)))):
            *folders, base = spelling.split("/")
            for same in (self._by_base.get(base), self._by_stem.get(without_suffix(base))):
                fitting = [file for file in same or () if self._fits(folders, spelled(file).split("/")[:-1])]
                if fitting:
                    top = [file for file in fitting if not self._below_place(spelled(file).split("/")[:-1])]
                    return top if len(top) == 1 else fitting
        return []

    def _fits(self, named: list[str], own: list[str]) -> bool:
        """Whether the folders of a name and a file agree as far as both have them."""
        below = self._below_place(own)
        named = self._below_place(named)
        return _ends_with(own, named) or _ends_with(named, below)

    def _below_place(self, folders: list[str]) -> list[str]:
        """Folders without a leading place of photographs."""
        for place in self._places:
            if folders[: len(place)] == place:
                return folders[len(place) :]
        return folders

    def _identity(self, name: str) -> str:
        """The identity of a photograph: its name without place and suffix."""
        *folders, base = spelled(name).split("/")
        return "/".join([*self._below_place(folders), without_suffix(base)])

    def _lone_absolutes(self, names: Sequence[str], taken: set[str]) -> dict[str, str]:
        """Absolute names in other folders, if name and file are the only ones with that ending."""
        ends: dict[str, list[str]] = defaultdict(list)
        for name in filter(_is_absolute, names):
            ends[posixpath.basename(spelled(name))].append(name)
        return {
            same[0]: self._by_base[end][0]
            for end, same in ends.items()
            if len(same) == 1 and len(self._by_base.get(end, ())) == 1 and self._by_base[end][0] not in taken
        }


def _ends_with(whole: list[str], end: list[str]) -> bool:
    return not end or whole[-len(end) :] == end


def _difference(given: str, own: str) -> str:
    """How a name and its file differ, in words."""
    folders, _, base = _local(given).replace("\\", "/").rpartition("/")
    own_folders, _, own_base = own.rpartition("/")
    if base != own_base == unquote(base):
        return "escapes"
    stem, own_stem = without_suffix(base), without_suffix(own_base)
    suffix, own_suffix = base[len(stem) :], own_base[len(own_stem) :]
    composed, own_composed = (unicodedata.normalize("NFC", each) for each in (stem, own_stem))
    ways = {
        "Unicode form": (stem == composed) != (own_stem == own_composed),
        "case": composed != own_composed or (suffix != own_suffix and suffix.lower() == own_suffix.lower()),
        "suffix": suffix.lower() != own_suffix.lower(),
        "folder": spelled(folders) != spelled(own_folders),
    }
    return ", ".join(way for way, differs in ways.items() if differs) or "separators"
