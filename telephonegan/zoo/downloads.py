"""Downloads: sample photographs, and the checkpoints that AttnGAN's and yunjey's projects published.

Those links may die. Every download is checked, and for a dead link the error says which files to find elsewhere and
which command to run then.
"""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from telephonegan.errors import DownloadError, SettingsError, UnknownModelError, WeightsError
from telephonegan.files import make_folder, replacing, sha256, writing
from telephonegan.zoo.links import PUBLISHED, Link

if TYPE_CHECKING:
    from telephonegan.zoo.catalogue import Entry

Opener = Callable[..., Any]

_SECONDS = 30
_CHUNK_BYTES = 1 << 18
_SLOWEST_BYTES_PER_S = 50_000  # of the largest file that is allowed
_LIMIT_BYTES = 500_000_000  # the largest published file, the captioner's archive, is about 270 MB
_OPTIONAL = {"image_encoder"}  # needed to judge pictures, not to paint them


# ---------------------------------------------------------------------------------------------------- models


def download_model(
    name: str, *, opener: Opener | None = None, folder: Path | None = None, replace: bool = False
) -> list[Entry]:
    """Download a published model, one of `PUBLISHED`, check it and register it in `folder` (default `home()`).

    A model that is already installed is returned as it is, without a download, unless `replace`. Address and sha256 of
    every file are stored in settings["sources"]. `opener(url, timeout=seconds)` returns a response with headers, like
    `urllib.request.urlopen`.

    Raises `UnknownModelError` for an unknown name, `DownloadError` for a dead link or a wrong file, `SettingsError` if
    only part of the model is installed, `OutputError` if it cannot be written; nothing is left behind then.
    AttnGAN: Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with Attentional Generative Adversarial
    Networks", CVPR 2018.

    >>> download_model("attngan-coco")  # doctest: +SKIP
    """
    from telephonegan.zoo import catalogue

    if name not in PUBLISHED:
        raise UnknownModelError(f"No published model is called {name!r}. Available: {', '.join(PUBLISHED)}.")
    if not replace and (known := installed(name)):
        return known
    make_folder(catalogue.home())
    with writing(catalogue.home()):
        workplace = TemporaryDirectory(dir=catalogue.home(), prefix=".download-")
    with workplace as place:
        try:
            files, sources = _fetched(PUBLISHED[name].links, Path(place), opener)
            return _imported(name, files, sources=sources, folder=folder, replace=replace)
        except (DownloadError, WeightsError) as error:
            reason = str(error).replace(f"{place}{os.sep}", "").rstrip(".")
            raise DownloadError(f"{name} was not downloaded: {reason}. {_by_hand(name, replace)}") from error


def installed(name: str) -> list[Entry]:
    """The installed entries of a published model: all or none. Raises SettingsError if only part is installed.

    >>> installed("yunjey")  # doctest: +SKIP
    []
    """
    from telephonegan.zoo import catalogue

    kinds = PUBLISHED[name].kinds
    known = [entry for kind in kinds for entry in catalogue.entries(kind) if entry.name == name]
    if known and len(known) < len(kinds):
        raise SettingsError(
            f"Of {' and '.join(f'{kind}/{name}' for kind in kinds)} only {known[0].kind}/{name} is installed. "
            "Replace it (--replace) to get both."
        )
    return known


def _fetched(
    links: Iterable[Link], place: Path, opener: Opener | None
) -> tuple[dict[str, Path], dict[str, dict[str, str]]]:
    """Files by their role in the import, and the source of each file by its name."""

    files: dict[str, Path] = {}
    sources: dict[str, dict[str, str]] = {}
    for link in links:
        for part, path in _pieces(link, place, opener).items():
            files[part] = path
            sources[path.name] = {"url": link.url, "sha256": sha256(path)}
    return files, sources


def _imported(name: str, files: Mapping[str, Path], **options: Any) -> list[Entry]:
    from telephonegan.zoo import importing

    run = importing.import_captioner if "captioner" in PUBLISHED[name].kinds else importing.import_attngan
    return run(name, **files, **options)


def _by_hand(name: str, replace: bool) -> str:
    model = PUBLISHED[name]
    needed = [(part, file, link) for link in model.links for part, file in link.pieces.items() if part not in _OPTIONAL]
    places = [f"{file} (in {link.file})" if link.is_archive else file for _, file, link in needed]
    options = [f"--{part.replace('_', '-')} {file}" for part, file, _ in needed]
    command = " ".join(["telephonegan import", name, *options, *(["--replace"] if replace else [])])
    return (
        f"Nothing was changed. Try again later, or find {', '.join(places[:-1])} and {places[-1]} elsewhere, "
        f"starting at {model.page}, and run: {command}"
    )


# ---------------------------------------------------------------------------------------------------- files


def _pieces(link: Link, place: Path, opener: Opener | None) -> dict[str, Path]:
    arrived = place / link.file
    try:
        _save(arrived, received(link.url, limit=_LIMIT_BYTES, opener=opener, title=link.file))
        _check_form(arrived, link)
        if not link.is_archive:
            return {part: arrived for part in link.pieces}
        unpacked = {part: _unpacked(arrived, file, part) for part, file in link.pieces.items()}
        return {part: path for part, path in unpacked.items() if path is not None}
    except DownloadError as error:
        raise DownloadError(f"{link.file} from {link.url}: {error}") from error


def _save(path: Path, chunks: Iterable[bytes]) -> None:
    with replacing(path) as partial, partial.open("xb") as file:
        file.writelines(chunks)


def _check_form(path: Path, link: Link) -> None:
    with path.open("rb") as file:
        head = file.read(512)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise DownloadError("a web page arrived instead of the file: the link is dead, or over its download quota.")
    if link.is_archive and not zipfile.is_zipfile(path):
        raise DownloadError(f"what arrived is not a complete zip file; it begins with {head[:40]!r}.")


def _unpacked(archive: Path, name: str, part: str) -> Path | None:
    """The file of that name from any folder of the archive; None for an optional one that is missing."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
    except Exception as error:
        raise _damaged(error) from error
    found = [member for member in names if member.replace("\\", "/").rpartition("/")[2] == name]
    if not found and part in _OPTIONAL:
        return None
    if not found:
        raise DownloadError(f"the zip does not contain {name}; it contains {', '.join(names[:5]) or 'nothing'}.")
    path = archive.with_name(name)  # never write to a path taken from the archive
    _save(path, _member(archive, min(found, key=len)))
    return path


def _member(archive: Path, name: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(name) as member:
            # A member never yields more bytes than it declares.
            _check_size(opened.getinfo(name).file_size, _LIMIT_BYTES)
            while chunk := member.read(_CHUNK_BYTES):
                yield chunk
    except DownloadError:
        raise
    except Exception as error:  # damaged zips raise all kinds of exceptions
        raise _damaged(error) from error


def _damaged(error: Exception) -> DownloadError:
    return DownloadError(f"the zip is damaged ({str(error) or type(error).__name__}).")


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise DownloadError(f"it has more than {limit} bytes, so it is not the expected file.")


# ---------------------------------------------------------------------------------------------------- the web


def received(url: str, *, limit: int, opener: Opener | None = None, title: str | None = None) -> Iterator[bytes]:
    """Yield the bytes behind a web address in chunks, with a progress bar if a `title` is given.

    `opener(url, timeout=seconds)` returns a response with headers, like `urllib.request.urlopen`. Raises
    `DownloadError` for no answer, an error, more than `limit` bytes, fewer than the server declared, or a download
    that takes longer than `limit` bytes at 50 kB per second.

    >>> b"".join(received("https://www.example.com", limit=10_000))  # doctest: +SKIP
    """
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with (opener or urlopen)(url, timeout=_SECONDS) as response:
            yield from _chunks(response, limit, title)
    except HTTPError as error:
        error.close()
        raise DownloadError(f"the server answered {error.code} {error.reason}.") from error
    except (OSError, HTTPException) as error:
        raise DownloadError(f"there is no connection, or it broke ({error}). Check the network.") from error


def _chunks(response: Any, limit: int, title: str | None) -> Iterator[bytes]:
    from tqdm.auto import tqdm

    declared = response.headers.get("Content-Length") or ""
    expected = int(declared) if declared.isdecimal() and len(declared) < 20 else None
    read = getattr(response, "read1", response.read)  # what has arrived, without waiting for a whole chunk
    arrived, began = 0, time.monotonic()
    with tqdm(total=expected, desc=title, unit="B", unit_scale=True, disable=None if title else True) as bar:
        while chunk := read(_CHUNK_BYTES):
            arrived += len(chunk)
            _check_pace(arrived, time.monotonic() - began, _SECONDS + limit / _SLOWEST_BYTES_PER_S)
            _check_size(max(arrived, expected or 0), limit)
            bar.update(len(chunk))
            yield chunk
    if expected is not None and arrived < expected:
        raise DownloadError(f"only {arrived} of {expected} bytes arrived. Run again.")


def _check_pace(arrived: int, seconds: float, allowed: float) -> None:
    if seconds > allowed:
        raise DownloadError(f"only {arrived} bytes arrived in {seconds:.0f} seconds, which is too slow. Run again.")
