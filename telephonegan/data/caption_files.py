"""Reading caption files of any form: a table, JSON lines, or JSON in the layout of COCO, Karpathy and others.

How the file was understood is kept with its content, and everything left out is listed.
"""

from __future__ import annotations

import ast
import json
import mmap
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from telephonegan.data.tables import (
    Row,
    Table,
    has_titles,
    is_number,
    is_picture,
    parsed_table,
    read_table,
    role,
    share,
)
from telephonegan.errors import DataError
from telephonegan.files import substitute
from telephonegan.text import decoded, lines_of

_JSON_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson"})
SUFFIXES = _JSON_SUFFIXES | {".txt", ".csv", ".tsv", ".token"}
SPLITS = ("train", "dev", "test")
NO_SPLIT = "entries of an unknown split, left out of the splits"
_NO_NAME = "entries without a photograph's name, left out"
_NOT_TEXT = "captions that are null or not text, left out"
_NEARLY_ALL = 0.98
_SAMPLE = 200  # lines examined to identify a file
_LONGEST_LIST = 100_000  # characters
_MOST_UNNAMED_JSON = 200_000_000  # largest file in bytes that is read just to see whether it contains captions
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "restval"), "train"),
    **dict.fromkeys(("dev", "development", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}


class Entry(NamedTuple):
    """One entry for a photograph in a file: its name, captions as written, split, and position in the file."""

    name: str
    captions: list[str]
    split: str | None
    place: str


@dataclass
class CaptionFile:
    """A file of captions as it was read.

    `form` is "table", "coco", "karpathy" or "json", and `read_as` describes how it was understood. `remarks` list, by
    kind, the places where something was guessed, left out or repaired.
    """

    path: Path
    form: str
    read_as: str = ""
    entries: list[Entry] = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def split_of_word(word: str) -> str | None:
    """The split that a word stands for; None for other words.

    >>> split_of_word("Validation"), split_of_word("restval"), split_of_word("dog")
    ('dev', 'train', None)
    """
    return SPLIT_WORDS.get(word.strip().casefold())


def split_of_file(path: Path) -> str | None:
    """The split named by a file or else by one of its folders.

    >>> split_of_file(Path("annotations/captions_val2017.json")), split_of_file(Path("valid/metadata.csv"))
    ('dev', 'dev')
    """
    words = re.split(r"[\W\d_]+", path.stem)
    return next(filter(None, map(split_of_word, [*words, *path.parts[-2::-1]])), None)


def form_of(path: Path) -> str | None:
    """The form of a file of captions, by its content: "table", "json", "coco" or "karpathy"; None for other files.

    A table without a header counts if its lines are picture names followed by at least two words on average. Damaged
    JSON gives "damaged", as does a web page or a pointer of Git LFS in place of the file.
    """
    try:
        with path.open("rb") as file:
            if substitute(file.read(512)):
                return "damaged"
        if path.suffix.lower() in _JSON_SUFFIXES:
            return _json_form(path)
        return "table" if _is_table_of_captions(read_table(path)) else None
    except DataError:
        return None
    except OSError:
        return "damaged"


def read_caption_file(path: Path) -> CaptionFile:
    """Read a file of captions. Raises DataError, with the line number, if it cannot be understood."""
    text, encoding, is_guess = decoded(path)
    found = _read_json(path, text) if _is_json(path, text) else _read_table(parsed_table(text, path))
    found.read_as += f"; {encoding}"
    if is_guess:
        found.remarks["encodings that were guessed, so look at letters with accents"].append(f"{path.name}: {encoding}")
    if not found.entries:
        raise DataError(
            f"{path} has no captions. A caption file has a line `name<TAB>caption` or `name,caption` for each, or is "
            "JSON with the names of photographs and their captions."
        )
    return found


def _is_json(path: Path, text: str) -> bool:
    if path.suffix.lower() in _JSON_SUFFIXES:
        return True
    begins = text.lstrip()
    if begins[:1] not in ("{", "["):
        return False
    return any(isinstance(_parsed(part), dict | list) for part in (lines_of(begins)[0], text))


# --------------------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class _Columns:
    """The meaning of a table's columns. Negative indices count from the end.

    A caption is everything between `before` cells on the left and `after` on the right, because it may contain the
    unquoted delimiter; if a header names several caption columns, these are `captions`. `numbers` contain numbers only.
    """

    name: int
    split: int | None = None
    before: int = 0
    after: int = 0
    captions: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()

    def texts(self, cells: list[str], delimiter: str) -> list[str]:
        if self.captions:
            return [cells[index] for index in self.captions]
        return [delimiter.join(cells[self.before : len(cells) - self.after])]


def _read_table(table: Table) -> CaptionFile:
    path = table.path
    found = CaptionFile(path, "table", table.described())
    if not table.rows:
        return found
    _list_oddities(table, found)
    columns, how = _columns_by_header(table, found) if table.titles else _columns_by_values(table)
    found.read_as += how + (f"; lines with quotes: {table.quoted}" if table.quoted else "")
    numbered = share(table.column(columns.name), lambda cell: re.search(r"#\d+$", cell)) == 1
    file, split_cell = path.name, columns.split
    for row in table.rows:
        cells = _fitting(row, table, columns, found)
        name = cells[columns.name]
        if not name:
            raise DataError(f"{path}, line {row.line}, has a caption but no photograph's name.")
        stem, _, number = name.rpartition("#")
        if number.isdigit() and (numbered or is_picture(stem)):
            name = stem
        place = f"{file}, line {row.line}"
        split = None
        if split_cell is not None:
            split = split_of_word(cells[split_cell])
            if split is None:
                found.remarks[NO_SPLIT].append(f"{place}: {cells[split_cell]!r}")
        captions = [each for text in columns.texts(cells, table.delimiter) for each in _listed(text)]
        found.entries.append(Entry(name, captions, split, place))
    return found


def _list_oddities(table: Table, found: CaptionFile) -> None:
    def note(what: str, row: Row) -> None:
        found.remarks[what].append(f"{table.path.name}, line {row.line}: {row.cells[0][:60]}")

    for row in table.unbalanced:
        note("lines with an odd number of quotes, read as plain text", row)
    for row in table.left_out:
        note("lines that begin with # or repeat the header, left out", row)
    seen: dict[tuple[str, ...], int] = {}
    for row in table.rows:
        if seen.setdefault(tuple(row.cells), row.line) != row.line:
            note("lines that occur twice, both kept", row)
    if table.titles and not has_titles(table.titles):
        note("first lines read as a header, although their words are unknown", Row(1, [", ".join(table.titles)]))


def _columns_by_header(table: Table, found: CaptionFile) -> tuple[_Columns, str]:
    titles, width = table.titles, len(table.titles)
    names, captions, splits = (_by_rank(titles, what) for what in ("name", "caption", "split"))
    # After a caption, columns are counted from the end: it may contain the delimiter.
    behind = captions[0] + 1 if captions else width
    values = [table.column(index if index < behind else index - width) for index in range(width)]
    pictures = [share(column, is_picture) > 0.5 for column in values]
    name = next((i for i in names if pictures[i]), names[0] if names else pictures.index(True) if any(pictures) else 0)
    split = next((i for i in splits if any(map(split_of_word, values[i]))), None)
    for index in set(splits) - {split}:
        shown = ", ".join(sorted(set(values[index]))[:5])
        found.remarks["columns called split that name none of train, dev (val) and test"].append(
            f"{table.path.name}, {titles[index]}: {shown}"
        )
    if split is None:
        split = next((i for i in range(width) if i not in (name, *captions) and _are_splits(values[i])), None)
    if captions:
        captions = [i for i in captions if role(titles[i]) == role(titles[captions[0]])]
    else:
        texts = [i for i in range(width) if i not in (name, split) and share(values[i], is_number) < 1]
        captions = sorted(texts, key=lambda i: -_mean_words(values[i]))[:1]
    if not captions or name in captions:
        raise DataError(f"{table.path}: the header {', '.join(titles)} has no caption column. Call one `caption`.")
    unread = [titles[i] or f"column {i + 1}" for i in range(width) if i not in (name, split, *captions)]
    how = f"; not read: {', '.join(unread)}" if unread else ""
    if unread or not has_titles(titles):
        how += f"; photograph: {titles[name]}, caption: {', '.join(titles[i] for i in captions)}"
        how += f", split: {titles[split]}" if split is not None else ""
    if len(captions) > 1:
        return _Columns(name, split, captions=tuple(captions)), how
    at = captions[0]
    name, split = (i if i is None or i < at else i - width for i in (name, split))
    return _Columns(name, split, at, width - 1 - at), how


def _by_rank(titles: list[str], what: str) -> list[int]:
    """Columns whose titles match this role, the best title first."""
    ranks = {i: known[1] for i, title in enumerate(titles) if (known := role(title)) and known[0] == what}
    return sorted(ranks, key=ranks.__getitem__)


def _columns_by_values(table: Table) -> tuple[_Columns, str]:
    """Columns without a header: names, numbers and splits are recognised by their values; the rest is the caption."""
    least = min((len(row.cells) for row in table.rows if len(row.cells) > 1), default=2)
    sides = (range(least), range(-1, -least - 1, -1))
    named = {index for side in sides for index in side if share(table.column(index), is_picture) > 0.9}
    if not named:
        named = {1 if least > 2 and _counts(table.column(0)) else 0}
    kinds: dict[int, str] = {}

    def walk(side: range) -> int:
        for taken, index in enumerate(side):
            column = table.column(index)
            if len(kinds) == least - 1:
                return taken
            if index in named and "photograph" not in kinds.values():
                kinds[index] = "photograph"
            elif share(column, is_number) > _NEARLY_ALL:
                kinds[index] = "number"
            elif _are_splits(column) and "split" not in kinds.values():
                kinds[index] = "split"
            else:
                return taken
        return least - 1

    before, after = map(walk, sides)
    found = {kind: index for index, kind in kinds.items() if kind != "number"}
    widths = {len(row.cells) for row in table.rows}
    if "photograph" not in found or (table.delimiter != "," and len(widths) == 1 and least - before - after > 1):
        raise DataError(
            f"{table.path} has {least} columns and no header, so the caption column is unknown. Add a first line "
            f"such as {table.delimiter.join(['image', 'caption', *['other'] * (least - 2)])!r}."
        )
    told = [kinds[i] for i in range(before)] + ["caption"] + [kinds[i] for i in range(-after, 0)]
    numbers = tuple(i for i, kind in kinds.items() if kind == "number")
    return _Columns(found["photograph"], found.get("split"), before, after, numbers=numbers), f": {', '.join(told)}"


def _fitting(row: Row, table: Table, columns: _Columns, found: CaptionFile) -> list[str]:
    """The cells of a row as the columns expect them. Raises DataError for a row without a caption."""
    cells = row.cells
    width = len(table.titles) if table.titles else columns.before + 1 + columns.after
    if len(cells) < width and table.titles:
        cells = _completed(cells, width, columns)
    if len(cells) < width:
        raise DataError(_no_caption(row, table))
    wrong = next((cells[index] for index in columns.numbers if not is_number(cells[index])), None)
    if wrong is not None:
        raise DataError(f"{table.path}, line {row.line}, has {wrong[:60]!r} where the others have a number.")
    if len(cells) > width:
        if columns.captions or (table.titles and columns.split is not None and not split_of_word(cells[columns.split])):
            raise DataError(f"{table.path}, line {row.line}, has {len(cells)} cells and its header {width}.")
        found.remarks["captions with the delimiter outside quotes, read whole"].append(
            f"{table.path.name}, line {row.line}: {table.delimiter.join(cells)[:60]}"
        )
    return cells


def _completed(cells: list[str], width: int, columns: _Columns) -> list[str]:
    """Complete a short row: add empty cells after its caption, or restore the delimiter that Flickr30k lost."""
    needed = max((*columns.captions, columns.before, columns.name))
    if columns.name >= 0 and len(cells) > needed:
        return cells + [""] * (width - len(cells))
    number = re.match(r"(\d+)\s+(?=\S)", cells[-1])
    if number and 1 < len(cells) == columns.before == width - 1:  # the bar between number and caption
        return [*cells[:-1], number[1], cells[-1][number.end() :]]
    return cells


def _no_caption(row: Row, table: Table) -> str:
    told = f"{table.path}, line {row.line}, has no caption: {table.delimiter.join(row.cells)[:60]!r}. "
    odd = [each.line for each in table.unbalanced if each.line <= row.line]
    if odd and odd[-1] >= row.line - 1:
        return f"{told}Line {odd[-1]} has an odd number of quotes, and every caption must stand on one line."
    return f"{told}A line is `name<TAB>caption` or `name,caption`."


def _listed(text: str) -> list[str]:
    """The captions in a cell, which may be a JSON or Python list."""
    if text[:1] != "[" or text[-1:] != "]" or len(text) > _LONGEST_LIST:
        return [text]
    for read in (json.loads, ast.literal_eval):
        try:
            captions = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(captions, list) and captions and all(isinstance(each, str) for each in captions):
            return captions
    return [text]


def _are_splits(column: list[str]) -> bool:
    return any(column) and all(split_of_word(word) for word in column if word)


def _counts(column: list[str]) -> bool:
    """Whether a column numbers its rows from 0 or 1."""
    return any(column == [str(number) for number in range(start, start + len(column))] for start in (0, 1))


def _mean_words(column: list[str]) -> float:
    return sum(len(cell.split()) for cell in column) / max(1, len(column))


def _is_table_of_captions(table: Table) -> bool:
    if not table.rows:
        return False
    if table.titles:
        names, captions = _by_rank(table.titles, "name"), _by_rank(table.titles, "caption")
        if table.path.stem == "metadata" and names:
            captions = captions or [i for i in range(len(table.titles)) if i not in names]
        return bool(names) and any(not all(map(is_number, table.column(index))) for index in captions)
    captions = [row.cells[-1] for row in table.rows if len(row.cells) > 1]
    return share(table.column(0), is_picture) > 0.9 and _mean_words(captions) >= 2


# ----------------------------------------------------------------------------------------------------------------- JSON


def _json_form(path: Path) -> str | None:
    """The form of a JSON file by its keys; only small files are parsed, because COCO's may have 500 MB."""
    if not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        has = {key: content.find(f'"{key}"'.encode()) >= 0 for key in ("images", "annotations", "caption", "sentences")}
        is_text = content.find(b"\0") < 0
    if has["images"] and has["sentences"]:
        return "karpathy"
    if has["images"] and has["annotations"]:
        return "coco" if has["caption"] else None
    if path.stat().st_size > _MOST_UNNAMED_JSON and is_text:
        return None
    text = decoded(path)[0]
    if _are_json_lines(lines := lines_of(text)):
        text = "\n".join(lines[:_SAMPLE])
    try:
        found = _read_json(path, text)
    except DataError:
        return "damaged"
    names = [entry.name for entry in found.entries]
    captions = [caption for entry in found.entries for caption in entry.captions]
    has_titles_of_records = "records" in found.read_as or found.read_as.startswith("JSON lines")
    is_sure = share(names, is_picture) > 0.5 or (
        has_titles_of_records and len(names) > 1 and _mean_words(captions) >= 2
    )
    return found.form if found.form != "json" or is_sure else None


def _read_json(path: Path, text: str) -> CaptionFile:
    if _are_json_lines(lines := lines_of(text)):
        return _read_json_lines(path, [(number, line) for number, line in enumerate(lines, 1) if line.strip()])
    try:
        content = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}.") from error
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        if isinstance(content.get("annotations"), list):
            return _read_coco(path, content)
        if any(isinstance(image, dict) and "sentences" in image for image in content["images"]):
            return _read_karpathy(path, content["images"])
    return _read_other_json(path, content)


def _with_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which a repeated key gets the list of its values, so that none is lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        found = {}
        for key, value in pairs:
            found[key] = [found[key], value] if key in found else value
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_with_repeats)


def _are_json_lines(lines: list[str]) -> bool:
    """Whether the first of several non-empty lines is JSON by itself."""
    some = [line for line in lines[:_SAMPLE] if line.strip()]
    return len(some) > 1 and isinstance(_parsed(some[0]), dict | list)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _read_json_lines(path: Path, lines: list[tuple[int, str]]) -> CaptionFile:
    records = []
    for number, line in lines:
        try:
            records.append((f"line {number}", _DECODER.decode(line)))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}, is not JSON: {error}.") from error
    found = CaptionFile(path, "json", "JSON lines")
    _read_records(found, records, None)
    return found


def _read_karpathy(path: Path, images: list[Any]) -> CaptionFile:
    found = CaptionFile(path, "karpathy", "Karpathy's JSON with images, sentences, split")
    for number, image in enumerate(images):
        place = f"{path.name}, image {number}"
        if not isinstance(image, dict) or not isinstance(image.get("filename"), str):
            found.remarks[_NO_NAME].append(f"{place}: {image!r:.60}")
            continue
        folder = image.get("filepath")
        name = f"{folder}/{image['filename']}" if isinstance(folder, str) and folder else image["filename"]
        word = image.get("split")
        split = split_of_word(word) if isinstance(word, str) else None
        if split is None:
            found.remarks[NO_SPLIT].append(f"{place}: {word!r:.60}")
        found.entries.append(Entry(name, _texts(image.get("sentences"), place, found), split, place))
    return found


def _read_coco(path: Path, content: dict[str, Any]) -> CaptionFile:
    found = CaptionFile(path, "coco", "COCO JSON with images and annotations")
    names: dict[str, str] = {}
    splits: dict[str, str | None] = {}
    for number, image in enumerate(content["images"]):
        name = next(filter(None, map(image.get, ("file_name", "coco_url", "url"))), None) if _is_image(image) else None
        if not isinstance(name, str):
            found.remarks[_NO_NAME].append(f"{path.name}, image {number}: {image!r:.60}")
            continue
        key = _id(image["id"])
        if names.setdefault(key, name) != name:
            raise DataError(f"{path} uses the id {key} for two images, {names[key]} and {name}.")
        splits[key] = split_of_word(str(image.get("split", "")))
    captions: dict[str, list[str]] = {key: [] for key in names}
    for number, each in enumerate(content["annotations"]):
        place = f"{path.name}, annotation {number}"
        key = _id(each.get("image_id")) if isinstance(each, dict) else None
        if key not in names:
            found.remarks["annotations of unlisted images, left out"].append(f"{place}: {each!r:.60}")
            continue
        captions[key] += _texts(each.get("caption"), place, found)
    if not names or not any(isinstance(each, dict) and "caption" in each for each in content["annotations"]):
        raise DataError(
            f"{path} is not a COCO caption file: that has `images` with id and file_name, and `annotations` with "
            "image_id and caption."
        )
    found.entries = [
        Entry(name, captions[key], splits[key], f"{path.name}, image {key}") for key, name in names.items()
    ]
    return found


def _is_image(image: Any) -> bool:
    return isinstance(image, dict) and isinstance(image.get("id"), str | int | float)


def _id(value: Any) -> str:
    """The id of an image; tools that hold ids as floats write 7.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _read_other_json(path: Path, content: Any) -> CaptionFile:
    """Read a list of records or pairs, or captions by name; each also by split, or under one key of many."""
    found = CaptionFile(path, "json")
    parts: dict[str | None, Any] = {None: content}
    if isinstance(content, dict) and content and all(map(split_of_word, content)):
        parts = {split_of_word(word): part for word, part in content.items()}
    for split, part in parts.items():
        if isinstance(part, dict) and _record(part)[0] is None:
            lists = [value for value in part.values() if isinstance(value, list) and value and _is_record(value[0])]
            if len(lists) == 1:
                part = lists[0]
        if isinstance(part, dict) and _record(part)[0] is not None:
            part = [part]
        if isinstance(part, list) and any(isinstance(each, dict) for each in part):
            found.read_as = "JSON, a list of records"
            _read_records(found, [(f"entry {number}", each) for number, each in enumerate(part)], split)
        elif isinstance(part, list):
            found.read_as = "JSON, a list of pairs of name and caption"
            _read_pairs(found, part, split)
        elif isinstance(part, dict):
            found.read_as = "JSON, captions by name"
            _read_pairs(found, list(part.items()), split)
    return found


def _read_pairs(found: CaptionFile, pairs: list[Any], split: str | None) -> None:
    for number, pair in enumerate(pairs):
        place = f"{found.path.name}, entry {number}"
        if not isinstance(pair, list | tuple) or len(pair) < 2 or not isinstance(pair[0], str):
            found.remarks[_NO_NAME].append(f"{place}: {pair!r:.60}")
            continue
        name, *captions = pair
        found.entries.append(Entry(name, _texts(captions, place, found), split, place))


def _read_records(found: CaptionFile, records: list[tuple[str, Any]], split: str | None) -> None:
    keys: dict[str, None] = {}
    for where, record in records:
        place = f"{found.path.name}, {where}"
        name_key, caption_key, split_key = _record(record)
        name = _name_in(record[name_key]) if name_key is not None else None
        if not name:
            found.remarks[_NO_NAME].append(f"{place}: {record!r:.60}")
            continue
        own = split
        if split_key is not None:
            own = split_of_word(str(record[split_key]))
            if own is None:
                found.remarks[NO_SPLIT].append(f"{place}: {record[split_key]!r:.60}")
        captions = _texts(record.get(caption_key), place, found)
        found.entries.append(Entry(name, captions, own, place))
        keys |= dict.fromkeys(key for key in (name_key, caption_key, split_key) if key is not None)
    found.read_as += f" with {', '.join(keys)}"


def _record(value: Any) -> tuple[str | None, str | None, str | None]:
    """The keys of a record's name, caption and split; None for those it lacks."""
    if not isinstance(value, dict):
        return None, None, None
    best: dict[str, tuple[int, str]] = {}
    for key in value:
        if known := role(key):
            what, rank = known
            rank += 1000 * (what == "name" and not is_picture(_name_in(value[key]) or ""))
            best[what] = min(best.get(what, (rank, key)), (rank, key))
    return tuple(best[what][1] if what in best else None for what in ("name", "caption", "split"))


def _is_record(value: Any) -> bool:
    name, caption, _ = _record(value)
    return name is not None and caption is not None


def _name_in(value: Any) -> str | None:
    """A photograph's name: a text, a number, or the path of an object that describes a file."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("path", "file_name", "filename") if value.get(key)), None)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip()


def _texts(value: Any, place: str, found: CaptionFile) -> list[str]:
    """The texts of a caption: a text, a number, an object with a text, or a list of these; anything else is listed."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        found.remarks["captions that are numbers, read as text"].append(f"{place}: {value}")
        return [str(value)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each, place, found)]
    if isinstance(value, dict):
        key = next((key for key in ("raw", "caption", "text", "sentence") if key in value), None)
        if key is not None:
            return _texts(value[key], place, found)
        tokens = value.get("tokens")
        if isinstance(tokens, list) and all(isinstance(each, str) for each in tokens):
            return [" ".join(tokens)]
    found.remarks[_NOT_TEXT].append(f"{place}: {value!r:.60}")
    return []
