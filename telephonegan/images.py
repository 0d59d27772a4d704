"""The only way in for pictures: any source becomes a clean RGB picture, or an error that says why not."""

from __future__ import annotations

import operator
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from telephonegan.colours import ValueRange, check_range, float_range, levels, to_srgb
from telephonegan.errors import ImageError, SettingsError
from telephonegan.picture_files import cost_of, damaged, decode, ifd, is_decoded

if TYPE_CHECKING:
    import torch

MAX_PIXELS = 64_000_000
LARGEST_SIDE = 1024
PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".heic", ".heif"),
    *(".gif", ".bmp", ".tif", ".tiff"),
)

_ADDRESS = re.compile(r"https?:/|data:|[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_FILE_ADDRESS = re.compile(r"file:/", re.IGNORECASE)
_ALLOWED = (
    "Allowed: the path of a picture file, the bytes of one, a binary file object, a PIL image, "
    "a numpy array or a torch tensor."
)
_MOST_BYTES = 256_000_000  # for file objects, whose content is held in memory
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


def as_image(
    source: Any, *, value_range: ValueRange | None = None, max_pixels: int = MAX_PIXELS, whole: bool = False
) -> Image.Image:
    """Read one picture from any kind of source, as a loaded PIL image of mode RGB with colours in sRGB.

    `source` is one of
    - a path (str or Path; `~` is the home folder) or a file:// address, never a web address;
    - the bytes of an image file (bytes, bytearray, memoryview) or a binary file object, read from its start;
    - a PIL image of any mode, which is not changed (for an animation: its current frame);
    - a numpy array (H,W), (H,W,C) or (C,H,W), or a torch tensor (C,H,W), (H,W,C) or (H,W), with C 1, 3 or 4; either
      may have a batch axis of 1. uint8 0–255, uint16 0–65535, bool, or float: 0–1, or −1…1 if a value is negative.

    `value_range` (low, high) says which numbers of an array, a tensor or a picture of 16-bit, 32-bit or float values
    stand for black and white, for instance (0, 1), (-1, 1), (0, 255) or (0, 4095); of other pictures it is ignored.

    Photographs are rotated according to their EXIF tag, colours are converted from the ICC profile, transparency is
    composited on white, 16-bit and float pictures (mode F: like arrays) are scaled, and animated files give their first
    frame. A picture of more than `max_pixels` pixels is reduced to a half, a quarter or an eighth of its width and
    height; with `whole` it is an error instead. The result carries no metadata, so reading it again changes nothing.

    Raises `ImageError` for anything else, and for files that would take more than 512 MB of memory or 4 seconds to
    decode; this is estimated before decoding.

    >>> as_image(np.zeros((2, 3), dtype=np.uint8)).size
    (3, 2)
    """
    reading = _Reading(_whole_number(max_pixels, "max_pixels", "pixels"), check_range(value_range), whole)
    if isinstance(source, (str, os.PathLike)):
        return reading.path(os.fsdecode(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return reading.content(bytes(source), "the bytes given")
    if isinstance(source, Image.Image):
        return reading.pil_image(source, f"the PIL image of mode {source.mode}")
    if isinstance(source, np.ndarray):
        name = f"the array of shape {source.shape} and type {source.dtype}"
        return reading.array(source, name, channels_first=False)
    if _is_tensor(source):
        return reading.tensor(source)
    if callable(getattr(source, "read", None)):
        return reading.file_object(source)
    raise ImageError(f"A picture cannot be read from {_shown(source)} of type {type(source).__name__}. {_ALLOWED}")


def working_image(source: Any, *, value_range: ValueRange | None = None) -> Image.Image:
    """Read a picture as `as_image` does, and shrink it to at most `LARGEST_SIDE` pixels on its longer side.

    Models see fewer pixels than that. Results keep this picture, so a saved chain holds exactly what was captioned, and
    a list of large photographs fits into memory.

    >>> working_image(Image.new("RGB", (2048, 100))).size
    (1024, 50)
    """
    image = as_image(source, value_range=value_range)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    return image


def to_tensor(
    images: list[Image.Image], size: int, *, resample: Image.Resampling = Image.Resampling.BICUBIC
) -> torch.Tensor:
    """Squash pictures to squares of `size` pixels and stack them: (B,3,size,size) float32 in [-1,1].

    The aspect ratio is not kept, as in training; shrinking is antialiased.
    Elements may be anything `as_image` reads. Raises `ImageError` or, for a `size` below 1, `SettingsError`.

    >>> to_tensor([Image.new("RGB", (640, 480), "white")], 4).shape
    torch.Size([1, 3, 4, 4])
    """
    import torch

    size = _whole_number(size, "size", "pixels")
    if not isinstance(images, (list, tuple)):
        raise ImageError(f"to_tensor was given {_shown(images)}. Allowed: a list of pictures; put one picture in [ ].")
    squares = [np.asarray(as_image(image).resize((size, size), resample)) for image in images]
    if not squares:
        return torch.empty((0, 3, size, size), dtype=torch.float32)
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    return pixels.to(torch.float32, memory_format=torch.contiguous_format) / 127.5 - 1


def to_images(tensor: torch.Tensor) -> list[Image.Image]:
    """Turn a (B,3,H,W) float tensor in [-1,1] into B RGB pictures, rounding to the nearest of 256 levels.

    Values outside [-1,1] are clamped, because generators overshoot; NaN and infinities raise `ImageError`.

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
    bytes_ = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return [Image.fromarray(picture) for picture in bytes_.permute(0, 2, 3, 1).contiguous().cpu().numpy()]


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


class _Reading:
    """How one picture is read, whatever its source."""

    def __init__(self, max_pixels: int, value_range: ValueRange | None, whole: bool) -> None:
        self.max_pixels, self.value_range, self.whole = max_pixels, value_range, whole

    def path(self, given: str) -> Image.Image:
        shown, path = _shown(given), os.path.expanduser(_local(given))
        try:
            status = os.stat(path)
            if stat.S_ISDIR(status.st_mode):
                raise ImageError(f"{shown} is a folder. Give the path of one picture file in it.")
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(f"{shown} is a pipe or a device, not a picture file. {_ALLOWED}")
            with open(path, "rb") as stream:
                return self.stream(stream, f"the file {shown}")
        except ImageError:
            raise
        except FileNotFoundError as error:
            looked_from = _shown(os.getcwd())
            raise ImageError(f"There is no file {shown}, looking from {looked_from}. Check the path.") from error
        except OSError as error:
            raise ImageError(
                f"The file {shown} cannot be opened: {error.strerror or error}. Check its rights."
            ) from error
        except ValueError as error:
            raise ImageError(f"{shown} cannot be a path: {error}. {_ALLOWED}") from error

    def file_object(self, stream: BinaryIO) -> Image.Image:
        name = f"the file object {type(stream).__name__}"
        try:
            if stream.seekable():
                stream.seek(0)
            content = stream.read(_MOST_BYTES + 1)
        except Exception as error:
            raise ImageError(f"Reading {name} failed: {error}. Open the file again, in binary mode ('rb').") from error
        if not isinstance(content, bytes):
            raise ImageError(f"Reading {name} gave {type(content).__name__}, not bytes. Open it in binary mode ('rb').")
        if len(content) > _MOST_BYTES:
            raise ImageError(f"Too large: {name} holds more than {_MOST_BYTES // 10**6} MB. Give the path of the file.")
        return self.content(content, name, held=len(content))

    def content(self, content: bytes, name: str, held: int = 0) -> Image.Image:
        return self.stream(BytesIO(content), f"{name} ({len(content)} bytes)", held)

    def stream(self, stream: BinaryIO, name: str, held: int = 0) -> Image.Image:
        picture, scale = decode(stream, name, self.max_pixels, held=held, whole=self.whole)
        with _naming(name):
            clean = to_srgb(picture, name, scale=scale, value_range=self.value_range)
        turn = _turn_in_file(picture)
        picture.close()  # frees its pixels before the turned copy needs as many
        return _turned(clean, turn)

    def pil_image(self, picture: Image.Image, name: str) -> Image.Image:
        if picture.width < 1 or picture.height < 1:
            raise _empty(name, *picture.size)
        if picture.format == "EPS":  # decoding it would run Ghostscript on an untrusted program
            raise ImageError(f"{name} is EPS, a program rather than pixels. Convert it to PNG first.")
        if (content := _undecoded(picture)) is not None:
            return self.content(content, name)
        scale = cost_of(picture).scale(name, self.max_pixels, whole=self.whole)
        try:
            picture.load()
        except Exception as error:
            raise damaged(name, error) from error
        with _naming(name):
            clean = to_srgb(picture, name, scale=scale, value_range=self.value_range)
        return _turned(clean, _turn(picture))

    def array(self, array: np.ndarray, name: str, *, channels_first: bool) -> Image.Image:
        planes = _channels_last(array, name, channels_first)
        if 0 in planes.shape:
            raise _empty(name, planes.shape[1], planes.shape[0])
        with _naming(name):
            picture = Image.fromarray(np.ascontiguousarray(self.levels(planes, channels_first)))
        return self.pil_image(picture, name)

    def tensor(self, tensor: torch.Tensor) -> Image.Image:
        name = _tensor_name(tensor)
        try:
            values = tensor.detach().cpu()
            array = values.float().numpy() if values.is_floating_point() else values.numpy()
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise ImageError(f"Cannot use {name}: its values cannot be read ({error}).") from error
        return self.array(array, name, channels_first=True)

    def levels(self, array: np.ndarray, is_tensor: bool) -> np.ndarray:
        if array.dtype.kind == "f":
            usual = (-1, 1) if is_tensor else (0, 1)
            return levels(array, float_range(array.min(), array.max(), self.value_range, usual=usual))
        if array.dtype.kind in "ui" and self.value_range is not None:
            return levels(array, float_range(array.min(), array.max(), self.value_range))
        if array.dtype == np.uint8:
            return array
        if array.dtype == bool:
            return array * np.uint8(255)
        if array.dtype.kind == "u" and array.dtype.itemsize == 2:
            return levels(array, (0, 65535))
        raise ImageError(
            "allowed types are uint8 (0–255), uint16 (0–65535), bool and float (0–1 or −1…1). If the values are 0–255, "
            "say so: value_range=(0, 255)."
        )


def _empty(name: str, width: int, height: int) -> ImageError:
    return ImageError(f"Empty: {name} is {width} × {height} pixels. At least 1 × 1 is needed.")


def _local(given: str) -> str:
    """The path given, perhaps as a file:// address. Raises ImageError for other addresses."""
    if _FILE_ADDRESS.match(given):
        from urllib.request import url2pathname  # slow to import

        address = urlsplit(given if given[5:7] == "//" else f"file://{given[5:]}")
        if address.netloc not in ("", "localhost"):
            raise ImageError(
                f"{_shown(given)} is a file on another machine ({address.netloc}). Copy it to this one, and give its "
                "path. On this machine the address has three slashes: file:///…"
            )
        return url2pathname(address.path)
    if given[:5].lower() == "data:":
        raise ImageError(f"{_shown(given)} is a data URL. Decode it (base64.b64decode) and give the bytes.")
    if _ADDRESS.match(given):
        raise ImageError(
            f"{_shown(given)} is a web address; pictures are read from files only. Download it first, "
            "for example with `curl -o picture.jpg ADDRESS`, and give the path of the saved file."
        )
    return given


def _undecoded(picture: Image.Image) -> bytes | None:
    """The content of a file that was opened but not decoded yet, so that its cost can be estimated; else None."""
    stream = getattr(picture, "fp", None)
    if is_decoded(picture) or picture.format not in ("JPEG", "MPO", "PNG") or stream is None:
        return None
    if picture.tell() != 0 or picture.decoderconfig:  # another frame, or a size the user chose
        return None
    try:
        place = stream.tell()
        stream.seek(0)
        content = stream.read(_MOST_BYTES)
        stream.seek(place)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, bytes) else None


def _turn(picture: Image.Image) -> Image.Transpose | None:
    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG)
    except Exception:  # damaged metadata does not make the pixels unreadable
        return None
    return _TURNS.get(orientation) if isinstance(orientation, int) else None


def _turn_in_file(picture: Image.Image) -> Image.Transpose | None:
    """Like `_turn`, for a file whose EXIF block is untrusted: only that one tag is read."""
    if "exif" not in picture.info:
        return _turn(picture)
    try:
        tags = ifd(BytesIO(picture.info["exif"].removeprefix(b"Exif\0\0")))
        return _TURNS.get(tags[_ORIENTATION_TAG][1][0])
    except Exception:
        return None


def _turned(clean: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    upright = clean if turn is None else clean.transpose(turn)
    upright.info = {}  # an orientation tag left here would rotate the picture again
    return upright


def _channels_last(array: np.ndarray, name: str, channels_first: bool) -> np.ndarray:
    """One picture as (H,W) or (H,W,C). Raises ImageError for arrays of other shapes."""
    single = array[0] if array.ndim == 4 and array.shape[0] == 1 else array
    if single.ndim == 3:
        usual, other = (0, 2) if channels_first else (2, 0)
        counts = (1, 3) if channels_first else (1, 3, 4)
        axis = next((axis for axis, few in ((usual, counts), (other, (1, 3, 4))) if single.shape[axis] in few), None)
        if axis is None and single.shape[usual] == 4:
            axis = usual
        if axis is not None:
            last = np.moveaxis(single, axis, 2)
            return last[:, :, 0] if last.shape[2] == 1 else last
    elif single.ndim == 2:
        return single
    usual = "(3,H,W), (1,H,W), (1,3,H,W)" if channels_first else "(H,W), (H,W,1), (H,W,3), (H,W,4)"
    raise ImageError(
        f"Cannot use {name}. Allowed: one picture, {usual}, or the same with the channels at the other end. For a "
        "batch, give one picture, such as batch[0]."
    )


def _whole_number(value: Any, option: str, unit: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, (bool, np.bool_)):
        raise SettingsError(f"{option} was {_shown(value)}. Allowed: a whole number of {unit}, 1 or more.")
    return number


def _is_tensor(source: Any) -> bool:
    torch = sys.modules.get("torch")  # whoever has a tensor has already imported torch
    return torch is not None and isinstance(source, torch.Tensor)


def _tensor_name(tensor: torch.Tensor) -> str:
    return f"the tensor of shape {tuple(tensor.shape)} and type {str(tensor.dtype).removeprefix('torch.')}"


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except Warning:  # turned into an error by the user's filters
        raise
    except Exception as error:
        raise ImageError(f"Cannot use {name}: {error}") from error


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
