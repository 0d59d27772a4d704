"""The one door for pictures: whatever a person holds becomes a clean RGB picture, or an error that says why not."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from telephonegan.errors import DataError, DownloadError, ImageError, SettingsError
from telephonegan.files import make_folder, write_new
from telephonegan.zoo.downloads import received

if TYPE_CHECKING:
    import torch

MAX_PIXELS = 64_000_000
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
COCO_SAMPLES = Path(__file__).resolve().parents[1] / "data" / "coco_samples"

_WEB_ADDRESS = re.compile(r"https?:/|[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_ALLOWED = (
    "Allowed: the path of a picture file, the bytes of one, a binary file object, a PIL image, "
    "a numpy array or a torch tensor."
)
_READ_FORMATS = "JPEG, PNG, WebP, GIF, TIFF and BMP are read; export HEIC and RAW photographs as JPEG first."
_ROUNDING = 1e-3  # a quarter of a grey level: resizing and half precision overshoot by less
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
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


def as_image(source: Any, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read anything that holds one picture as a loaded PIL image of mode RGB.

    `source` is one of
    - a path (str or Path; `~` is the home folder), never a web address;
    - the bytes of an image file (bytes, bytearray, memoryview) or a binary file object, read from its start;
    - a PIL image of any mode, which is left as it was (of an animation: the frame it stands on);
    - a numpy array (H,W), (H,W,1), (H,W,3) or (H,W,4): uint8 0–255, uint16 0–65535, bool, or float 0–1;
    - a torch tensor (3,H,W), (1,H,W) or either with a batch axis of 1: uint8 0–255, or float in [-1,1].

    Photographs are turned as their EXIF tag says, transparency is laid on white, 16-bit pictures (modes I and I;16:
    0–65535) and mode F (0–1) are scaled rather than clipped, and animated files give their first frame.
    The result carries no metadata, so reading it again changes nothing.

    Raises `ImageError` for everything else, and for more than `max_pixels` pixels (known before decoding).

    >>> as_image(np.zeros((2, 3), dtype=np.uint8)).size
    (3, 2)
    """
    _check_count(max_pixels, "max_pixels", "pixels")
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fsdecode(source), max_pixels)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(source), "the bytes given", max_pixels)
    if isinstance(source, Image.Image):
        return _clean(source, f"the PIL image of mode {source.mode}", max_pixels)
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if _is_tensor(source):
        return _from_tensor(source, max_pixels)
    if callable(getattr(source, "read", None)):
        return _from_file(source, max_pixels)
    raise ImageError(f"A picture cannot be read from {_shown(source)} of type {type(source).__name__}. {_ALLOWED}")


def to_tensor(
    images: list[Image.Image], size: int, *, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> torch.Tensor:
    """Squash pictures to squares of `size` pixels and stack them: (B,3,size,size) float32 in [-1,1].

    The aspect ratio is given up, as it is in training; antialiased when shrinking.
    Elements may be anything `as_image` reads. Raises `ImageError` or, for a `size` below 1, `SettingsError`.

    >>> to_tensor([Image.new("RGB", (640, 480), "white")], 4).shape
    torch.Size([1, 3, 4, 4])
    """
    import torch

    _check_count(size, "size", "pixels")
    if not isinstance(images, (list, tuple)):
        raise ImageError(f"to_tensor was given {_shown(images)}. Allowed: a list of pictures; put one picture in [ ].")
    squares = [np.asarray(as_image(image).resize((size, size), resample)) for image in images]
    if not squares:
        return torch.empty((0, 3, size, size), dtype=torch.float32)
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    return pixels.to(torch.float32, memory_format=torch.contiguous_format) / 127.5 - 1


def to_images(tensor: torch.Tensor) -> list[Image.Image]:
    """Turn a (B,3,H,W) float tensor in [-1,1] into B RGB pictures, rounding to the nearest of 256 levels.

    Values outside [-1,1] are clamped, as generators overshoot; NaN and infinities are an `ImageError`.

    >>> import torch
    >>> to_images(torch.full((1, 3, 1, 1), 1.5))[0].getpixel((0, 0))
    (255, 255, 255)
    """
    import torch

    if not isinstance(tensor, torch.Tensor):
        raise ImageError(f"to_images was given {_shown(tensor)}. Allowed: a float tensor (B,3,H,W) in [-1,1].")
    name = _tensor_name(tensor)
    if tensor.ndim != 4 or tensor.shape[1] != 3 or 0 in tensor.shape[2:] or not tensor.is_floating_point():
        raise ImageError(f"to_images was given {name}. Allowed: a float tensor (B,3,H,W) in [-1,1], H and W above 0.")
    pixels = tensor.detach().float()
    if not torch.isfinite(pixels).all():
        raise ImageError(f"to_images was given {name} with NaN or infinite values: the network that made it diverged.")
    levels = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return [Image.fromarray(picture) for picture in levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()]


def contact_sheet(tensor: torch.Tensor, columns: int = 8) -> Image.Image:
    """Pictures (N,3,S,S) in [-1,1] side by side, `columns` in a row, as one RGB picture; missing ones are white.

    >>> import torch
    >>> contact_sheet(torch.zeros(3, 3, 4, 4), columns=2).size
    (8, 8)
    """
    sheet = Image.new("RGB", (columns * tensor.shape[3], -(-len(tensor) // columns) * tensor.shape[2]), "white")
    for index, image in enumerate(to_images(tensor)):
        sheet.paste(image, (index % columns * tensor.shape[3], index // columns * tensor.shape[2]))
    return sheet


def samples() -> dict[str, Path]:
    """List the sample photographs on this machine, name → path, sorted by name. Needs no network.

    They are the photographs that the scikit-image package carries, and every picture file in `data/coco_samples`
    (see `download_samples`).

    >>> "chelsea" in samples()
    True
    """
    found = _wheel_photographs()
    for path in _pictures_in(COCO_SAMPLES):
        found[path.name if path.stem in found else path.stem] = path
    return dict(sorted(found.items()))


def sample(name: str) -> Image.Image:
    """Open one of the `samples` by name. Raises `ImageError`, listing the names there are, for any other.

    >>> sample("chelsea").size
    (451, 300)
    """
    known = samples()
    if not isinstance(name, str) or name not in known:
        there_are = ", ".join(known) or "none, as scikit-image is not installed"
        raise ImageError(f"There is no sample photograph {_shown(name)}. There are: {there_are}.")
    return as_image(known[name])


def download_samples(
    folder: str | os.PathLike[str] | None = None, *, opener: Callable[..., Any] | None = None
) -> list[Path]:
    """Download the COCO photographs of `data/coco_samples/manifest.json` into `folder`, and return their paths.

    Without `folder` they go beside the manifest, where `samples` finds them. Pictures already there are kept and not
    asked for again. `opener(url, timeout=seconds)` gives a response with headers, as `urllib.request.urlopen` does.

    Raises `DownloadError` if one does not arrive, is no picture, or if a damaged file is in its place;
    `OutputError` if the folder cannot be written. What arrived before stays. Photographs: Lin et al., "Microsoft COCO:
    Common Objects in Context", ECCV 2014.

    >>> download_samples("photos")  # doctest: +SKIP
    """
    target = COCO_SAMPLES if folder is None else Path(folder).expanduser()
    addresses = {target / Path(entry["file_name"]).name: entry["coco_url"] for entry in _listed_photographs()}
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


def _from_path(given: str, max_pixels: int) -> Image.Image:
    shown = _shown(given)
    if _WEB_ADDRESS.match(given):
        raise ImageError(
            f"{shown} is a web address; pictures are read from files only. Download it first, "
            "for example with `curl -o picture.jpg ADDRESS`, and give the path of the saved file."
        )
    path = os.path.expanduser(given)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{shown} is a folder. Give the path of one picture file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{shown} is a pipe or a device, not a picture file. {_ALLOWED}")
        with open(path, "rb") as stream:
            return _decoded(stream, f"the file {shown}", max_pixels)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"There is no file {shown}, looking from {_shown(os.getcwd())}. Check the path.") from error
    except OSError as error:
        raise ImageError(f"The file {shown} cannot be opened: {error.strerror or error}. Check its rights.") from error
    except ValueError as error:
        raise ImageError(f"{shown} cannot be a path: {error}. {_ALLOWED}") from error


def _from_file(stream: BinaryIO, max_pixels: int) -> Image.Image:
    name = f"the file object {type(stream).__name__}"
    try:
        if stream.seekable():
            stream.seek(0)
        content = stream.read()
    except Exception as error:
        raise ImageError(f"Reading {name} failed: {error}. Open the file again, in binary mode ('rb').") from error
    if not isinstance(content, bytes):
        raise ImageError(f"Reading {name} gave {type(content).__name__}, not bytes. Open it in binary mode ('rb').")
    return _from_bytes(content, name, max_pixels)


def _from_bytes(content: bytes, name: str, max_pixels: int) -> Image.Image:
    return _decoded(BytesIO(content), f"{name} ({len(content)} bytes)", max_pixels)


def _decoded(stream: BinaryIO, name: str, max_pixels: int) -> Image.Image:
    if not stream.read(1):
        raise ImageError(f"Empty: {name} holds nothing. Save or download the picture again.")
    stream.seek(0)
    try:
        picture = Image.open(stream)
    except UnidentifiedImageError as error:
        raise ImageError(f"Not a picture: {name}. {_READ_FORMATS}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"Too large: {name}. At most {max_pixels} pixels are allowed ({error}).") from error
    except Exception as error:  # decoders meet damage with exceptions of every kind
        raise _damaged(name, error) from error
    return _clean(picture, name, max_pixels)


def _clean(picture: Image.Image, name: str, max_pixels: int) -> Image.Image:
    _check_size(picture.width, picture.height, name, max_pixels)
    if picture.format == "EPS":  # decoding it would run Ghostscript on what may be a stranger's program
        raise ImageError(f"EPS is a program, not pixels: {name}. {_READ_FORMATS}")
    try:
        picture.load()
        upright = _upright(picture)
    except Exception as error:
        raise _damaged(name, error) from error
    with _naming(name):
        clean = _rgb(upright)
    clean.info = {}  # an orientation tag left here would turn the picture again
    return clean


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG)
    except Exception:  # damaged metadata does not make the pixels unreadable
        return picture
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        return _rgb_from_integers(np.asarray(picture), picture.info.get("transparency"))
    if picture.mode == "F":
        return Image.fromarray(_levels_from_floats(np.asarray(picture), 0, 1)).convert("RGB")
    if picture.has_transparency_data:
        return _on_white(picture)
    return picture.convert("RGB")


def _rgb_from_integers(values: np.ndarray, transparent: Any) -> Image.Image:
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f"its values run from {values.min()} to {values.max()}; allowed are 0 to 65535.")
    levels = _levels_from_16_bits(values)
    if isinstance(transparent, int):
        levels[values == transparent] = 255
    return Image.fromarray(levels).convert("RGB")


def _on_white(picture: Image.Image) -> Image.Image:
    straight = picture.convert("LA") if picture.mode == "La" else picture
    colours = straight.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")


def _from_array(array: np.ndarray, max_pixels: int) -> Image.Image:
    name = f"the array of shape {array.shape} and type {array.dtype}"
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(
            f"Cannot use {name}. Allowed: one picture (H,W), (H,W,1), (H,W,3) or (H,W,4). If the channels come first, "
            "array.transpose(1, 2, 0) puts them last."
        )
    _check_size(array.shape[1], array.shape[0], name, max_pixels)
    with _naming(name):
        levels = _levels(array)
    grey_as_plane = levels[:, :, 0] if levels.shape[2:] == (1,) else levels
    return _rgb(Image.fromarray(np.ascontiguousarray(grey_as_plane)))


def _from_tensor(tensor: torch.Tensor, max_pixels: int) -> Image.Image:
    name = _tensor_name(tensor)
    single = tensor[0] if tensor.ndim == 4 and tensor.shape[0] == 1 else tensor
    if single.ndim != 3 or single.shape[0] not in (1, 3):
        raise ImageError(
            f"Cannot use {name}. Allowed: one picture (3,H,W), (1,H,W) or (1,3,H,W). "
            "Of a batch give one, as in tensor[0]; to_images gives them all."
        )
    _check_size(single.shape[2], single.shape[1], name, max_pixels)
    try:
        values = single.detach().permute(1, 2, 0).cpu()
        array = values.float().numpy() if values.is_floating_point() else values.numpy()
    except (RuntimeError, TypeError) as error:
        raise ImageError(f"Cannot use {name}: its values cannot be read ({error}).") from error
    with _naming(name):
        levels = _tensor_levels(array)
    return _from_array(levels, max_pixels)


def _levels(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return _levels_from_16_bits(array)
    if array.dtype.kind == "f":
        return _levels_from_floats(array, 0, 1)
    raise ImageError(
        "allowed types are uint8 (0–255), uint16 (0–65535), bool and float (0–1). "
        "If the values are 0–255, array.astype('uint8') makes it one."
    )


def _tensor_levels(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "f":
        return _levels_from_floats(array, -1, 1)
    raise ImageError("allowed types are uint8 (0–255) and float (-1 to 1).")


def _levels_from_16_bits(values: np.ndarray) -> np.ndarray:
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _levels_from_floats(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ImageError(f"it holds NaN or infinite values; allowed are {low} to {high}.")
    least, most = values.min(), values.max()
    if least < low - _ROUNDING or most > high + _ROUNDING:
        raise ImageError(f"its values run from {least:.4g} to {most:.4g}; allowed are {low} to {high}: scale them.")
    unit = (values.clip(low, high).astype(np.float32) - low) / (high - low)
    return np.rint(unit * 255).astype(np.uint8)


def _check_count(value: Any, option: str, unit: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingsError(f"{option} was {_shown(value)}. Allowed: a whole number of {unit}, 1 or more.")


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"Empty: {name} is {width} × {height} pixels. At least 1 × 1 is needed.")
    if width * height > max_pixels:
        raise ImageError(
            f"Too large: {name} is {width} × {height}, {width * height} pixels. At most {max_pixels} are allowed. "
            "Shrink it first, or raise max_pixels if you trust where it comes from."
        )


def _is_tensor(source: Any) -> bool:
    torch = sys.modules.get("torch")  # who holds a tensor has imported torch already
    return torch is not None and isinstance(source, torch.Tensor)


def _tensor_name(tensor: torch.Tensor) -> str:
    return f"the tensor of shape {tuple(tensor.shape)} and type {str(tensor.dtype).removeprefix('torch.')}"


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise ImageError(f"Cannot use {name}: {error}") from error


def _damaged(name: str, error: Exception) -> ImageError:
    reason = str(error) or type(error).__name__
    return ImageError(f"Damaged or not a picture: {name}: {reason}. Save or download it again. {_READ_FORMATS}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


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


def _listed_photographs() -> list[dict[str, Any]]:
    manifest = COCO_SAMPLES / "manifest.json"
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"The list of sample photographs {manifest} cannot be read ({error}). It comes with a checkout of the "
            "repository: run this from one."
        ) from error


def _is_kept(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        as_image(path)
    except ImageError as error:
        raise DownloadError(
            f"{path} is in the way: it is no readable picture, and files that are there are never overwritten. "
            f"Nothing was downloaded. Move it away, then run again. ({error})"
        ) from error
    return True


def _fetched(url: str, opener: Callable[..., Any] | None) -> bytes:
    content = b"".join(received(url, limit=_DOWNLOAD_BYTES, opener=opener))
    try:
        as_image(content)
    except ImageError as error:
        raise DownloadError(f"what arrived is no picture; it begins with {content[:40]!r}.") from error
    return content
