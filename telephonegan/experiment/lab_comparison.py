"""Analysed experiments side by side: a table with one row for each, and their curves of bits left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from telephonegan.drift.information import BitsLeft
from telephonegan.drift.statistics import Estimate, two_digits
from telephonegan.errors import DataError, printable
from telephonegan.experiment.lab import FORMAT, LAB
from telephonegan.files import expanded
from telephonegan.records import Range, checked, read_json

_COMPARED = (
    "experiment",
    "bits left, round 0",
    "1",
    "10",
    "last",
    "by chance",
    "found first",
    "law",
    "words said",
    "chance",
)


@dataclass(frozen=True)
class _Curve:
    value: list[float | None]
    low: list[float | None]
    high: list[float | None]

    def __post_init__(self) -> None:
        if not 0 < len(self.value) == len(self.low) == len(self.high):
            raise DataError("value, low and high must be lists of the same length, and not empty.")

    def shown(self, place: int) -> str:
        """A value with its interval, if it has one; "" where there is no such value."""
        if place >= len(self.value) or self.value[place] is None:
            return ""
        value, low, high = (part[place] for part in (self.value, self.low, self.high))
        interval = "" if low is None or high is None else f" [{two_digits(low)}, {two_digits(high)}]"
        return f"{two_digits(value)}{interval}"


@dataclass(frozen=True)
class _Bits:
    rounds: list[int]
    bits: _Curve
    top1: _Curve
    most: float
    sources: Annotated[int, Range(1, 2**31 - 1)]

    def __post_init__(self) -> None:
        if not len(self.rounds) == len(self.bits.value) == len(self.top1.value):
            raise DataError("rounds, bits and top1 must be of the same length.")

    def read(self) -> BitsLeft:
        """The analysis; unknown numbers are NaN."""
        bits, top1 = (
            Estimate(*(np.array(part, dtype=float) for part in (each.value, each.low, each.high)))
            for each in (self.bits, self.top1)
        )
        return BitsLeft(np.array(self.rounds), bits, top1, self.most, self.sources)


@dataclass(frozen=True)
class _Race:
    best: str | None


@dataclass(frozen=True)
class _Said:
    said: _Curve
    by_chance: list[float | None]


@dataclass(frozen=True)
class _Analysed:
    """What `compared` reads of a lab.json."""

    curves: dict[str, Any]
    bits: dict[str, _Bits | None]
    laws: dict[str, _Race | None]
    survival: dict[str, _Said | None]


def compared(folders: Sequence[str | Path], *, by: str = "sentences") -> str:
    """One row of Markdown for each analysed experiment: bits left, the law of the loss, and words that are left.

    Captions are compared by "sentences" or "words". Photographs found first and words said are those of the last round,
    each beside what chance gives; what an analysis left out is empty. A folder without a lab.json stands for all
    experiments in it, and one that is named twice has one row.
    Raises DataError where none was analysed, or not by sentences, and for a damaged lab.json.

    >>> print(compared(["out/lab/birds-fresh/as-planned", "out/lab/birds-fixed/as-planned"]))  # doctest: +SKIP
    """
    rows = [_compared_row(path, by) for path in _labs_of(folders)]
    return "\n".join(
        [f"| {' | '.join(_COMPARED)} |", "|---" * len(_COMPARED) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    )


def stored_bits(folders: Sequence[str | Path], *, by: str = "sentences") -> dict[str, BitsLeft]:
    """The bits left in analysed experiments, by their names, for `figures.bits_curves`; the folders are `compared`'s.

    Of several with one name, the later ones are called after their paths.
    Raises DataError where none was analysed, or one has no bits, and for a damaged lab.json.

    >>> figures.bits_curves(stored_bits(["out/lab"]))  # doctest: +SKIP
    """
    found: dict[str, BitsLeft] = {}
    for path in _labs_of(folders):
        told = _stored(path, by).bits.get(by)
        if told is None:
            raise DataError(f"{path} has no bits left: too few chains were played. Leave it out.")
        name = _experiment_name(path.parent)
        found[printable(str(path.parent) if name in found else name)] = told.read()
    return found


def _labs_of(folders: Sequence[str | Path]) -> list[Path]:
    return list(dict.fromkeys(path for folder in folders for path in _labs(expanded(folder))))


def _labs(folder: Path) -> list[Path]:
    try:
        folder = folder.resolve()  # "." has no name
        found = [folder / LAB] if (folder / LAB).exists() else sorted(folder.rglob(LAB))
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, links in a circle
        raise DataError(f"{folder} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not found:
        raise DataError(f"{folder} has no {LAB}. Make it with: telephonegan drift analyse {folder}")
    return found


def _stored(path: Path, by: str) -> _Analysed:
    remedy = "Analyse it again."
    record = read_json(path, dict[str, Any], remedy=remedy)
    if record.get("format") != FORMAT:
        raise DataError(f"{path} is not of format {FORMAT}, the one this version reads. {remedy}")
    lab = checked(record, _Analysed, str(path), remedy=remedy)
    if by not in lab.curves:
        raise DataError(f"{path} does not compare captions by {by}. Name what it has (--by), or analyse it again.")
    return lab


def _compared_row(path: Path, by: str) -> list[str]:
    lab = _stored(path, by)
    bits, race, words = lab.bits.get(by), lab.laws.get(by), lab.survival.get("all")
    top1 = bits.top1.value[-1] if bits else None
    by_chance = words.by_chance[-1] if words and words.by_chance else None
    cells = [
        _experiment_name(path.parent),
        *(bits.bits.shown(t) if bits else "" for t in (0, 1, 10, -1)),
        f"{100 / bits.sources:.1f} %" if bits else "",
        "" if top1 is None else f"{100 * top1:.1f} %",
        (race.best or "none") if race else "",
        words.said.shown(-1) if words else "",
        "" if by_chance is None else f"{by_chance:.2f}",
    ]
    return [printable(cell).replace("|", "\\|") for cell in cells]


def _experiment_name(folder: Path) -> str:
    """Like a run of a study, and like its doses, which other runs have too: run/setting=value."""
    if folder.name == "as-planned":
        return folder.parent.name
    return f"{folder.parent.name}/{folder.name}" if "=" in folder.name else folder.name
