"""Reading data folders as they are found: a plain folder, Flickr8k and Flickr30k, COCO, and AttnGAN's own layout.

A data set that divides its photographs in two only keeps the second part whole, as "test"; "dev" is then a tenth of
the first, chosen by the names.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from telephonegan.data.photos import Box, CaptionedPhotos
from telephonegan.errors import DataError
from telephonegan.text import tokenise
from telephonegan.zoo import legacy_pickles

if TYPE_CHECKING:
    from telephonegan.data.packs import Pack

SPLITS = ("train", "dev", "test")
Captions = dict[str, list[list[str]]]

_PLAIN_CAPTIONS = ("captions.txt", "captions.csv")
_FLICKR_CAPTIONS = (
    *("Flickr8k.token.txt", "Flickr8k_text/Flickr8k.token.txt", "results_20130124.token", "results.csv"),
    *("flickr30k_images/results.csv",),
)
_PHOTO_FOLDERS = (
    *("images", "Images", "Flickr8k_Dataset", "Flicker8k_Dataset", "Flickr8k_Dataset/Flicker8k_Dataset"),
    *("flickr30k-images", "flickr30k_images", "flickr30k_images/flickr30k_images", "."),
)
_SPLIT_FILES = ("{}.txt", "Flickr_8k.{}Images.txt", "Flickr8k_text/Flickr_8k.{}Images.txt")
_PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
_NAME_COLUMNS = {"image", "image_name", "image_id", "name", "filename", "file_name", "file"}
_CAPTION_COLUMNS = {"caption", "comment", "text", "sentence", "description"}


@dataclass(frozen=True)
class DataFolder:
    """What a data folder tells, whatever its layout: all captions by photograph, and the names of each split.

    `absent` has the reason for each split that is not there. Names are relative to `photos`.
    """

    folder: Path
    layout: str
    photos: Path
    captions: Captions
    splits: dict[str, list[str]]
    absent: dict[str, str] = field(default_factory=dict)
    classes: dict[str, int] | None = None
    boxes: dict[str, Box] | None = None
    pack: Pack | None = None

    def split(self, name: str) -> CaptionedPhotos:
        """One split. Raises DataError when it is not there or empty, or when a photograph of it has no caption."""
        if name not in SPLITS:
            raise DataError(f"There is no split {name!r}. There are: {', '.join(SPLITS)}.")
        if name in self.absent:
            layout = (
                "" if self.pack else f" It was read as the {self.layout} layout, which is {LAYOUTS[self.layout].needs}."
            )
            raise DataError(f"{self.folder} has no {name} split: {self.absent[name]}.{layout}")
        names = self.splits[name]
        if not names:
            raise DataError(f"The {name} split of {self.folder} is empty. It needs at least one captioned photograph.")
        without = [each for each in names if each not in self.captions]
        if without:
            raise DataError(f"{len(without)} photographs of the {name} split have no caption, first {without[0]}.")
        return self.rows(names)

    def _read_as(self) -> str:
        needs = "" if self.pack is not None else LAYOUTS[self.layout].needs
        return f" It was read as the {self.layout} layout, which is {needs}." if needs else ""

    def rows(self, names: list[str]) -> CaptionedPhotos:
        """Any photographs of this folder by name; one that has no caption gets an empty list."""
        return CaptionedPhotos(
            self.photos,
            names,
            [self.captions.get(name, []) for name in names],
            None if self.classes is None else [self.classes[name] for name in names],
            None if self.boxes is None else [self.boxes[name] for name in names],
            self.pack,
        )

    def uncaptioned(self) -> list[str]:
        """Names of the photographs without a caption, in order."""
        return sorted(self.pictures() - self.captions.keys())

    def pictures(self) -> set[str]:
        """Names of the picture files in every folder where a captioned photograph lies, or in the pack."""
        if self.pack is not None:
            return set(self.pack.sizes)
        parents = {Path(name).parent for name in self.captions}
        return {
            (parent / path.name).as_posix()
            for parent in parents
            if (self.photos / parent).is_dir()
            for path in (self.photos / parent).iterdir()
            if path.suffix.lower() in _PICTURE_SUFFIXES and not path.name.startswith(".")
        }


@dataclass(frozen=True)
class Layout:
    """One way to lay out a data folder: what it needs, in words, how it is recognised, and its reader."""

    needs: str
    fits: Callable[[Path], bool]
    read: Callable[[Path], DataFolder]


def read_data(folder: str | Path, split: str, layout: str | None = None) -> CaptionedPhotos:
    """Read one split ("train", "dev", "test") of a data folder, in the layout its files tell or the one given.

    Photographs are not opened: see `CaptionedPhotos.readable` for those that are damaged or not there. A caption file
    in another encoding than UTF-8, and captions without a word or a photograph, are told as warnings.
    Raises DataError when the layout is unknown, the split is not there, or a photograph of it has no caption.

    >>> len(read_data("flickr8k", "train"))  # doctest: +SKIP
    6000
    """
    return open_data(folder, layout).split(split)


def open_data(folder: str | Path, layout: str | None = None) -> DataFolder:
    """Read the captions and splits of a data folder or a pack. Raises DataError, which lists the layouts there are."""
    folder = Path(folder).expanduser()
    if folder.is_file():
        from telephonegan.data.packs import open_pack

        return open_pack(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Give a folder of captioned photographs.")
    if layout is None:
        layout = next((name for name, each in LAYOUTS.items() if each.fits(folder)), None)
        if layout is None:
            raise DataError(f"{folder} has none of the layouts that are read. {_all_layouts()}")
    if layout not in LAYOUTS:
        raise DataError(f"There is no layout {layout!r}. {_all_layouts()}")
    if not LAYOUTS[layout].fits(folder):
        raise DataError(f"{folder} does not have the {layout} layout, which is {LAYOUTS[layout].needs}.")
    return LAYOUTS[layout].read(folder)


def _all_layouts() -> str:
    return "There are: " + "; ".join(f"{name}: {layout.needs}" for name, layout in LAYOUTS.items()) + "."


# ----------------------------------------------------------------------------------------- caption files and name lists


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark; else in UTF-16 with one, or a Western encoding.

    A guess at the encoding is told as a warning, as letters may come out wrong. Raises DataError for what is no text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    text = _decoded(content, path)
    if "\0" in text:
        raise DataError(f"{path} is no text: it holds zero bytes. Save it as text in UTF-8.")
    return text


def _decoded(content: bytes, path: Path) -> str:
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding in ("cp1252", "latin-1"):
            warnings.warn(
                f"{path} is not UTF-8 and was read as {encoding}. If letters with accents come out wrong, save it as "
                "UTF-8.",
                stacklevel=3,
            )
        return text
    raise DataError(f"{path} begins as UTF-16 and goes on otherwise. Save it as text in UTF-8.")


def read_captions(path: Path) -> Captions:
    """Captions by photograph from a table of one caption per line: name first, caption last.

    Columns are parted by tabs, bars or, as in CSV, commas; a first line of column names and a number of the caption
    (`name#0`, or a column of its own) may be there. Raises DataError, with the line, for a line without a caption.
    """
    captions: Captions = {}
    wordless = 0
    for number, name, sentence in _table(read_text(path), path):
        if not name:
            raise DataError(f"{path}, line {number}, names no photograph before its caption.")
        words = tokenise(sentence)
        wordless += not words
        if words:
            captions.setdefault(name, []).append(words)
    if not captions:
        raise DataError(f"{path} holds no caption. It has a line `name<TAB>caption` or `name,caption` for each.")
    if wordless:
        warnings.warn(f"{path}: {wordless} captions without a word were left out.", stacklevel=2)
    return captions


def _table(text: str, path: Path) -> Iterator[tuple[int, str, str]]:
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = "\t" if "\t" in first else "".join(re.findall("[|,]", first))[:1] or ","
    rows = _csv_rows(text, path) if delimiter == "," else _split_rows(text, delimiter)
    name_column, caption_column = 0, 1
    for index, (number, row) in enumerate(rows):
        if index == 0 and (found := _header(row)):
            name_column, caption_column = found
            continue
        if len(row) < 2 or len(row) <= name_column:
            raise DataError(
                f"{path}, line {number}, has no caption: {delimiter.join(row)[:60]!r}. "
                "A line is `name<TAB>caption` or `name,caption`."
            )
        # Flickr30k's results.csv has a line without the bar between the number and the caption.
        sentence = delimiter.join(row[caption_column:]) or row[-1].lstrip(" 0123456789")
        yield number, re.sub(r"#\d+$", "", row[name_column].strip()), sentence


def _header(row: list[str]) -> tuple[int, int] | None:
    titles = [title.strip().lower() for title in row]
    names = [i for i, title in enumerate(titles) if title in _NAME_COLUMNS]
    return (names[0], len(row) - 1) if names and titles[-1] in _CAPTION_COLUMNS else None


def _split_rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if line.strip():
            yield number, line.rstrip("\n").split(delimiter)


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}, is no CSV: {error}. Put a caption that holds quotes in quotes, doubled "
            'inside: "a ""quoted"" word".'
        ) from error


def _read_list(path: Path) -> list[str]:
    return [line.strip() for line in io.StringIO(read_text(path), newline=None) if line.strip()]


# --------------------------------------------------------------------------------------------------------------- splits


def tenth(name: str) -> int:
    """0 to 9 by the name alone, so that photographs added later move no other one to another split."""
    return int(hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest(), 16) % 10


def _by_name(names: Iterable[str]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in names:
        splits[{0: "dev", 1: "test"}.get(tenth(name), "train")].append(name)
    return splits


def _held_out(parts: dict[str, list[str]]) -> dict[str, list[str]]:
    if "train" not in parts:
        return parts
    train = [name for name in parts["train"] if tenth(name)]
    return {**parts, "train": train, "dev": [name for name in parts["train"] if not tenth(name)]}


def _folders(places: Iterable[str]) -> str:
    return ", ".join("the folder itself" if place == "." else f"{place}/" for place in places)


def _first_file(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _place_of(names: Iterable[str], folder: Path, places: Iterable[str]) -> str | None:
    """The first place that holds one of the photographs."""
    names = list(names)
    there = (place for place in places if (folder / place).is_dir())
    return next((place for place in there if any((folder / place / name).is_file() for name in names)), None)


# ------------------------------------------------------------------------------------------ plain folders, Flickr8k/30k


def _listed_reader(layout: str, caption_files: tuple[str, ...]) -> Callable[[Path], DataFolder]:
    def read(folder: Path) -> DataFolder:
        table = _first_file(folder, caption_files)
        captions = read_captions(table)
        place = _place_of(captions, folder, _PHOTO_FOLDERS)
        if place is None:
            raise DataError(
                f"{folder} has none of the photographs that {table.name} names, first {next(iter(captions))}. "
                f"They are looked for in {_folders(_PHOTO_FOLDERS)}."
            )
        photos = folder / place
        files = {split: _first_file(folder, (each.format(split) for each in _SPLIT_FILES)) for split in SPLITS}
        classes = _read_labels(folder / "labels.csv", captions)
        if not any(files.values()):
            splits = _by_name(_present(captions, photos, table))
            return DataFolder(folder, layout, photos, captions, splits, classes=classes)
        splits = {split: _read_list(path) for split, path in files.items() if path}
        absent = {
            split: f"there is no {split}.txt or Flickr_8k.{split}Images.txt"
            for split, path in files.items()
            if not path
        }
        return DataFolder(folder, layout, photos, captions, splits, absent, classes)

    return read


def _read_labels(path: Path, captions: Captions) -> dict[str, int] | None:
    """Class numbers of a table with the columns image and class_id; None where it does not tell every photograph's."""
    if not path.is_file():
        return None
    rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    try:
        classes = {row["image"]: int(row["class_id"]) for row in rows}
    except (KeyError, TypeError, ValueError):
        return None
    return classes if classes.keys() >= captions.keys() else None


def _present(captions: Captions, photos: Path, table: Path) -> list[str]:
    present = [name for name in captions if (photos / name).is_file()]
    if lost := len(captions) - len(present):
        first = next(name for name in captions if not (photos / name).is_file())
        warnings.warn(f"{lost} photographs that {table} names are not in {photos}, first {first}.", stacklevel=2)
    return present


# ----------------------------------------------------------------------------------------------------------------- COCO


def _coco_file(folder: Path, part: str) -> Path | None:
    found = [*folder.glob(f"captions_{part}20*.json"), *folder.glob(f"annotations/captions_{part}20*.json")]
    if len(found) > 1:
        names = " and ".join(sorted(path.name for path in found))
        raise DataError(f"{folder} holds {names}; the years of COCO share photographs. Leave one year in the folder.")
    return found[0] if found else None


def _read_coco(folder: Path) -> DataFolder:
    captions: Captions = {}
    parts: dict[str, list[str]] = {}
    absent: dict[str, str] = {}
    for part, split in (("train", "train"), ("val", "test")):
        path = _coco_file(folder, part)
        if path is None:
            absent[split] = f"there is no captions_{part}2014.json"
            continue
        found = _coco_captions(path)
        part_folder = path.stem.removeprefix("captions_")
        places = (part_folder, f"images/{part_folder}", "images", ".")
        place = _place_of(found, folder, places)
        if place is None:
            absent[split] = f"none of the photographs of {path.name} is in {_folders(places)}"
            continue
        placed = {(Path(place) / name).as_posix(): sentences for name, sentences in found.items()}
        captions |= {name: sentences for name, sentences in placed.items() if sentences}
        parts[split] = list(placed)
    if "train" in absent:
        absent["dev"] = absent["train"]
    return DataFolder(folder, "coco", folder, captions, _held_out(parts), absent)


def _coco_captions(path: Path) -> Captions:
    try:
        tables = json.loads(read_text(path))
        names = {image["id"]: image["file_name"] for image in tables["images"]}
        captions: Captions = {name: [] for name in names.values()}
        for each in tables["annotations"]:
            if words := tokenise(each["caption"]):
                captions[names[each["image_id"]]].append(words)
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"{path} is no caption file of COCO ({type(error).__name__}: {error}). It holds `images` with id and "
            "file_name, and `annotations` with image_id and caption."
        ) from error
    return captions


# -------------------------------------------------------------------------------------------------------------- AttnGAN


def _read_attngan(folder: Path) -> DataFolder:
    published = legacy_pickles.read_captions(folder / "captions.pickle")
    birds = folder / "CUB_200_2011"
    photos = (birds if birds.is_dir() else folder) / "images"
    if not photos.is_dir():
        raise DataError(
            f"{folder} has no {photos.relative_to(folder)}. AttnGAN's layout is {LAYOUTS['attngan'].needs}."
        )
    captions: Captions = {}
    classes: dict[str, int] = {}
    parts: dict[str, list[str]] = {}
    for split, sentences in (("train", published.train), ("test", published.test)):
        names = [f"{name}.jpg" for name in legacy_pickles.read_names(folder / split / "filenames.pickle")]
        captions |= _numbered_captions(names, sentences, published.words, folder / split)
        classes |= _classes_of(names, folder / split / "class_info.pickle")
        parts[split] = names
    boxes = _read_boxes(birds, captions) if birds.is_dir() else None
    return DataFolder(
        folder,
        "attngan",
        photos,
        {name: texts for name, texts in captions.items() if texts},
        _held_out(parts),
        classes=classes if classes.keys() >= captions.keys() else None,
        boxes=boxes,
    )


def _numbered_captions(names: list[str], sentences: list[list[int]], words: list[str], split: Path) -> Captions:
    each, rest = divmod(len(sentences), len(names)) if names else (0, 0)
    if rest or not each:
        raise DataError(
            f"captions.pickle has {len(sentences)} captions for the {len(names)} photographs of "
            f"{split}/filenames.pickle, and not equally many of each. The two are of different data."
        )
    if not all(isinstance(i, int) and 0 <= i < len(words) for sentence in sentences for i in sentence):
        raise DataError(f"captions.pickle has word ids beyond its dictionary of {len(words)} words, in {split.name}.")
    texts = [[words[i] for i in sentence] for sentence in sentences]
    return {name: [text for text in texts[row * each : (row + 1) * each] if text] for row, name in enumerate(names)}


def _classes_of(names: list[str], path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    classes = legacy_pickles.read_classes(path)
    if len(classes) != len(names):
        raise DataError(f"{path} has {len(classes)} class numbers for {len(names)} photographs. Both come together.")
    return dict(zip(names, classes, strict=True))


def _read_boxes(birds: Path, names: Iterable[str]) -> dict[str, Box]:
    paths = {number: path for number, path in _cub_table(birds / "images.txt", "id path")}
    boxes = {}
    for number, *edges in _cub_table(birds / "bounding_boxes.txt", "id left top width height"):
        try:
            boxes[paths[number]] = tuple(int(float(edge)) for edge in edges)
        except (ValueError, KeyError, OverflowError) as error:
            raise DataError(
                f"{birds}/bounding_boxes.txt has no box in {number} {' '.join(edges)}: a line is four numbers behind "
                "an id of images.txt."
            ) from error
    if without := [name for name in names if name not in boxes]:
        raise DataError(f"{birds}/bounding_boxes.txt has no box of {len(without)} photographs, first {without[0]}.")
    return boxes


def _cub_table(path: Path, columns: str) -> Iterator[list[str]]:
    for line in _read_list(path):
        cells = line.split()
        if len(cells) != len(columns.split()):
            raise DataError(f"{path} holds the line {line[:60]!r}; a line is `{columns}`.")
        yield cells


LAYOUTS = {
    "attngan": Layout(
        "captions.pickle, {train,test}/filenames.pickle and photographs in images/, or for birds in "
        "CUB_200_2011/images/ beside images.txt and bounding_boxes.txt; class_info.pickle where there are classes",
        lambda folder: (folder / "captions.pickle").is_file(),
        _read_attngan,
    ),
    "coco": Layout(
        "captions_train2014.json and captions_val2014.json (or another year), also in annotations/, and photographs "
        "in train2014/ and val2014/ or in images/",
        lambda folder: any(_coco_file(folder, part) for part in ("train", "val")),
        _read_coco,
    ),
    "flickr": Layout(
        "Flickr8k.token.txt, results_20130124.token or results.csv, photographs in Flickr8k_Dataset/, "
        "flickr30k_images/ or images/; all of Flickr_8k.trainImages.txt, Flickr_8k.devImages.txt and "
        "Flickr_8k.testImages.txt, or none",
        lambda folder: _first_file(folder, _FLICKR_CAPTIONS) is not None,
        _listed_reader("flickr", _FLICKR_CAPTIONS),
    ),
    "plain": Layout(
        "captions.txt or captions.csv with a line `name<TAB>caption` or `name,caption` for each caption, photographs "
        "in images/ or beside it; all of train.txt, dev.txt and test.txt with a name per line, or none, to have the "
        "photographs divided 80:10:10",
        lambda folder: _first_file(folder, _PLAIN_CAPTIONS) is not None,
        _listed_reader("plain", _PLAIN_CAPTIONS),
    ),
}
