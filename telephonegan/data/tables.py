"""Tables in text files, whose delimiter, quotes and header are detected from their content.

Every line is one row, so that a stray quote never joins or loses others: a line with an odd number of quotes is read as
plain text.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from telephonegan.images import PICTURE_SUFFIXES
from telephonegan.text import decoded, lines_of

BLANK = " "
_KINDS = {"\t": "TSV", ",": "CSV", ";": "CSV with semicolons", "|": "table with bars", BLANK: "name, blank, caption"}
_SAMPLE = 400  # rows used to find the delimiter

# Titles by role, in order of preference if a table has several.
TITLES = {
    "name": (
        *("file_name", "filename", "image_file", "image_name", "image_path", "img_path", "image", "img", "path"),
        *("file_path", "filepath", "file", "photo", "photograph", "picture", "image_filename", "name", "image_id"),
        *("img_id", "photo_id", "id", "image_url", "img_url", "url"),
    ),
    "caption": (
        *("caption", "captions", "raw_caption", "image_caption", "sentence", "sentences", "text", "texts"),
        *("description", "descriptions", "comment", "comments", "raw", "alt_text", "alt", "prompt"),
    ),
    "split": ("split", "splits", "set", "subset", "partition"),
}
_PICTURE = re.compile(rf"\S.*\.(?:{'|'.join(s[1:] for s in PICTURE_SUFFIXES)})(?:#\d+)?(?:[?#]\S*)?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_TITLE = re.compile(r"[^\W\d][\w-]{0,30}(?: [\w-]{1,30}){0,2}")


class Row(NamedTuple):
    """One line of a table: its number, counted from 1, and its stripped cells."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class Table:
    """A table as it was found: `titles` is None without a header.

    `unbalanced` are the lines with an odd number of quotes, read as plain text, and `left_out` those that begin with #
    or repeat the header; `quoted` counts the lines with balanced quotes.
    """

    path: Path
    delimiter: str
    titles: list[str] | None
    rows: list[Row]
    unbalanced: list[Row] = field(default_factory=list)
    left_out: list[Row] = field(default_factory=list)
    quoted: int = 0

    def described(self) -> str:
        """A short description: kind and header."""
        header = "without a header" if self.titles is None else f"with header {', '.join(self.titles)}"
        return f"{_KINDS.get(self.delimiter, 'table')} {header}"

    def column(self, index: int) -> list[str]:
        """The cells of one column, counted from either end, in the rows long enough to have it."""
        needed = index + 1 if index >= 0 else -index
        return [row.cells[index] for row in self.rows if len(row.cells) >= needed]


def read_table(path: Path) -> Table:
    """Read a table; an empty file has no rows. Raises DataError if the file is not text."""
    return parsed_table(decoded(path)[0], path)


def parsed_table(text: str, path: Path) -> Table:
    """Parse a text as a table; `path` is where it comes from."""
    lines = [(number, line) for number, line in enumerate(lines_of(text), 1) if line.strip()]
    told = re.fullmatch(r"\"?sep=(.)\"?", lines[0][1].strip("\ufeff \r")) if lines else None  # as written by Excel
    kept = [(number, line) for number, line in lines[bool(told) :] if not _is_comment(line)]
    delimiter = told[1] if told else _delimiter([line for _, line in kept[:_SAMPLE]])
    rows = [Row(number, _cells(line, delimiter)) for number, line in kept]
    titles = None
    repeated: set[int] = set()
    if rows and _is_header(rows[0].cells, rows[1 : _SAMPLE + 1]):
        header = rows.pop(0).cells
        titles = _trimmed([title.lstrip("#").strip() for title in header], 0)
        repeated = {row.line for row in rows if row.cells == header}
        rows = [Row(row.line, _trimmed(row.cells, len(titles))) for row in rows if row.line not in repeated]
    left_out = [Row(number, [line]) for number, line in lines if number in repeated or _is_comment(line)]
    unbalanced = [Row(number, [line]) for number, line in kept if line.count('"') % 2]
    quoted = sum('"' in line for _, line in kept) - len(unbalanced)
    return Table(path, delimiter, titles, rows, unbalanced, left_out, quoted)


def _trimmed(cells: list[str], width: int) -> list[str]:
    """Cells without the empty ones beyond a width that spreadsheets append."""
    while len(cells) > width and not cells[-1]:
        cells = cells[:-1]
    return cells


def role(title: str) -> tuple[str, int] | None:
    """The role of a column with this title ("name", "caption" or "split"), and its rank among such titles.

    >>> role("File-Name"), role("Caption 2"), role("score")
    (('name', 0), ('caption', 0), None)
    """
    plain = re.sub(r"[\s.\-]+", "_", title.strip().strip("#\"'").strip().casefold())
    for what, titles in TITLES.items():
        for rank, known in enumerate(titles):
            if plain == known or (what == "caption" and re.sub(r"_?\d+$", "", plain) == known):
                return what, rank
    return None


def is_picture(cell: str) -> bool:
    """Whether a cell is a picture's name; a caption number (`#0`) may follow."""
    return _PICTURE.fullmatch(cell) is not None


def is_number(cell: str) -> bool:
    """Whether a cell is a number."""
    return _NUMBER.fullmatch(cell) is not None


def share(cells: Sequence[str], condition: Callable[[str], object]) -> float:
    """The fraction (0–1) of cells that fulfil a condition."""
    return sum(map(bool, map(condition, cells))) / len(cells) if cells else 0.0


def _is_comment(line: str) -> bool:
    begins = line.lstrip()
    if not begins.startswith("#"):
        return False
    cells = re.split(r"[\t,;|]", begins[1:])
    return not any(is_picture(cell.strip().strip('"')) for cell in cells) and not has_titles(cells)


def has_titles(cells: Iterable[str]) -> bool:
    """Whether the cells contain titles for photographs and for captions."""
    found = {known[0] for known in map(role, cells) if known}
    return {"name", "caption"} <= found


def _is_header(cells: list[str], rows: list[Row]) -> bool:
    """Detect a header by known titles, or by a column of picture names whose first cell is not one."""
    if len(cells) < 2 or any(map(is_picture, cells)):
        return False
    if has_titles(cells):
        return True
    if not all(_TITLE.fullmatch(cell) for cell in cells if cell):
        return False
    columns = [[row.cells[i] for row in rows if len(row.cells) > i] for i in range(len(cells))]
    if any(share(column, is_picture) > 0.9 for column in columns):
        return True
    return any(known and known[0] == "name" for known in map(role, cells))


def _delimiter(lines: list[str]) -> str:
    """The delimiter that splits a header into known titles, or else isolates picture names in their cells."""
    if not lines:
        return ","
    present = [mark for mark in "\t|;," if any(mark in line for line in lines)]
    for mark in [*present, BLANK]:
        if has_titles(_cells(lines[0], mark)):
            return mark
    scores = {mark: sum(_names_a_picture(line, mark) for line in lines) for mark in [*present, BLANK]}
    best = max(scores.values())
    if best > 0.5 * len(lines):
        best_marks = [mark for mark in scores if scores[mark] == best]
        return min(best_marks, key=lambda mark: (mark == BLANK, mark != "\t", _place(lines, mark)))
    if "\t" in lines[0]:
        return "\t"
    return "".join(re.findall("[|;,]", lines[0]))[:1] or ("\t" if "\t" in present else ",")


def _names_a_picture(line: str, mark: str) -> float:
    """1 if a cell is a picture's name; slightly less if it contains another delimiter and is not set off by tabs."""
    cells = _cells(line, mark)
    names = [cell for cell in (cells[:1] if mark == BLANK else cells) if is_picture(cell)]
    if len(cells) < 2 or not names:
        return 0.0
    return 1.0 if mark == "\t" or any(not re.search("[|;,]", name) for name in names) else 0.9


def _place(lines: list[str], mark: str) -> float:
    places = [line.find(mark) for line in lines if mark in line]
    return sum(places) / len(places)


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == BLANK:
        return [cell.strip() for cell in line.strip().split(BLANK, 1)]
    if '"' not in line or line.count('"') % 2:
        return [cell.strip() for cell in line.split(delimiter)]
    cells = _unquoted(line, delimiter)
    if len(cells) == 1 and delimiter in cells[0]:  # the whole line is quoted
        cells = _unquoted(cells[0], delimiter)
    return [cell.strip() for cell in cells]


def _unquoted(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    except csv.Error:  # a field of more than 128 kB
        return line.split(delimiter)
