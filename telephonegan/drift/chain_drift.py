"""The drift of one chain: similarities, content words and repetition, with a notebook display."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

from telephonegan.drift.measures import MEASURES, Row, similarities
from telephonegan.drift.tracks import Observers, To, Track
from telephonegan.drift.words import Changes

_MOST_COLUMNS = 12


@dataclass(frozen=True, repr=False)
class Drift:
    """How a chain moves away from its round 0.

    - `rows`: similarities of every round from 1 on to round 0 and to the round before, see `measures.similarities`.
    - `changes`: content words kept, lost and gained since round 0, one `Changes` for each round from 1 on; `steps` is
      the same since the round before.
    - `repetition`: whether captions repeat, and for how long.

    >>> from telephonegan.drift.tracks import Turn
    >>> track = Track("a", "a", 0, (Turn(0, ("red", "ball")), Turn(1, ("blue", "ball"))))
    >>> Drift.of(track, ["content_f1"]).changes[0].lost
    ('red',)
    """

    track: Track
    rows: list[Row]

    @classmethod
    def of(
        cls,
        track: Track,
        measures: Sequence[str] | None = None,
        *,
        observers: Observers | None = None,
        device: str = "cpu",
    ) -> Drift:
        """Measure a chain. Raises the errors of `measures.similarities`."""
        return cls(track, similarities([track], measures, observers=observers, device=device))

    @cached_property
    def changes(self) -> list[Changes]:
        """Changes of the content words since round 0, for each round from 1 on."""
        return [Changes.of(self.track.turns[0].words, turn.words) for turn in self.track.turns[1:]]

    @cached_property
    def steps(self) -> list[Changes]:
        """Changes of the content words since the round before, for each round from 1 on."""
        turns = self.track.turns
        return [Changes.of(turns[t - 1].words, turns[t].words) for t in range(1, len(turns))]

    @cached_property
    def repetition(self) -> Repetition:
        """How the captions repeat."""
        return Repetition.of([turn.words for turn in self.track.turns])

    def values(self, measure: str, to: To = "start") -> dict[int, float]:
        """Similarity by one measure of each round that has one, by round."""
        return {row["round"]: row["value"] for row in self.rows if (row["measure"], row["to"]) == (measure, to)}

    def __repr__(self) -> str:
        head, *body = self._table()
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *body)]
        return "\n".join([self._title(), *(line.rstrip() for line in lines), *self._notes()])

    def _repr_html_(self) -> str:
        head, *body = self._narrow_table()
        lines = ["".join(f"<th>{_breakable(cell)}</th>" for cell in head)]
        lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in body]
        table = "".join(f"<tr>{line}</tr>" for line in lines)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self._notes())
        return f"<p>{escape(self._title())}</p><table style='font-size:12px'>{table}</table>{notes}"

    def _title(self) -> str:
        return f"Drift of {self.track.chain} over {max(0, len(self.track.turns) - 1)} rounds: similarity to round 0"

    def _table(self) -> list[list[str]]:
        """A header and a row for each measure that has values. Of a long chain, 12 evenly spaced rounds are shown."""
        rounds = self._shown_rounds()
        names = [name for name in MEASURES if self.values(name)]
        found = {name: self.values(name) for name in names}
        body = [
            [name, MEASURES[name].direction, *(_shown(found[name].get(round_)) for round_ in rounds)] for name in names
        ]
        return [["measure", "direction", *map(str, rounds)], *body]

    def _narrow_table(self) -> list[Sequence[str]]:
        """The same with a row for each round if there are fewer measures than rounds, so that it fits a phone."""
        head, *body = self._table()
        if len(body) >= len(head) - 2:
            return [head, *body]
        columns = [["round", *head[2:]], *([f"{name} {direction}", *values] for name, direction, *values in body)]
        return list(zip(*columns, strict=True))

    def _shown_rounds(self) -> list[int]:
        rounds = [turn.round for turn in self.track.turns[1:]]
        shown = min(len(rounds), _MOST_COLUMNS)
        return [rounds[round(i * (len(rounds) - 1) / max(1, shown - 1))] for i in range(shown)]

    def _notes(self) -> list[str]:
        if not self.changes:
            return ["There is no round after round 0, so there is nothing to compare."]
        last = self.changes[-1]
        parts = (("kept", last.kept), ("lost", last.lost), ("gained", last.gained))
        words = "; ".join(f"{name} {', '.join(words) or 'none'}" for name, words in parts)
        return [f"Content words from first to last caption: {words}.", self._rest()]

    def _rest(self) -> str:
        first, left = self.repetition.first, self.repetition.left
        if first is None:
            return "No two captions in a row are equal."
        return f"First repeated caption: round {first}; " + (
            "it lasts to the end." if left is None else f"left again in round {left}."
        )


def _breakable(name: str) -> str:
    """HTML that may be broken after the underscores and arrows of a name."""
    return re.sub("([_→])", r"\1<wbr>", escape(name))


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@dataclass(frozen=True)
class Repetition:
    """How the captions of a chain repeat.

    - `first`: the first round whose caption equals that of the round before; None if there is none.
    - `left`: the first round after `first` with another caption; None if there is none.
    - `period`: the length of the cycle in which the chain ends, if the noise is the same in every round; 1 is a fixed
      point. A round then depends only on the caption before, so a repeated caption means a permanent cycle. None if no
      caption is repeated, and with new noise in every round, where a repetition means little.
    - `attractor`: the captions of that cycle, beginning with the first in sorting order; without a cycle, the last
      caption.
    """

    first: int | None
    left: int | None
    period: int | None
    attractor: tuple[Any, ...]

    @classmethod
    def of(cls, captions: Sequence[Hashable], *, same_noise: bool = False) -> Repetition:
        """The repetition of captions, from round 0 on: texts or tuples of words.

        >>> Repetition.of(["a", "b", "c", "b"], same_noise=True)
        Repetition(first=None, left=None, period=2, attractor=('b', 'c'))
        """
        first = next((t for t in range(1, len(captions)) if captions[t] == captions[t - 1]), None)
        after = range(len(captions) if first is None else first, len(captions))
        left = next((t for t in after if captions[t] != captions[first]), None)
        period = cycle_length(captions) if same_noise else None
        lap = list(captions[len(captions) - (period or 1) :])
        rotations = (tuple(lap[i:] + lap[:i]) for i in range(len(lap)))
        return cls(first, left, period, min(rotations, default=()))


def cycle_length(captions: Sequence[Hashable]) -> int | None:
    """The number of rounds between the first repeated caption and its first occurrence; None if no caption is repeated.

    >>> cycle_length(["x", "a", "b", "a"]), cycle_length(["a", "b"])
    (2, None)
    """
    first_said: dict[Hashable, int] = {}
    for t, caption in enumerate(captions):
        if caption in first_said:
            return t - first_said[caption]
        first_said[caption] = t
    return None
