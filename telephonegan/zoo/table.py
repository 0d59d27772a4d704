"""The models there are, as a table for a terminal or a notebook."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from telephonegan.errors import printable
from telephonegan.zoo.catalogue import Entry
from telephonegan.zoo.worlds import World


class ModelTable(Sequence):
    """The models there are, one `Entry` each, and `worlds`; prints as tables no wider than the terminal."""

    _HEADER = ("name", "kind", "size", "what it is", "quality", "licence")
    _WORLD_HEADER = ("world", "what it knows", "what to ask it for")

    def __init__(self, entries: Sequence[Entry], worlds: Sequence[World] = ()) -> None:
        self._entries, self.worlds = list(entries), list(worlds)

    def __getitem__(self, index: Any) -> Any:
        return self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        if not self._entries:
            return "There are no models here yet."
        rows = [self._HEADER, *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = []
        for *short, what, quality, licence in rows:
            start = "".join(cell.ljust(width) + "  " for cell, width in zip(short, widths, strict=True))
            lines += [wrapped(what, start), *(wrapped(text, " " * len(start)) for text in (quality, licence) if text)]
        return "\n".join([*self._world_lines(), *lines])

    def _world_lines(self) -> list[str]:
        rows = [
            tuple(map(printable, (world.name, world.knows or "not described", *world.examples)))
            for world in self.worlds
        ]
        width = max((len(name) for name, *_ in rows), default=0)
        lines = []
        for name, knows, *examples in [self._WORLD_HEADER[:2], *rows] if rows else []:
            start = name.ljust(width) + "  "
            lines += [wrapped(knows, start), *(wrapped(f"“{text}”", " " * len(start)) for text in examples)]
        return [*lines, ""] if lines else []

    def _repr_html_(self) -> str:
        worlds = [(world.name, world.knows, " · ".join(world.examples)) for world in self.worlds]
        told = _html_table(self._WORLD_HEADER, worlds) if worlds else ""
        return told + _html_table(self._HEADER, self._rows())

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for entry in self._entries:
            what = entry.description or entry.architecture
            size = f"{entry.size / 1e6:.1f} MB" if entry.size else "missing"
            yield tuple(map(printable, (entry.name, entry.kind, size, what, _quality(entry.quality), entry.licence)))


def _html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def wrapped(text: str, start: str) -> str:
    """A text wrapped to the terminal, with `start` before its first line and the others indented to match.

    >>> wrapped("a model", "name  ")
    'name  a model'
    """
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 120)
    return textwrap.fill(
        text,
        width,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _quality(measured: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in measured.items()
        if isinstance(value, int | float | str)
    )
