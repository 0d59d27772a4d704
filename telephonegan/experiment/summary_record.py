"""What summary.json must hold to be put into words and drawn: types, and lists of one length."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from telephonegan.drift.measures import MEASURES
from telephonegan.errors import DataError
from telephonegan.records import Count, Form, Range, checked

_Value = float | Annotated[str, Form("-?Infinity", "Infinity or -Infinity")] | None
_Round = Annotated[int, Range(0, 10**6)]


def check_summary(summary: dict[str, Any], where: str, remedy: str) -> None:
    """Raise DataError, ending in the `remedy`, unless this is a summary; `where` names its file."""
    checked(summary, _Summary, where, remedy=remedy)


def _same_length(rounds: list[int], rows: Iterable[_Row | None]) -> None:
    if not rounds or any(len(part) != len(rounds) for row in rows if row for part in (row.value, row.low, row.high)):
        raise DataError("it needs one value for each of its rounds.")


@dataclass(frozen=True)
class _Number:
    value: _Value
    low: _Value
    high: _Value
    unknown: Count = 0


@dataclass(frozen=True)
class _Row:
    """Numbers by round."""

    value: list[_Value]
    low: list[_Value]
    high: list[_Value]
    unknown: Count | list[Count] = 0

    def __post_init__(self) -> None:
        if isinstance(self.unknown, list) and len(self.unknown) != len(self.value):
            raise DataError("it needs one value for each of its rounds.")


@dataclass(frozen=True)
class _Reference(_Number):
    sources: Count | None = None
    difference: _Row | None = None


@dataclass(frozen=True)
class _Law:
    name: str
    aicc: float | Annotated[str, Form("-?Infinity", "Infinity or -Infinity")]
    held_out: float


@dataclass(frozen=True)
class _HalfLife:
    rounds: _Number | None
    plateau: _Number | None
    exponent: _Number | None
    laws: list[_Law]
    best: str | None
    agree: Count
    refused: Count
    resamples: Count
    reason: str

    def __post_init__(self) -> None:
        if self.best is not None and (len(self.laws) < 2 or (self.exponent is None and self.best == "power law")):
            raise DataError("half_life lacks the laws it compares.")
        if self.rounds is not None and (self.plateau is None or len(self.laws) < 2):
            raise DataError("half_life lacks its plateau or its laws.")


@dataclass(frozen=True)
class _Measure:
    direction: str
    rounds: list[_Round]
    start: _Row
    previous: _Row
    gc_at_t: _Number
    mean_similarity: _Number
    references: dict[str, _Reference]
    chance: _Row | None
    pairs: Count | None
    above_chance: _Row | None
    half_life: _HalfLife

    def __post_init__(self) -> None:
        differences = (each.difference for each in self.references.values())
        _same_length(self.rounds, (self.start, self.previous, self.chance, self.above_chance, *differences))


@dataclass(frozen=True)
class _Survival:
    rounds: list[_Round]
    share: _Row
    chance: _Row | None
    excess: _Row | None
    sources: Count | None

    def __post_init__(self) -> None:
        _same_length(self.rounds, (self.share, self.chance, self.excess))
        if (self.chance is None) != (self.excess is None):
            raise DataError("chance and excess belong together.")


@dataclass(frozen=True)
class _Diversity:
    round: _Round
    unique_per_seed: float
    effective: float
    per_seed: float | None
    chao_shen: float | None


@dataclass(frozen=True)
class _Distances:
    rounds: list[_Round]
    same_caption: _Row | None
    captions: _Row | None
    captions_change: _Number | None
    pictures: _Row | None
    pictures_change: _Number | None

    def __post_init__(self) -> None:
        _same_length(self.rounds, (self.same_caption, self.captions, self.pictures))


@dataclass(frozen=True)
class _Repetition:
    chains: Count
    repeat: Count
    different_ends: Count
    same_noise: bool | None
    repeat_before_last: Count | None
    left: Count | None
    repeat_at_end: Count | None
    cycles: dict[str, Count] | None
    in_a_cycle: Count | None

    def __post_init__(self) -> None:
        if self.same_noise and self.cycles is None:
            raise DataError("repetition lacks its cycles.")


@dataclass(frozen=True)
class _End:
    caption: str
    chains: Count
    settled: Count | None


@dataclass(frozen=True)
class _Chain:
    chain: str
    source: str
    last_to_start: dict[str, _Value]


@dataclass(frozen=True)
class _Counts:
    complete: bool
    sources: Count
    skipped: Count
    rounds_wanted: Count


@dataclass(frozen=True)
class _Summary:
    experiment: _Counts
    measures: dict[str, _Measure]
    survival: dict[str, _Survival]
    survival_of_lemmas: dict[str, _Survival]
    diversity: list[_Diversity]
    distances: _Distances
    repetition: _Repetition
    ends: list[_End]
    chains: list[_Chain]

    def __post_init__(self) -> None:
        if strange := self.measures.keys() - MEASURES.keys():
            raise DataError(f"{min(strange)!r} is not a measure of this version.")
        if self.survival and "all" not in self.survival:
            raise DataError("survival lacks the kind all.")
        if not self.diversity or not self.ends:
            raise DataError("diversity and ends must not be empty.")
