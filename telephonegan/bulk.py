"""Whole folders of pictures captioned, and files of texts painted: streamed to disk, and resumed where they stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from telephonegan import files
from telephonegan.captioning import Captioner, Decoding
from telephonegan.errors import DataError, ImageError, OutputError, SettingsError, TextError
from telephonegan.generation import Generator
from telephonegan.images import PICTURE_SUFFIXES, working_image
from telephonegan.inference import BATCH, check_seed, check_whole
from telephonegan.records import read_json
from telephonegan.results import Caption, Picture
from telephonegan.text import read_lines

SETTINGS, PICTURES = "settings.json", "pictures.jsonl"
T = TypeVar("T")


@dataclass
class Outcome:
    """What a run over many inputs did: how many results it wrote, how many were there before, and why it skipped which.

    `skipped` has the reason for every file or line that could not be used.
    """

    written: int = 0
    found: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------------------- captions


def pictures_in(folder: str | os.PathLike[str]) -> list[str]:
    """The picture files in a folder and the folders below it, by their suffix, relative to it and in order.

    Hidden files and folders are left out. Raises DataError for something else than a folder.

    >>> pictures_in("holidays")  # doctest: +SKIP
    ['2025/beach.jpg', 'bear.jpg']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of pictures.")
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))


def caption_folder(
    folder: str | os.PathLike[str],
    captioner: Captioner,
    *,
    out: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: bool = True,
    **decoding: Any,
) -> Outcome:
    """Caption every picture of a folder and the folders below it, with flat memory however many there are.

    With `out`, one line of JSON per picture is appended to that file: its path relative to the folder, the caption, its
    log-probability, and what it was made with. Without, each caption becomes a text file beside its picture, bear.txt
    for bear.jpg; text files that are there stay as they are, and count as done. The same call goes on where an earlier
    one stopped. Pictures that cannot be read are left out and listed in the outcome.

    `decoding` is that of `captioning.Decoding`. Raises DataError for a folder without pictures, SettingsError for
    settings other than those the file was begun with, and OutputError for a file that holds something else.

    >>> caption_folder("holidays", Captioner.load(), out="captions.jsonl").skipped  # doctest: +SKIP
    {'broken.jpg': 'The file ... is damaged ...'}
    """
    Decoding(**decoding)
    names, outcome, folder = pictures_in(folder), Outcome(), Path(folder)
    if not names:
        raise DataError(f"There is no picture in the folder {folder}. Pictures end in {', '.join(PICTURE_SUFFIXES)}.")
    made_with = {"model": captioner.name, "sha256": captioner.sha256, "seed": check_seed(seed), "decoding": decoding}
    with _lines(out, made_with) if out is not None else _sidecars(folder, names, outcome) as (done, write):
        outcome.found = len(done)
        wanted = _watched((name for name in names if name not in done), len(names), len(done), "picture", progress)
        opened = _opened(wanted, folder, outcome)
        for batch in _batched((each for each in opened if each[0] not in outcome.skipped), BATCH):
            captions = captioner([image for _, image in batch], seeds=[seed] * len(batch), **decoding)
            for (name, _), caption in zip(batch, captions, strict=True):
                write(name, caption)
                outcome.written += 1
    return outcome


def _opened(names: Iterable[str], folder: Path, outcome: Outcome) -> Iterator[tuple[str, Any]]:
    for name in names:
        if name in outcome.skipped:
            continue
        try:
            yield name, working_image(folder / name)
        except ImageError as error:
            outcome.skipped[name] = str(error)


@contextmanager
def _lines(
    out: str | os.PathLike[str], made_with: dict[str, Any]
) -> Iterator[tuple[set[str], Callable[[str, Caption], None]]]:
    """The pictures that have a line in the file, and a function that appends one."""
    path = Path(out).expanduser()
    files.make_folder(path.parent)
    with files.locked(path.with_name(f".{path.name}.lock")):
        done = _continued(path, "image", made_with)

        def write(name: str, caption: Caption) -> None:
            told = {"image": name, "text": caption.text, "log_probability": caption.log_probability}
            files.append_line(path, told | made_with)

        yield done, write


@contextmanager
def _sidecars(
    folder: Path, names: Sequence[str], outcome: Outcome
) -> Iterator[tuple[set[str], Callable[[str, Caption], None]]]:
    """The pictures that have a text file beside them, and a function that writes one."""
    owners: dict[Path, str] = {}
    for name in names:
        owner = owners.setdefault(Path(name).with_suffix(".txt"), name)
        if owner != name:
            outcome.skipped[name] = f"Its text file would be that of {owner}. Rename one of the two."
    with files.locked(folder / ".captions.lock"):
        done = {name for text, name in owners.items() if os.path.lexists(folder / text)}
        yield (
            done,
            lambda name, caption: files.write_new(folder / Path(name).with_suffix(".txt"), f"{caption}\n".encode()),
        )


# ---------------------------------------------------------------------------------------------------- pictures


def paint_file(
    texts: str | os.PathLike[str],
    generator: Generator,
    out: str | os.PathLike[str],
    *,
    n: int = 1,
    seed: int = 0,
    truncation: float = 1.0,
    candidates: int = 1,
    progress: bool = True,
) -> Outcome:
    """Paint every line of a text file into the folder `out`: line 12 becomes 00012.png.

    With `n` above 1 it becomes 00012-seed-3.png and so on, with the seeds seed, seed + 1, …. pictures.jsonl says of
    every picture what was painted. The same call goes on where an earlier one stopped. Empty lines are passed over;
    texts without a known word are left out and listed in the outcome.

    Raises DataError for a file without texts, SettingsError for settings or texts other than those the folder was begun
    with, and OutputError if `out` is something else.

    >>> paint_file("texts.txt", Generator.load(), "painted", n=2).written  # doctest: +SKIP
    24
    """
    lines = {f"{number:05}": line.strip() for number, line in enumerate(read_lines(texts), 1) if line.strip()}
    if not lines:
        raise DataError(f"There is no text in {os.fspath(texts)}. Write one text per line.")
    n, seed, folder, outcome = check_whole(n, "n", 1, 1000), check_seed(seed), Path(out).expanduser(), Outcome()
    settings = {"model": generator.name, "sha256": generator.sha256, "n": n, "seed": seed, "truncation": truncation}
    settings |= {"candidates": candidates, "texts": files.sha256(texts)}
    with _begun(folder, settings):
        done = _continued(folder / PICTURES, "file", {})
        outcome.found = len(done)
        names = (
            (line, f"{line}.png" if n == 1 else f"{line}-seed-{each}.png", each)
            for line in lines
            for each in range(seed, seed + n)
        )
        rest = ((line, name, each) for line, name, each in names if name not in done)
        known = _known(_watched(rest, n * len(lines), len(done), "picture", progress), lines, generator, outcome)
        for batch in _batched(known, BATCH):
            painted = generator(
                [lines[line] for line, _, _ in batch],
                seeds=[each for _, _, each in batch],
                truncation=truncation,
                candidates=candidates,
            )
            for (_, name, _), picture in zip(batch, painted, strict=True):
                files.replace(folder / name, files.png_bytes(picture.image))
                files.append_line(folder / PICTURES, {"file": name} | _told(picture))
                outcome.written += 1
    return outcome


def _known(
    names: Iterable[tuple[str, str, int]], lines: dict[str, str], generator: Generator, outcome: Outcome
) -> Iterator[tuple[str, str, int]]:
    for line, name, seed in names:
        try:
            generator.encode(lines[line])
        except TextError as error:
            outcome.skipped[f"line {int(line)}"] = str(error)
        else:
            yield line, name, seed


def _told(picture: Picture) -> dict[str, Any]:
    names = ("text", "words", "dropped_words", "truncated", "seed", "model")
    return {name: getattr(picture, name) for name in names}


@contextmanager
def _begun(folder: Path, settings: dict[str, Any]) -> Iterator[None]:
    """Hold a folder that is new, or was begun with these settings."""
    kept = folder / SETTINGS
    if os.path.lexists(folder) and not kept.is_file():
        files.check_free(folder)
    files.make_folder(folder)
    with files.locked(folder / ".lock"):
        if not kept.exists():
            files.replace(kept, files.json_bytes(settings))
        _check_same(folder, read_json(kept, dict), settings)
        yield


# ---------------------------------------------------------------------------------------------------- both


def _continued(path: Path, key: str, made_with: dict[str, Any]) -> set[str]:
    """What the records of a file of ours have as `key`, read line by line; a last line that was cut off is taken away.

    Where there is no file there is nothing yet.
    """
    if not os.path.lexists(path):
        return set()
    names, length, record = set(), 0, {}
    with files.writing(path), path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            record = _record(line, key, path)
            names.add(record[key])
            length += len(line)
        size = os.fstat(file.fileno()).st_size
    if size and not names:
        raise _strange(path)
    if names:
        _check_same(path, {name: record.get(name) for name in made_with}, made_with)
    if length < size:
        with files.writing(path):
            os.truncate(path, length)
    return names


def _record(line: bytes, key: str, path: Path) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if not isinstance(record[key], str):
            raise ValueError
    except (ValueError, TypeError, KeyError) as error:
        raise _strange(path) from error
    return record


def _strange(path: Path) -> OutputError:
    return OutputError(f"{path} already exists and holds something else; refusing to touch it.")


def _check_same(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    if differing := [name for name in now if before.get(name) != now[name]]:
        told = ", ".join(f"{name} {before.get(name)!r} instead of {now[name]!r}" for name in differing)
        raise SettingsError(f"{path} was begun with other settings: {told}. Use those, or choose another name.")


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _watched(items: Iterable[T], total: int, done: int, unit: str, progress: bool) -> Iterator[T]:
    from tqdm.auto import tqdm

    yield from tqdm(items, total=total, initial=done, unit=unit, disable=None if progress else True)
