"""Checking a data folder before training: how it was read, whether it can be trained on, and its oddities."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan.errors import DataError, ImageError, printable

if TYPE_CHECKING:
    from telephonegan.data.folder import DataFolder
    from telephonegan.data.photos import CaptionedPhotos

TINY = 32  # pixels of the shorter side: the smallest picture any recipe paints

_SHOWN = 5
_WIDTH = 80
_PROBLEMS = {  # each would break training
    "absent_splits": "splits that are missing or empty",
    "missing": "listed photographs that do not exist",
    "unreadable": "photographs that cannot be read",
    "without_caption": "photographs of a split without a caption",
}
_REMARKS = {
    "duplicates_across_splits": "duplicate photographs across splits",
    "duplicates_within_splits": "duplicate photographs within a split",
    "captions_across_splits": "duplicate captions across splits",
    "captions_without_photograph": "names with captions and no photograph",
    "photographs_without_caption": "photographs in the folder without a caption",
    "tiny": f"photographs with a side below {TINY} pixels",
    "warnings": "other warnings",
}


def check(folder: str | Path, layout: str | None = None, *, progress: bool = False) -> dict[str, Any]:
    """Read every caption and photograph of a data folder, and report counts, problems and remarks.

    Returns folder, layout, read_as (how each file was understood), samples (three captions, as written and as words),
    usable, splits (counts by split), problems (which would break training), reading (what the reader left out, guessed
    or repaired) and remarks; the last three are lists by kind. Photographs are duplicates if their files or their
    decoded pixels are identical. `progress` shows a bar. Raises DataError if the folder has no known layout.

    >>> check("flickr8k")["splits"]["train"]["photographs"]  # doctest: +SKIP
    6000
    """
    from telephonegan.data.folder import MISSING, DataWarning
    from telephonegan.data.layouts import open_data

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        contents = open_data(folder, layout)
    looks = _look_at_all(contents, progress)
    problems = {
        "absent_splits": _absent(contents),
        "missing": [each.place for each in looks if each.is_missing],
        "unreadable": [f"{each.place}: {each.fault}" for each in looks if each.fault and not each.is_missing],
        "without_caption": [each.place for each in looks if each.name not in contents.captions],
    }
    pictures = contents.pictures()
    remarks = {
        **_duplicates(looks),
        "captions_across_splits": _shared_captions(contents),
        "captions_without_photograph": sorted(_without_file(contents) - {each.name for each in looks}),
        "photographs_without_caption": sorted(pictures - contents.captions.keys()),
        "tiny": [f"{each.place}: {each.width}×{each.height}" for each in looks if each.is_tiny],
        "warnings": [str(each.message) for each in caught if not issubclass(each.category, DataWarning)],
    }
    return {
        "folder": str(folder),
        "layout": contents.layout,
        "read_as": list(contents.read_as),
        "samples": [
            {"photograph": name, "caption": caption, "words": words} for name, caption, words in contents.samples()
        ],
        "usable": not any(problems.values()),
        "splits": {split: _counts(contents, names) for split, names in contents.splits.items()},
        "problems": problems,
        # captions_without_photograph lists these again
        "reading": {what: cases for what, cases in contents.remarks.items() if what != MISSING},
        "remarks": remarks,
    }


@dataclass(frozen=True)
class _Look:
    """One photograph of a split: digests of file and pixels, and size; or the fault that prevented reading it."""

    split: str
    name: str
    file: str = ""
    pixels: str = ""
    width: int = 0
    height: int = 0
    fault: str = ""
    is_missing: bool = False

    @property
    def place(self) -> str:
        return f"{self.split}/{self.name}"

    @property
    def is_tiny(self) -> bool:
        return not self.fault and min(self.width, self.height) < TINY


def _look_at_all(contents: DataFolder, progress: bool) -> list[_Look]:
    from tqdm.auto import tqdm

    bar = tqdm(total=sum(map(len, contents.splits.values())), desc="photographs", disable=not progress, mininterval=2)
    looks = []
    with bar:
        for split, names in contents.splits.items():
            photos = contents.rows(names)
            for row in range(len(photos)):
                looks.append(_look(split, photos, row))
                bar.update()
    return looks


def _look(split: str, photos: CaptionedPhotos, row: int) -> _Look:
    name = photos.names[row]
    if not photos.is_there(row):
        return _Look(split, name, fault="the file does not exist", is_missing=True)
    try:
        image = photos.image(row)
        file = hashlib.sha256(photos.content(row)).hexdigest()
    except (ImageError, DataError, OSError) as error:
        return _Look(split, name, fault=str(error))
    pixels = hashlib.sha256(f"{image.size} ".encode() + image.tobytes()).hexdigest()
    return _Look(split, name, file, pixels, image.width, image.height)


def _absent(contents: DataFolder) -> list[str]:
    empty = [f"{split}: empty" for split, names in contents.splits.items() if not names]
    return [f"{split}: {why}" for split, why in contents.absent.items()] + empty


def _without_file(contents: DataFolder) -> set[str]:
    photos = contents.rows(list(contents.captions))
    return {name for row, name in enumerate(photos.names) if not photos.is_there(row)}


def _duplicates(looks: list[_Look]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[_Look]] = defaultdict(list)
    for look in looks:
        if not look.fault:
            groups[look.pixels].append(look)
    found: dict[str, list[dict[str, Any]]] = {"duplicates_across_splits": [], "duplicates_within_splits": []}
    for group in groups.values():
        if len(group) > 1:
            where = "within" if len({look.split for look in group}) == 1 else "across"
            equal = "file" if len({look.file for look in group}) == 1 else "pixels"
            record = {"equal": equal, "photographs": [look.place for look in group]}
            found[f"duplicates_{where}_splits"].append(record)
    return found


def _shared_captions(contents: DataFolder) -> list[dict[str, Any]]:
    splits: dict[str, dict[str, None]] = defaultdict(dict)
    for split, names in contents.splits.items():
        for caption in _captions(contents, names):
            splits[" ".join(caption)][split] = None
    return [{"caption": caption, "splits": list(where)} for caption, where in splits.items() if len(where) > 1]


def _captions(contents: DataFolder, names: Iterable[str]) -> Iterable[list[str]]:
    return (caption for name in names for caption in contents.captions.get(name, ()))


def _counts(contents: DataFolder, names: list[str]) -> dict[str, Any]:
    each = [len(contents.captions.get(name, ())) for name in names]
    words = [word for caption in _captions(contents, names) for word in caption]
    return {
        "photographs": len(names),
        "captions": sum(each),
        "captions_per_photograph": {
            "min": min(each, default=0),
            "mean": round(sum(each) / max(1, len(each)), 2),
            "max": max(each, default=0),
        },
        "words": len(words),
        "different_words": len(set(words)),
    }


def in_words(report: dict[str, Any]) -> str:
    """The report of `check` as text, with the first few entries of every list."""
    lines = [f"{report['folder']}: {report['layout']} layout"]
    lines += [f"read as: {each}" for each in report["read_as"]]
    for each in report["samples"]:
        lines += [f"  {each['photograph']}  {_cut(each['caption'])!r}", f"    words: {_cut(each['words'])}"]
    columns = ("split", "photographs", "captions", "per photograph", "words", "different words")
    lines.append("{:6} {:>12} {:>10} {:>18} {:>10} {:>16}".format(*columns))
    for split, counts in report["splits"].items():
        each = counts["captions_per_photograph"]
        spread = f"{each['min']} to {each['max']}, mean {each['mean']:g}"
        cells = (split, counts["photographs"], counts["captions"], spread, counts["words"], counts["different_words"])
        lines.append("{:6} {:>12} {:>10} {:>18} {:>10} {:>16}".format(*cells))
    for kind, what in _PROBLEMS.items():
        lines += _listed(what, report["problems"][kind])
    for what, cases in report["reading"].items():
        lines += _listed(what, cases)
    for kind, what in _REMARKS.items():
        lines += _listed(what, report["remarks"][kind])
    lines.append("Usable." if report["usable"] else "Not usable: fix the first problem.")
    return "\n".join(map(printable, lines)) + "\n"


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"


def _listed(what: str, found: list[Any]) -> list[str]:
    if not found:
        return []
    lines = [f"{what}: {len(found)}", *(f"  {_item(each)}" for each in found[:_SHOWN])]
    return lines if len(found) <= _SHOWN else [*lines, f"  … and {len(found) - _SHOWN} more; --json lists all"]


def _item(each: str | dict[str, Any]) -> str:
    if isinstance(each, str):
        return each
    if "caption" in each:
        return f"{each['caption']} ({', '.join(each['splits'])})"
    return f"{' = '.join(each['photographs'])} (equal {each['equal']})"
