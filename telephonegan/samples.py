"""Sample photographs: those included with scikit-image, and COCO photographs downloaded on request."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from telephonegan.errors import DownloadError, ImageError
from telephonegan.files import expanded, make_folder, write_new
from telephonegan.images import PICTURE_SUFFIXES, as_image
from telephonegan.records import FileName, read_json
from telephonegan.zoo.catalogue import home
from telephonegan.zoo.downloads import received

# In a wheel the list of photographs is inside the package, in a checkout beside it.
_PACKED = Path(__file__).resolve().parent / "coco_samples"
COCO_SAMPLES = _PACKED if _PACKED.is_dir() else Path(__file__).resolve().parents[1] / "data" / "coco_samples"

_WHEEL_PHOTOGRAPHS = {
    "astronaut": "astronaut.png",
    "camera": "camera.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
}
_DOWNLOAD_BYTES = 20_000_000


def samples() -> dict[str, Path]:
    """List the sample photographs on this machine, name → path, sorted by name. Needs no network.

    They are the photographs included in the scikit-image package, and every picture file in the folder of
    `download_samples`.

    >>> "chelsea" in samples()
    True
    """
    found = _wheel_photographs()
    for path in _pictures_in(_own_folder()):
        found[path.name if path.stem in found else path.stem] = path
    return dict(sorted(found.items()))


def sample(name: str) -> Image.Image:
    """Open one of the `samples` by name. Raises `ImageError` for any other name, listing the available ones.

    >>> sample("chelsea").size
    (451, 300)
    """
    known = samples()
    if not isinstance(name, str) or name not in known:
        there_are = ", ".join(known) or "none, as scikit-image is not installed"
        raise ImageError(f"There is no sample photograph {name!r:.120}. There are: {there_are}.")
    return as_image(known[name])


def download_samples(
    folder: str | os.PathLike[str] | None = None, *, opener: Callable[..., Any] | None = None
) -> list[Path]:
    """Download the COCO photographs of `data/coco_samples/manifest.json` into `folder`, and return their paths.

    Without `folder` they go where `samples` finds them: beside the manifest in a checkout, else into `coco_samples`
    among your own models (see `zoo.catalogue.home`). Pictures that already exist are kept and not downloaded again.
    `opener(url, timeout=seconds)` returns a response with headers, like `urllib.request.urlopen`.

    Raises `DownloadError` if a download fails, is not a picture, or if a damaged file is in its place; `OutputError` if
    the folder cannot be written. Photographs that arrived before are kept. Photographs: Lin et al., "Microsoft COCO:
    Common Objects in Context", ECCV 2014.

    >>> download_samples("photos")  # doctest: +SKIP
    """
    target = _own_folder() if folder is None else expanded(folder)
    addresses = {target / Path(each.file_name).name: each.coco_url for each in _listed_photographs()}
    missing = [path for path in addresses if not _is_kept(path)]
    for path in missing:
        try:
            photograph = _fetched(addresses[path], opener)
        except DownloadError as error:
            kept = sum(other.exists() for other in addresses)
            raise DownloadError(
                f"{path.name} was not downloaded: {error} {kept} of the {len(addresses)} photographs are in {target}; "
                f"nothing else was changed. Run again to get the rest, or save {addresses[path]} by hand as {path}."
            ) from error
        make_folder(target)
        write_new(path, photograph)
    return list(addresses)


def _own_folder() -> Path:
    """Where photographs are kept: an installed package may belong to another user, and is replaced by the next."""
    return home() / "coco_samples" if COCO_SAMPLES == _PACKED else COCO_SAMPLES


def _wheel_photographs() -> dict[str, Path]:
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0]) / "data"
    return {name: folder / file for name, file in _WHEEL_PHOTOGRAPHS.items() if (folder / file).is_file()}


def _pictures_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith("."))
    return [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]


@dataclass(frozen=True)
class _Listed:
    file_name: FileName
    coco_url: str


def _listed_photographs() -> list[_Listed]:
    remedy = "Install telephonegan again."
    return read_json(COCO_SAMPLES / "manifest.json", list[_Listed], remedy=remedy)


def _is_kept(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        as_image(path)
    except ImageError as error:
        raise DownloadError(
            f"{path} is in the way: it is not a readable picture, and existing files are never overwritten. "
            f"Nothing was downloaded. Move it away, then run again. ({error})"
        ) from error
    return True


def _fetched(url: str, opener: Callable[..., Any] | None) -> bytes:
    content = b"".join(received(url, limit=_DOWNLOAD_BYTES, opener=opener))
    try:
        as_image(content)
    except ImageError as error:
        raise DownloadError(f"what arrived is not a picture; it begins with {content[:40]!r}.") from error
    return content
