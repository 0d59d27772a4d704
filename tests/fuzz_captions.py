"""Files of captions as people and programs write them, for `python -m tests.fuzz`: what goes in comes out or is listed.

Delimiters, quotes, headers, columns, line ends and encodings are drawn at random, captions contain any of these marks.
"""

from __future__ import annotations

import csv
import io
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path

from telephonegan.data.caption_files import read_caption_file

_ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1")
_WESTERN = ("utf-16-le", "utf-16-be", "cp1252", "latin-1")  # without a mark only such letters can be told from others
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MARKS = (
    *'"""\'\'`,,;;||#:!?()/\\&%-',
    '""',
    "it's",
    "#0",
    "a.jpg",
    "train",
    "caption",
    "7",
    "3,5",
    "http://x.org/a?b=c",
)
_ODD = ("é", "ñ", "ü", "ß", "£")
_WIDE = ("लड़का", "собака", "שלום", "🐕", "“quoted”", "…", "\u0301", "İ")


@dataclass(frozen=True)
class _File:
    """A file, and what is in it: photographs and captions. `is_exact` where quotes follow the rules of CSV."""

    content: bytes
    rows: list[tuple[str, str]]
    is_exact: bool


def attempt(seed: int, number: int) -> str:
    """What becomes of one file: "read", or "fault" and why. Raises what the library raises."""
    made = _made(seed, number)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "captions.txt"
        path.write_bytes(made.content)
        found = read_caption_file(path)
    rows = [(entry.name, caption) for entry in found.entries for caption in entry.captions]
    listed = sum(len(cases) for what, cases in found.remarks.items() if "left out" in what)
    if len(rows) + listed != len(made.rows):
        return f"fault {len(made.rows)} captions went in, {len(rows)} came out, {listed} are listed"
    if not listed:
        for came, went in zip(rows, made.rows, strict=True):
            if came != went and (made.is_exact or tuple(map(_letters, came)) != tuple(map(_letters, went))):
                return f"fault {went} became {came}, read as {found.read_as}"
    return "read"


def mutated(seed: int, number: int) -> bytes:
    """The content of one file; the same numbers give the same one."""
    return _made(seed, number).content


def prepare() -> None:
    """Load what is loaded once."""
    attempt(0, 0)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def _made(seed: int, number: int) -> _File:
    chance = random.Random(f"{seed}/{number}")
    encoding = chance.choice(_ENCODINGS)
    pieces = [*_MARKS, *_ODD] if encoding in _WESTERN else [*_MARKS, *_ODD, *_WIDE]
    rows = [_row(place, pieces, chance) for place in range(chance.choice((1, 2, 5, 12, 40)))]
    delimiter, end = chance.choice(",;\t|"), chance.choice(("\n", "\n", "\r\n", "\r"))
    has_header = chance.random() < 0.6
    columns = ["image", *(["number"] if chance.random() < 0.2 else []), "caption"]
    columns += ["split"] if has_header and chance.random() < 0.4 else []
    lines = [
        [{"image": name, "number": "0", "caption": caption, "split": "val"}[column] for column in columns]
        for name, caption in rows
    ]
    lines = [*([columns] if has_header else []), *lines]
    is_exact = chance.random() < 0.6
    if is_exact:
        text = io.StringIO()
        quoting = chance.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
        csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(lines)
        written = text.getvalue()
    else:  # quotes wherever they happen to be, and the delimiter in nothing but the last column
        if "split" in columns:
            lines = [[each.replace(delimiter, " ") for each in line] for line in lines]
            rows = [(name, caption.replace(delimiter, " ")) for name, caption in rows]
        written = "".join(delimiter.join(line) + end for line in lines)
    if chance.random() < 0.2:
        written = written.removesuffix(end)
    return _File(written.encode(encoding), rows, is_exact)


def _row(place: int, pieces: list[str], chance: random.Random) -> tuple[str, str]:
    words = ["".join(chance.choices(_LETTERS, k=chance.randint(1, 8))) for _ in range(chance.randint(2, 9))]
    for _ in range(chance.choice((0, 0, 1, 2, 4))):
        at = chance.randrange(len(words))
        words[at] = chance.choice((f"{words[at]}{{}}", f"{{}}{words[at]}", "{}")).format(chance.choice(pieces))
    folder, suffix = chance.choice(("", "", "", "images/")), chance.choice((".jpg", ".jpg", ".JPG", ".png"))
    return f"{folder}p{place}{suffix}", " ".join(" ".join(words).split())
