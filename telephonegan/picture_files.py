"""Picture files: the format of a file, what decoding it would cost, and its pixels if that is within the budget.

Headers and markers are read before Pillow decodes anything, because a file of a few bytes can demand gigabytes or
minutes. The rates below are upper bounds, measured with Pillow 13 on one core.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from telephonegan.errors import ImageError

MEMORY, SECONDS = 512_000_000, 4.0  # what one picture may take
SCALES = (1, 2, 4, 8)
READ_FORMATS = "JPEG, PNG, WebP, GIF, TIFF, BMP and AVIF are read, and HEIC where pillow-heif is installed."

_MOST_SEGMENTS = 100_000  # chunks, markers or blocks before the pixels; ordinary files have fewer than 10,000
_EDGE = 8  # of a JPEG block


class Cost(NamedTuple):
    """What decoding takes. Bytes count per pixel: at the peak, and held by the decoded picture afterwards."""

    width: int
    height: int
    peak: float
    kept: float
    seconds: float
    fixed: float = 0  # bytes besides the pixels
    decodes_reduced: bool = False
    note: str = ""

    def __str__(self) -> str:
        return f"{self.width} × {self.height} pixels{self.note}"

    def memory(self, scale: int) -> float:
        """The bytes it takes to decode this and to make an RGB picture of 1/scale of its width and height from it."""
        pixels = self.width * self.height
        decoded = pixels / scale**2 if self.decodes_reduced else pixels
        return max(self.fixed + decoded * self.peak, decoded * self.kept + 4 * pixels / scale**2)

    def scale(self, name: str, max_pixels: int, *, whole: bool, held: int = 0) -> int:
        """The reduction: 1, 2, 4 or 8; always 1 with `whole`. Raises ImageError if the budget does not allow it."""
        pixels = self.width * self.height
        if whole and pixels > max_pixels:
            raise ImageError(f"Too large: {name} is {self}; {max_pixels} pixels are allowed. Shrink it first.")
        scales = (1,) if whole else SCALES
        fitting = [s for s in scales if pixels <= max_pixels * s**2 and held + self.memory(s) <= MEMORY]
        if fitting and self.seconds <= SECONDS:
            return fitting[0]
        if fitting:
            raise ImageError(
                f"Too slow: {name} is {self}, and decoding it would take about {self.seconds:.0f} s; {SECONDS:.0f} s "
                "are allowed. Open it in an image editor, shrink it and save it as an ordinary JPEG or PNG."
            )
        raise ImageError(
            f"Too large: {name} is {self}, and decoding it would take {(held + self.memory(SCALES[-1])) / 1e9:.2g} GB "
            f"of memory; {MEMORY / 1e9:.2g} GB are allowed. Shrink it, or save it as an ordinary JPEG, which can be "
            "decoded at a fraction of its size."
        )


def decode(
    stream: BinaryIO, name: str, max_pixels: int, *, whole: bool = False, held: int = 0
) -> tuple[Image.Image, int]:
    """The pixels of a picture file (for an animation: its first frame), and by how much they remain to be reduced.

    A JPEG of more than `max_pixels` is decoded directly at a half, a quarter or an eighth of its size, unless `whole`.
    `held` is the memory in bytes that the file itself occupies. Raises ImageError for a file that is not a picture, is
    damaged, or would cost more than `MEMORY` bytes or `SECONDS` seconds.
    """
    kind, cost = _kind(stream, name), None
    opener = _opener(kind, name)
    length = stream.seek(0, io.SEEK_END)
    try:
        cost = _COSTS[kind](stream, length) if kind in _COSTS else None
        scale = cost.scale(name, max_pixels, whole=whole, held=held) if cost else 1
        stream.seek(0)
        with _without_bomb_warnings(cost):
            picture = opener(stream)
            if cost is None:
                cost = _cost_when_opened(kind, picture, length)
                scale = cost.scale(name, max_pixels, whole=whole, held=held)
            if picture.width * picture.height > cost.width * cost.height:
                raise ValueError("its headers contradict each other")
            if scale > 1 and cost.decodes_reduced:
                picture.draft(None, (picture.width // scale, picture.height // scale))
                scale = 1
            packing = picture.tile[0][3] if kind == "PNG" and picture.tile else None
            picture.load()
        if kind == "TIFF" and picture.mode == "I;16" and picture.tag_v2.get(_PHOTOMETRIC) == 0:
            picture = _inverted(picture)
        if "transparency" in picture.info and packing in _KEYS:
            _KEYS[packing](picture, stream)
        return picture, scale
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"Too large: {name}. {error} Shrink it first.") from error
    except SyntaxError as error:
        if cost is not None and "pixel mode" in str(error):
            raise ImageError(
                f"A TIFF of a kind that is not read: {name} is {cost}. Read it with another library, such as tifffile, "
                "and give the array."
            ) from error
        raise damaged(name, error) from error
    except Exception as error:  # decoders raise all kinds of exceptions for damaged files
        raise damaged(name, error) from error


def cost_of(picture: Image.Image) -> Cost:
    """The cost of using a PIL image that the user has opened: decoding it, unless its pixels are in memory."""
    kept = _SMALL_MODES.get(picture.mode, 4)
    if is_decoded(picture):
        return Cost(*picture.size, peak=0, kept=0, seconds=0)
    peak, kept_more = _DECODERS.get(picture.format, (2 * kept, kept))
    return Cost(*picture.size, peak=max(peak, kept), kept=max(kept, kept_more), seconds=0)


def is_decoded(picture: Image.Image) -> bool:
    """Whether the pixels of a PIL image are in memory; a file that was only opened has read its header."""
    return not isinstance(picture, ImageFile.ImageFile) or getattr(picture, "_im", True) is not None


def damaged(name: str, error: Exception) -> ImageError:
    """The error for a file that begins like a picture but is damaged."""
    reason = str(error) or type(error).__name__
    return ImageError(f"Damaged or not a picture: {name}: {reason}. Save or download it again. {READ_FORMATS}")


@contextmanager
def _without_bomb_warnings(cost: Cost | None) -> Iterator[None]:
    """Silence Pillow's own limit, whose warning gives no remedy; the budget here replaces it."""
    if cost is None or Image.MAX_IMAGE_PIXELS is None or cost.width * cost.height <= Image.MAX_IMAGE_PIXELS:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


# ---------------------------------------------------------------------------------------------------- kinds


_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_OTHERS = (  # other files that people give, by their first bytes
    (rb"%!PS|\xc5\xd0\xd3\xc6", "EPS, which is a program rather than pixels"),
    (rb"\s*(<!doctype html|<html)", "a web page, so the download failed"),
    (rb"\s*<(\?xml|svg)", "SVG or other XML, which holds no pixels"),
    (rb"version https://git-lfs", "a Git LFS pointer (`git lfs pull` gets the picture itself)"),
    (rb"%PDF", "a PDF"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"\x1f\x8b", "gzipped"),
    (rb"8BPS", "a Photoshop file"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"P[1-6]\s", "a PNM picture"),
    (rb"\x00\x00\x01\x00", "an icon"),
    (rb"....ftyp(crx)", "a RAW photograph"),
    (rb"....ftyp|RIFF....AVI|\x1aE\xdf\xa3", "a video"),
)


def _kind(stream: BinaryIO, name: str) -> str:
    stream.seek(0)
    head = stream.read(64)
    stream.seek(0)
    if not head:
        raise ImageError(f"Empty: {name} has no content. Save or download the picture again.")
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"BM"):
        return "BMP"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    brands = {head[at : at + 4] for at in (8, *range(16, min(len(head), head[3]), 4))} if head[4:8] == b"ftyp" else ()
    brands = set(brands)
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & (_HEIC | {b"mif1", b"msf1"}):
        return "HEIF"
    what = next((what for start, what in _OTHERS if re.match(start, head, re.DOTALL | re.IGNORECASE)), None)
    raise ImageError(f"Not a supported picture: {name}{f' is {what}' if what else ''}. {READ_FORMATS}")


def _opener(kind: str, name: str) -> Callable[[BinaryIO], ImageFile.ImageFile]:
    if kind != "HEIF":
        return _OPENERS[kind]
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError as error:
        raise ImageError(
            f"HEIC: {name} needs the package pillow-heif. Install it with `pip install pillow-heif` "
            '(or telephonegan with its extra "heic"), or export the photograph as JPEG.'
        ) from error
    return HeifImageFile


_OPENERS: dict[str, Callable[[BinaryIO], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.jpeg_factory,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}


# ---------------------------------------------------------------------------------------------------- costs


_SMALL_MODES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_DECODERS = {"WEBP": (16, 12), "AVIF": (16, 12), "HEIF": (10, 4)}  # bytes per pixel at the peak, and afterwards


def _jpeg_cost(stream: BinaryIO, length: int) -> Cost:
    """Every scan visits its blocks again, and more than one scan keeps all coefficients (two bytes each) in memory."""
    blocks: dict[int, int] = {}
    width = height = scans = passes = skipped = 0
    buffered = reducible = False
    if length * _BASELINE_BYTE > SECONDS:
        raise ValueError(f"it has {length / 1e6:.0f} MB")
    stream.seek(0)
    content = stream.read()
    at = 2
    for _ in range(_MOST_SEGMENTS):
        marker = _JPEG_MARKER.search(content, at)
        if marker is None or marker[0] == b"\xff\xd9":
            break
        skipped += marker.start() - at if not scans else 0
        if skipped > _MOST_SEGMENTS:  # Pillow scans them byte by byte
            raise ValueError(f"it has more than {_MOST_SEGMENTS} bytes between its segments")
        code, at = marker[0][1], marker.end()
        if code in (0x01, 0xD8):
            continue
        segment = content[at + 2 : at + int.from_bytes(content[at : at + 2], "big")]
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            width, height, blocks = _jpeg_frame(segment)
            buffered |= code in (0xC2, 0xC6, 0xCA, 0xCE)
            reducible = code not in (0xC3, 0xC7, 0xCB, 0xCF)  # lossless JPEGs have no blocks
        elif code == 0xDA and segment:
            scanned = [blocks.get(component, 0) for component in segment[1 : 1 + 2 * segment[0] : 2]]
            scans, passes = scans + 1, passes + sum(scanned)
            buffered |= len(scanned) < len(blocks)
        at += len(segment) + 2
    else:
        raise ValueError(f"it has more than {_MOST_SEGMENTS} segments")
    return Cost(
        width,
        height,
        peak=4,
        kept=4,
        seconds=passes * _JPEG_BLOCK + length * (_BUFFERED_BYTE if buffered else _BASELINE_BYTE),
        fixed=sum(blocks.values()) * _EDGE * _EDGE * 2 if buffered else 0,
        decodes_reduced=reducible,
        note=f" in {scans} scans" if scans > 1 else "",
    )


_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)  # not stuffed 255s, restarts or fill bytes
_JPEG_BLOCK, _BASELINE_BYTE, _BUFFERED_BYTE = 60e-9, 14e-9, 35e-9


def _jpeg_frame(segment: bytes) -> tuple[int, int, dict[int, int]]:
    """Width, height and the number of blocks of each component."""
    height, width, count = struct.unpack(">HHB", segment[1:6])
    components = [(segment[at], segment[at + 1] >> 4, segment[at + 1] & 15) for at in range(6, 6 + 3 * count, 3)]
    most_across, most_down = max(across for _, across, _ in components), max(down for _, _, down in components)
    blocks = {
        component: -(-width * across // (most_across * _EDGE)) * -(-height * down // (most_down * _EDGE))
        for component, across, down in components
    }
    return width, height, blocks


def _png_cost(stream: BinaryIO, length: int) -> Cost:
    stream.seek(8)
    chunks, keyed, header = 0, False, b""
    while len(start := stream.read(8)) == 8:
        size, kind = struct.unpack(">I4s", start)
        chunks += 1
        if chunks > _MOST_SEGMENTS:
            raise ValueError(f"it has more than {_MOST_SEGMENTS} chunks")
        if kind == b"IHDR" and not header:
            header = stream.read(13)
            size -= 13
        keyed |= kind == b"tRNS"
        if kind == b"IEND":
            break
        stream.seek(size + 4, io.SEEK_CUR)
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 4)
    kept = 4 if samples > 1 else 2 if depth == 16 else 1
    peak = 28 if keyed and depth == 16 and samples == 3 else kept  # decoded twice: see _with_exact_key
    raw = width * height * samples * depth / 8 * (2 if peak > kept else 1)
    return Cost(width, height, peak=peak, kept=kept, seconds=raw * 5e-9 + width * height * 3e-9 + chunks * 3e-6)


def _gif_cost(stream: BinaryIO, length: int) -> Cost:
    """A first frame larger than the screen enlarges it."""
    stream.seek(6)
    width, height, flags = struct.unpack("<HHB", stream.read(5))
    stream.seek(13 + (3 << (flags & 7) + 1 if flags & 128 else 0))
    parts = 0
    while parts < _MOST_SEGMENTS:
        parts += 1
        introducer = stream.read(1)
        if introducer == b"!":
            stream.seek(1, io.SEEK_CUR)
            while (size := stream.read(1)[0]) and parts < _MOST_SEGMENTS:
                stream.seek(size, io.SEEK_CUR)
                parts += 1
        elif introducer == b",":
            left, top, across, down = struct.unpack("<HHHH", stream.read(8))
            width, height = max(width, left + across), max(height, top + down)
            return Cost(width, height, peak=2, kept=1, seconds=width * height * 20e-9)
        elif introducer in (b"", b";"):
            raise ValueError("it holds no frame")
    raise ValueError(f"it has more than {_MOST_SEGMENTS} blocks before its first frame")


def _webp_cost(stream: BinaryIO, length: int) -> Cost:
    stream.seek(12)
    head = stream.read(18)
    if head[:4] == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", head[14:18]))
    elif head[:4] == b"VP8L":
        bits = int.from_bytes(head[9:13], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (12, 15))
    return _coded_cost("WEBP", width, height, length)


def _coded_cost(kind: str, width: int, height: int, length: int) -> Cost:
    """For formats whose decoders hold the file and planes of their own."""
    per_pixel, per_byte = {"WEBP": (9e-9, 50e-9), "AVIF": (9e-9, 100e-9), "HEIF": (10e-9, 130e-9)}[kind]
    peak, kept = _DECODERS[kind]
    seconds = width * height * per_pixel + length * per_byte
    return Cost(width, height, peak=peak, kept=kept, seconds=seconds, fixed=2 * length)


def _tiff_cost(stream: BinaryIO, length: int) -> Cost:
    """Compressed strips and tiles are decoded whole, each into its own buffer, from a memory-mapped file."""
    tags = ifd(stream)
    first = {tag: values[0] for tag, (_, values) in tags.items()}
    if 256 not in first or 257 not in first:
        raise ValueError("its header gives no width or height")
    width, height, samples, compression = first[256], first[257], first.get(277, 1), first.get(259, 1)
    bits = max(tags[258][1]) if 258 in tags else 1
    across, down = first.get(322, width), first.get(323, min(height, first.get(278, height)))
    blocks = tags.get(324, tags.get(273, (1, ())))[0]
    in_block = across * down * samples
    raw = max(width * height * samples, in_block) * bits / 8
    seconds = raw * (25e-9 if compression in _TIFF_LZMA else 5e-9) + blocks * 20e-6
    fixed = 0.0 if compression == 1 else in_block * bits / 8 + length
    if compression in _TIFF_JPEG:
        seconds += length * _BUFFERED_BYTE
        fixed += 2 * in_block
        stream.seek(0)
        scans = stream.read().count(b"\xff\xda") if seconds < SECONDS else 0
        seconds += scans * in_block / _EDGE**2 * _JPEG_BLOCK
    kept = 4 if samples > 1 or bits > 16 else 2
    is_turned = first.get(274, 1) != 1  # by Pillow, while it loads
    note = f" of {samples} × {bits} bits"
    return Cost(width, height, peak=kept * (2 if is_turned else 1), kept=kept, seconds=seconds, fixed=fixed, note=note)


_TIFF_LZMA, _TIFF_JPEG = {34925}, {6, 7}
_PHOTOMETRIC = 262  # 0: the least value is white
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_MOST_VALUES = 16  # per tag: only samples per pixel have several that matter here


def ifd(stream: BinaryIO) -> dict[int, tuple[int, tuple[int, ...]]]:
    """The integers of the first directory of a TIFF: tag → their count, and the first of them."""
    stream.seek(0)
    head = stream.read(16)
    order = "<" if head[:2] == b"II" else ">"
    is_big = 43 in head[2:4]
    count_code, entry_code, inline = ("Q", "HHQ8s", 8) if is_big else ("H", "HHI4s", 4)
    (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), head, 8 if is_big else 4)
    stream.seek(start)
    (entries,) = struct.unpack(order + count_code, stream.read(struct.calcsize(order + count_code)))
    size = struct.calcsize(order + entry_code)
    directory = stream.read(min(entries, _MOST_SEGMENTS) * size)
    tags: dict[int, tuple[int, tuple[int, ...]]] = {}
    for tag, kind, count, data in struct.iter_unpack(order + entry_code, directory[: len(directory) // size * size]):
        code = _TIFF_TYPES.get(kind)
        if code is None or not count or tag in tags:
            continue
        if count * struct.calcsize(code) > inline:
            stream.seek(int.from_bytes(data, "little" if order == "<" else "big"))
            data = stream.read(min(count, _MOST_VALUES) * struct.calcsize(code))
        few = min(count, _MOST_VALUES, len(data) // struct.calcsize(code))
        if few:
            tags[tag] = count, struct.unpack_from(f"{order}{few}{code}", data)
    return tags


def _inverted(picture: Image.Image) -> Image.Image:
    """Pillow inverts grey of 8 bits where 0 is white, and not that of 16."""
    inverted = Image.fromarray(65535 - np.asarray(picture))
    inverted.info = picture.info
    return inverted


def _cost_when_opened(kind: str, picture: ImageFile.ImageFile, length: int) -> Cost:
    if kind != "BMP":
        return _coded_cost(kind, *picture.size, length)
    if picture.tile and picture.tile[0][0] == "bmp_rle":  # decoded in Python
        seconds = picture.width * picture.height * 80e-9 + length * 400e-9
        return Cost(*picture.size, peak=6, kept=1, seconds=seconds)
    return Cost(*picture.size, peak=4, kept=4, seconds=picture.width * picture.height * 5e-9)


_COSTS: dict[str, Callable[[BinaryIO, int], Cost]] = {
    "JPEG": _jpeg_cost,
    "PNG": _png_cost,
    "GIF": _gif_cost,
    "TIFF": _tiff_cost,
    "WEBP": _webp_cost,
}


# ---------------------------------------------------------------------------------------------------- transparency


def _scale_key(picture: Image.Image, levels: int) -> None:
    """Pillow scales 2-bit and 4-bit grey to 0–255, but not the grey value that is transparent."""
    picture.info["transparency"] *= 255 // (levels - 1)


def _compare_all_bits(picture: Image.Image, stream: BinaryIO) -> None:
    """Pillow keeps the upper bytes of 16-bit colours, but the transparent colour is defined by both bytes."""
    key = np.array(picture.info.pop("transparency"))
    stream.seek(0)
    lower = PngImagePlugin.PngImageFile(stream)
    lower.tile = [(*lower.tile[0][:3], "RGB;16L")]  # read as little-endian, the upper byte is the lower one here
    lower.load()
    is_key = (np.asarray(picture) == key >> 8).all(axis=2) & (np.asarray(lower) == key & 255).all(axis=2)
    picture.putalpha(Image.fromarray(np.where(is_key, 0, 255).astype(np.uint8)))


_KEYS: dict[str, Callable[[Image.Image, BinaryIO], None]] = {
    "L;2": lambda picture, _: _scale_key(picture, 4),
    "L;4": lambda picture, _: _scale_key(picture, 16),
    "RGB;16B": _compare_all_bits,
}
