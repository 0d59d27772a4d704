"""Reading data folders as they come: detecting the layout of a folder, and choosing the files to read.

If a data set has only train and test photographs, or train and val as COCO, the second part becomes "test" as a whole;
"dev" is then a tenth of the first, chosen by name.
"""

from __future__ import annotations

import os
import posixpath
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from telephonegan.data.caption_files import (
    SPLIT_WORDS,
    SPLITS,
    SUFFIXES,
    Entry,
    form_of,
    read_caption_file,
    split_of_file,
    split_of_word,
)
from telephonegan.data.folder import DataFolder, DataWarning, Gathering, divided, held_out
from telephonegan.data.photo_names import locate, pictures_below, spelled, without_suffix
from telephonegan.data.photos import Box, CaptionedPhotos
from telephonegan.data.tables import read_table
from telephonegan.errors import DataError
from telephonegan.files import expanded
from telephonegan.images import PICTURE_SUFFIXES
from telephonegan.zoo import legacy_pickles

_FLICKR_CAPTIONS = (
    *("Flickr8k.token.txt", "Flickr8k_text/Flickr8k.token.txt", "results_20130124.token", "results.csv"),
    *("flickr30k_images/results.csv",),
)
_PHOTO_FOLDERS = (
    *("images", "Images", "Flickr8k_Dataset", "Flicker8k_Dataset", "Flickr8k_Dataset/Flicker8k_Dataset"),
    *("flickr30k-images", "flickr30k_images", "flickr30k_images/flickr30k_images", "."),
)
_PLAIN_CAPTIONS = ("captions.txt", "captions.csv", "captions.tsv")
_NAMED = (*_PLAIN_CAPTIONS, "captions.jsonl", "captions.json", "metadata.csv", "metadata.jsonl", "metadata.json")
_SPLIT_LISTS = ("{}.txt", "Flickr_8k.{}Images.txt", "Flickr8k_text/Flickr_8k.{}Images.txt")
_TEXT_FOLDERS = ("text", "texts", "captions", "txt")
_OF_COCO = re.compile(r"captions_(train|val)\d{4}\.json")
_FORMS = frozenset({"table", "json", "coco", "karpathy"})
_SHOWN = 3

_NOT_READ = "files that were not read, because another one was"
_DAMAGED = "damaged files, which may or may not contain captions"
_SPELLED = "names spelled differently from their photograph, matched"
_AMBIGUOUS = "names that fit no single photograph"
_OVERRULED = "splits in the file of captions that the lists of names overrule"
_LONE_TEXTS = "text files without a photograph, left out"


@dataclass(frozen=True)
class Layout:
    """One layout of data folders: a description of what it needs, how it is recognised, and its reader."""

    needs: str
    fits: Callable[[Path], bool]
    read: Callable[[Path], DataFolder]


def read_data(folder: str | Path, split: str, layout: str | None = None) -> CaptionedPhotos:
    """Read one split ("train", "dev", "test") of a data folder, in the given layout or the one detected.

    Photographs are not opened: see `CaptionedPhotos.readable` for damaged or missing ones. Warns like `open_data`.
    Raises DataError if the layout is unknown, the split is missing, or one of its photographs has no caption.

    >>> len(read_data("flickr8k", "train"))  # doctest: +SKIP
    6000
    """
    return open_data(folder, layout).split(split)


def open_data(folder: str | Path, layout: str | None = None) -> DataFolder:
    """Read the captions and splits of a data folder, a pack, or the folder of the given caption file.

    Anything left out, guessed or repaired is reported in a `DataWarning` with counts and examples; the full list is in
    `DataFolder.remarks`. Raises DataError, which lists the known layouts.
    """
    folder = expanded(folder)
    if not folder.exists():
        raise DataError(f"There is no folder {folder}. Give a folder of captioned photographs.")
    if layout is None:
        layout = next((name for name, each in LAYOUTS.items() if each.fits(folder)), None)
        if layout is None:
            for part in _parts(folder, {"damaged"}):
                read_caption_file(part.path)  # tells what is wrong with it
            raise DataError(f"{folder} has no known layout. {_all_layouts()}")
    if layout not in LAYOUTS:
        raise DataError(f"There is no layout {layout!r}. {_all_layouts()}")
    if not LAYOUTS[layout].fits(folder):
        raise DataError(f"{folder} does not have the {layout} layout, which is {LAYOUTS[layout].needs}.")
    data = LAYOUTS[layout].read(folder)
    for what, cases in data.remarks.items():
        shown = "; ".join(cases[:_SHOWN]) + ("; …" if len(cases) > _SHOWN else "")
        warnings.warn(f"{folder}: {what}: {len(cases)} ({shown})", DataWarning, stacklevel=2)
    return data


def _all_layouts() -> str:
    return "There are: " + "; ".join(f"{name}: {layout.needs}" for name, layout in LAYOUTS.items()) + "."


# ---------------------------------------------------------------------------------------------------- files of captions


@dataclass(frozen=True)
class _Part:
    """A file of captions, and the split given by its name or its folder's."""

    path: Path
    split: str | None = None


def _parts(folder: Path, forms: Iterable[str]) -> list[_Part]:
    """All caption files of these forms in a folder, in annotations/ and in folders named after splits."""
    if folder.is_file():
        return [_Part(folder)] if _form(folder) in forms else []
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    found = []
    for place in (folder, *(path for path in below if path.name.lower() == "annotations" or split_of_word(path.name))):
        files = sorted(path for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
        pictures = {path.stem for path in files if path.suffix.lower() in PICTURE_SUFFIXES}
        for path in files:
            if path.suffix.lower() in SUFFIXES and path.stem not in pictures and _form(path) in forms:
                found.append(_Part(path, split_of_file(path.relative_to(folder))))
    return sorted(found, key=lambda part: _NAMED.index(part.path.name) if part.path.name in _NAMED else len(_NAMED))


def _form(path: Path) -> str | None:
    """The form of a caption file, by its name if possible, so that mistakes in the file are reported."""
    if path.name in _PLAIN_CAPTIONS:
        return "table"
    if _OF_COCO.fullmatch(path.name):
        return "coco"
    status = path.stat()
    form = _form_then(path, status.st_mtime_ns, status.st_size)
    return "json" if form in (None, "damaged") and path.stem == "captions" else form


@lru_cache(maxsize=4096)
def _form_then(path: Path, _time: int, _size: int) -> str | None:
    return form_of(path)


def _chosen(folder: Path, parts: list[_Part]) -> list[_Part]:
    """The file to read, or one for each split. Raises DataError if the choice is ambiguous."""
    whole = [part for part in parts if part.split is None]
    divided = [part for part in parts if part.split is not None]
    if whole and whole[0].path.name in _NAMED:
        return whole[:1]
    for split in SPLITS:
        same = [part.path.relative_to(folder).as_posix() for part in divided if part.split == split]
        if len(same) > 1:
            raise DataError(
                f"{folder} has {' and '.join(same)} for the same split; the years of COCO share photographs. "
                "Leave one of them in the folder."
            )
    if not divided and len(whole) > 1:
        names = ", ".join(part.path.relative_to(folder).as_posix() for part in whole)
        raise DataError(f"{folder} has several files of captions: {names}. Give one of them instead.")
    return divided or whole


@dataclass(frozen=True)
class _Source:
    """Entries of one file, or of many small ones, and the places where their photographs may be."""

    title: str
    entries: list[Entry]
    places: list[str]
    split: str | None = None


def _read_files(given: Path, layout: str, parts: list[_Part]) -> DataFolder:
    """The data folder described by caption files: one file, or one for each split."""
    folder = given.parent if given.is_file() else given
    gathering = Gathering(folder, layout)
    sources = []
    for part in parts:
        file = read_caption_file(part.path)
        if layout in ("coco", "karpathy") and file.form != layout:
            raise DataError(f"{part.path} is not a caption file of the {layout} layout, but {file.read_as}.")
        title = part.path.relative_to(folder).as_posix()
        gathering.note(file.remarks)
        gathering.read_as.append(f"{file.read_as} [{title}]")
        sources.append(_Source(title, file.entries, _places(folder, part), part.split))
    read = {part.path for part in parts}
    if given.is_dir():
        for what, forms in ((_NOT_READ, _FORMS), (_DAMAGED, {"damaged"})):
            others = [part.path for part in _parts(folder, forms) if part.path not in read]
            gathering.remarks[what] += [path.relative_to(folder).as_posix() for path in others]
    return _assembled(gathering, sources, _split_lists(gathering, read) if layout in ("plain", "flickr") else {})


def _places(folder: Path, part: _Part) -> list[str]:
    """The places where the photographs of a file may be: a folder of its name, beside it, or the usual folders."""
    own = part.path.stem.removeprefix("captions_")
    beside = part.path.parent.relative_to(folder).as_posix()
    return list(dict.fromkeys((*((beside,) if part.split else ()), own, f"images/{own}", *_PHOTO_FOLDERS)))


def _assembled(gathering: Gathering, sources: list[_Source], lists: dict[str, list[str]]) -> DataFolder:
    """The data folder of these entries, in which every name is that of a file and every photograph is in a split."""
    folder = gathering.folder
    labels = _read_labels(folder / "labels.csv") if gathering.layout in ("plain", "flickr", "sidecars") else {}
    asked = [[entry.name for entry in source.entries] for source in sources]
    asked[0] += [*labels, *(name for names in lists.values() for name in names)]
    located = [locate(folder, names, source.places) for names, source in zip(asked, sources, strict=True)]
    if not any(found.names for found in located):
        raise DataError(_none_found(gathering, sources[0]))
    is_one_place = gathering.layout != "coco" and len({found.photos for found in located}) == 1
    photos = located[0].photos if is_one_place else folder
    absent = {}
    for source, found in zip(sources, located, strict=True):
        if not found.names:
            absent[source.split] = f"none of the photographs in {source.title} exists"
            continue
        gathering.note({_SPELLED: found.differing, _AMBIGUOUS: found.ambiguous})
        below = found.photos.relative_to(photos).as_posix()
        for entry in source.entries:
            name = found.names.get(entry.name, entry.name)
            if below != ".":
                name = posixpath.normpath(posixpath.join(below, name))
            gathering.add(name, entry.captions, entry.place, entry.split or source.split)
    labels = {located[0].names.get(name, name): number for name, number in labels.items()}
    classes = labels if labels and labels.keys() >= gathering.captions.keys() else None
    if lists:
        own = {split: [located[0].names.get(name, name) for name in names] for split, names in lists.items()}
        return gathering.finished(photos, *_divided_by_lists(gathering, own), classes=classes)
    splits = divided(gathering, photos)
    if "train" in absent:
        absent.setdefault("dev", absent["train"])
    reason = f"no photograph of {', '.join(source.title for source in sources)} is marked as part of it"
    lost = {split: absent.get(split, reason) for split in SPLITS if split not in splits}
    return gathering.finished(photos, splits, lost, classes=classes)


def _none_found(gathering: Gathering, source: _Source) -> str:
    there = list(pictures_below(gathering.folder))
    holds = f"{len(there)} pictures, first {there[0]}" if there else "no pictures"
    names = list(dict.fromkeys(entry.name for entry in source.entries))
    return (
        f"{gathering.folder} has none of the {len(names)} photographs in {source.title}, first {names[0]}; it "
        f"has {holds}. The file was read as {gathering.read_as[0]}."
    )


def _first_file(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _split_lists(gathering: Gathering, excluded: set[Path]) -> dict[str, list[str]]:
    """Names by split, from the files that list them; empty if there is no such file."""
    lists = {}
    for split in SPLITS:
        words = [word for word, meant in SPLIT_WORDS.items() if meant == split]
        paths = [gathering.folder / each.format(word) for word in words for each in _SPLIT_LISTS]
        there = [path for path in paths if path.is_file() and path not in excluded]
        gathering.remarks[_NOT_READ] += [path.name for path in there[1:]]
        if there:
            lists[split] = gathering.lines(there[0])
    return lists


def _divided_by_lists(gathering: Gathering, lists: dict[str, list[str]]) -> tuple[dict[str, list[str]], dict[str, str]]:
    for split, names in lists.items():
        told = ((name, gathering.splits.get(name, split)) for name in names)
        gathering.remarks[_OVERRULED] += [f"{name}: {other}, not {split}" for name, other in told if other != split]
    absent = {
        split: f"there is no {split}.txt or Flickr_8k.{split}Images.txt" for split in SPLITS if split not in lists
    }
    return lists, absent


def _read_labels(path: Path) -> dict[str, int]:
    """Class numbers by name, from a table with the columns image and class_id; empty for any other file."""
    table = read_table(path) if path.is_file() else None
    if table is None or not {"image", "class_id"} <= set(table.titles or ()):
        return {}
    name, number = table.titles.index("image"), table.titles.index("class_id")
    try:
        return {row.cells[name]: int(row.cells[number]) for row in table.rows}
    except (IndexError, ValueError):
        return {}


def _fits(*forms: str) -> Callable[[Path], bool]:
    return lambda folder: bool(_parts(folder, forms))


def _reader(layout: str, *forms: str) -> Callable[[Path], DataFolder]:
    return lambda folder: _read_files(folder, layout, _chosen(folder, _parts(folder, forms)))


def _read_coco(folder: Path) -> DataFolder:
    parts = _chosen(folder, _parts(folder, ["coco"]))
    if all(part.split != "test" for part in parts):
        parts = [replace(part, split="test") if part.split == "dev" else part for part in parts]
    return _read_files(folder, "coco", parts)


def _flickr_file(folder: Path) -> Path | None:
    return _first_file(folder, _FLICKR_CAPTIONS)


def _read_flickr(folder: Path) -> DataFolder:
    return _read_files(folder, "flickr", [_Part(_flickr_file(folder))])


# ------------------------------------------------------------------------------------------- a text for each photograph


def _texts_of(name: str) -> Iterator[str]:
    """The paths of a photograph's caption file: beside it, or in a folder of texts beside that of photographs."""
    stem = without_suffix(name)
    yield f"{stem}.txt"
    _, _, below = stem.partition("/")
    for place in _TEXT_FOLDERS:
        yield f"{place}/{stem}.txt"
        if below:
            yield f"{place}/{below}.txt"


def _has_sidecars(folder: Path) -> bool:
    """Whether one of the first photographs has a text file with letters, not just numbers as for boxes."""
    if not folder.is_dir():
        return False
    texts = (_first_file(folder, _texts_of(name)) for name in islice(pictures_below(folder), 50))
    return any(any(map(str.isalpha, path.read_bytes()[:4096].decode("latin-1"))) for path in texts if path)


def _read_sidecars(folder: Path) -> DataFolder:
    gathering = Gathering(folder, "sidecars")
    texts = {name: _first_file(folder, _texts_of(name)) for name in pictures_below(folder)}
    read = {path for path in texts.values() if path}
    entries = [
        Entry(name, gathering.lines(path) if path else [], None, path.relative_to(folder).as_posix() if path else name)
        for name, path in texts.items()
    ]
    gathering.read_as.append(f"a text for each photograph, one caption per line [{len(read)} files]")
    lone = sorted(path for place in {path.parent for path in read} for path in place.glob("*.txt") if path not in read)
    gathering.remarks[_LONE_TEXTS] += [p.relative_to(folder).as_posix() for p in lone if not split_of_word(p.stem)]
    source = _Source("the folder", entries, [".", *_PHOTO_FOLDERS])
    return _assembled(gathering, [source], _split_lists(gathering, read))


# -------------------------------------------------------------------------------------------------------------- AttnGAN


def _is_attngan(folder: Path) -> bool:
    return (folder / "captions.pickle").is_file() or ((folder / "text").is_dir() and bool(_name_pickles(folder)))


def _name_pickles(folder: Path) -> dict[str, Path]:
    """The filenames.pickle of each existing split."""
    found: dict[str, Path] = {}
    for word, split in SPLIT_WORDS.items():
        path = folder / word / "filenames.pickle"
        if path.is_file():
            found.setdefault(split, path)
    return {split: found[split] for split in SPLITS if split in found}


def _read_attngan(folder: Path) -> DataFolder:
    gathering = Gathering(folder, "attngan")
    birds = folder / "CUB_200_2011"
    photos = (birds if birds.is_dir() else folder) / "images"
    if not photos.is_dir():
        raise DataError(
            f"{folder} has no {photos.relative_to(folder)}. AttnGAN's layout is {LAYOUTS['attngan'].needs}."
        )
    pickles = _name_pickles(folder)
    published = None
    if (folder / "captions.pickle").is_file():
        published = legacy_pickles.read_captions(folder / "captions.pickle")
        pickles = {split: folder / split / "filenames.pickle" for split in ("train", "test")} | pickles
    listed = {split: _with_suffixes(legacy_pickles.read_names(path), photos) for split, path in pickles.items()}
    found = locate(photos, [name for names in listed.values() for name in names], ["."])
    gathering.note({_SPELLED: found.differing, _AMBIGUOUS: found.ambiguous})
    splits = {split: [found.names.get(name, name) for name in names] for split, names in listed.items()}
    classes: dict[str, int] = {}
    for split, names in splits.items():
        if published is None or split == "dev":
            _add_texts(gathering, names)
        else:
            _add_numbered(gathering, names, getattr(published, split), published.words, pickles[split])
        classes |= _classes_of(names, pickles[split].with_name("class_info.pickle"))
    source = "text/, one caption per line," if published is None else "captions.pickle"
    gathering.read_as.append(f"AttnGAN's folder: {source} and filenames.pickle of {', '.join(splits)}")
    names = [name for part in splits.values() for name in part]
    splits = held_out(splits)
    return gathering.finished(
        photos,
        splits,
        {split: f"there is no {split}/filenames.pickle" for split in SPLITS if split not in splits},
        classes=classes if classes.keys() >= set(names) else None,
        boxes=_read_boxes(gathering, birds, names) if birds.is_dir() else None,
    )


def _with_suffixes(names: list[str], photos: Path) -> list[str]:
    """Names with the suffix that AttnGAN's lists omit: that of the first photograph."""
    bare = next((name for name in names if without_suffix(name) == name), "")
    there = (each for each in (".jpg", *sorted(PICTURE_SUFFIXES)) if os.path.isfile(photos / f"{bare}{each}"))
    suffix = next(there, ".jpg")
    return [f"{name}{suffix}" if without_suffix(name) == name else name for name in names]


def _add_numbered(
    gathering: Gathering, names: list[str], sentences: list[list[int]], words: list[str], path: Path
) -> None:
    each, rest = divmod(len(sentences), len(names)) if names else (0, 0)
    if rest or not each:
        raise DataError(
            f"captions.pickle has {len(sentences)} captions for the {len(names)} photographs of {path}, not the "
            "same number for each. The two files are from different data."
        )
    if not all(isinstance(i, int) and 0 <= i < len(words) for sentence in sentences for i in sentence):
        raise DataError(
            f"captions.pickle has word ids beyond its dictionary of {len(words)} words, in {path.parent.name}."
        )
    for row, name in enumerate(names):
        gathering.add(name, (), path.parent.name)
        for sentence in filter(None, sentences[row * each : (row + 1) * each]):
            gathering.captions.setdefault(name, []).append([words[i] for i in sentence])


def _add_texts(gathering: Gathering, names: list[str]) -> None:
    for name in names:
        path = gathering.folder / "text" / f"{without_suffix(name)}.txt"
        captions = gathering.lines(path) if os.path.isfile(path) else ()
        gathering.add(name, captions, path.relative_to(gathering.folder).as_posix())


def _classes_of(names: list[str], path: Path) -> dict[str, int]:
    if not path.is_file():
        return {}
    classes = legacy_pickles.read_classes(path)
    if len(classes) != len(names):
        raise DataError(f"{path} has {len(classes)} class numbers for {len(names)} photographs. Use matching files.")
    return dict(zip(names, classes, strict=True))


def _read_boxes(gathering: Gathering, birds: Path, names: list[str]) -> dict[str, Box]:
    paths = {number: path for number, path in _cub_table(gathering, birds / "images.txt", "id path")}
    found: dict[str, Box] = {}
    for number, *edges in _cub_table(gathering, birds / "bounding_boxes.txt", "id left top width height"):
        try:
            found[_stem(paths[number])] = tuple(int(float(edge)) for edge in edges)
        except (ValueError, KeyError, OverflowError) as error:
            raise DataError(
                f"{birds}/bounding_boxes.txt has an invalid line {number} {' '.join(edges)}: a line is an id of "
                "images.txt and four numbers."
            ) from error
    if without := [name for name in names if _stem(name) not in found]:
        raise DataError(f"{birds}/bounding_boxes.txt has no box for {len(without)} photographs, first {without[0]}.")
    return {name: found[_stem(name)] for name in names}


def _stem(name: str) -> str:
    return without_suffix(spelled(name))


def _cub_table(gathering: Gathering, path: Path, columns: str) -> Iterator[list[str]]:
    for line in gathering.lines(path):
        cells = line.split()
        if len(cells) != len(columns.split()):
            raise DataError(f"{path} has the line {line[:60]!r}; a line must be `{columns}`.")
        yield cells


def _is_pack(path: Path) -> bool:
    return path.is_file() and (path.suffix == ".pack" or zipfile.is_zipfile(path))


def _read_pack(path: Path) -> DataFolder:
    from telephonegan.data.packs import open_pack

    return open_pack(path)


LAYOUTS = {
    "pack": Layout("one file that `telephonegan data pack` made", _is_pack, _read_pack),
    "attngan": Layout(
        "captions.pickle, or a text per photograph in text/; {train,test}/filenames.pickle and photographs in images/, "
        "or for birds in CUB_200_2011/images/ beside images.txt and bounding_boxes.txt; class_info.pickle where there "
        "are classes",
        _is_attngan,
        _read_attngan,
    ),
    "karpathy": Layout(
        "Karpathy's dataset_flickr8k.json, dataset_flickr30k.json or dataset_coco.json, which hold splits, and "
        "photographs in images/ or beside it",
        _fits("karpathy"),
        _reader("karpathy", "karpathy"),
    ),
    "coco": Layout(
        "JSON with images and annotations, such as captions_train2014.json and captions_val2014.json, also in "
        "annotations/, and photographs in train2014/ and val2014/ or in images/",
        _fits("coco"),
        _read_coco,
    ),
    "flickr": Layout(
        "Flickr8k.token.txt, results_20130124.token or results.csv, photographs in Flickr8k_Dataset/, "
        "flickr30k_images/ or images/; all of Flickr_8k.trainImages.txt, Flickr_8k.devImages.txt and "
        "Flickr_8k.testImages.txt, or none",
        lambda folder: _flickr_file(folder) is not None,
        _read_flickr,
    ),
    "plain": Layout(
        "captions.txt or captions.csv with a line `name<TAB>caption` or `name,caption` for each caption, or with a "
        "header that names columns such as image, caption and split; JSON or JSON lines such as metadata.jsonl with "
        "file_name and text; photographs in images/ or beside it; all of train.txt, dev.txt and test.txt with a name "
        "per line, or none, to have the photographs divided 80:10:10",
        _fits("table", "json"),
        _reader("plain", "table", "json"),
    ),
    "sidecars": Layout(
        "a text photo.txt for each photo.jpg, beside it or in text/ or captions/, one caption per line",
        _has_sidecars,
        _read_sidecars,
    ),
}
