"""Mutated picture files for `python -m tests.fuzz`."""

from __future__ import annotations

import importlib.util
import random
import re
import zlib
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image

from tests.mutations import CHANGES, splice

_LARGEST = 1_000_000  # bytes of a mutated file


@cache
def corpus() -> list[bytes]:
    """Small files of every kind that is read, with what they may hold: profiles, EXIF, animation, transparency.

    HEIC is among them where pillow-heif is installed, so that numbers mean other files there.
    """
    from tests.icc_profiles import ADOBE, cmyk_profile, grey_profile, rgb_profile

    random_pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 4), dtype=np.uint8)
    rgba = Image.fromarray(random_pixels)
    smooth = rgba.convert("RGB").resize((5, 6)).resize((64, 48), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = rgb_profile(ADOBE)
    frames = {"save_all": True, "append_images": [smooth.rotate(90).resize(smooth.size)]}
    sixteen = Image.fromarray(random_pixels[..., 0].astype(np.uint16) * 257)
    floats = Image.fromarray(random_pixels[..., 0].astype(np.float32) / 255)
    made = [
        (smooth, "JPEG", {"exif": exif}),
        (smooth, "JPEG", {"progressive": True, "icc_profile": profile}),
        (smooth.convert("CMYK"), "JPEG", {"icc_profile": cmyk_profile()}),
        (smooth.convert("L"), "JPEG", {"icc_profile": grey_profile(1.8)}),
        (rgba, "PNG", {"icc_profile": profile}),
        (smooth, "PNG", {"exif": exif, "transparency": (1, 2, 3)}),
        (smooth.quantize(16), "PNG", {"transparency": b"\0\x80"}),
        (smooth, "PNG", frames),
        (sixteen, "PNG", {"transparency": 257}),
        (smooth, "GIF", frames),
        (smooth, "BMP", {}),
        (smooth.quantize(16), "BMP", {}),
        (rgba, "WEBP", {"lossless": True, "icc_profile": profile}),
        (smooth, "WEBP", frames),
        (smooth, "AVIF", {"exif": exif}),
        (smooth, "TIFF", {}),
        (rgba, "TIFF", {"compression": "tiff_lzw", "exif": exif}),
        (smooth, "TIFF", {"compression": "jpeg"}),
        (smooth, "TIFF", {"compression": "tiff_adobe_deflate"} | frames),
        (floats, "TIFF", {"compression": "packbits"}),
        (smooth.convert("CMYK"), "TIFF", {"icc_profile": cmyk_profile()}),
        (sixteen, "TIFF", {}),
    ]
    if importlib.util.find_spec("pillow_heif"):
        importlib.import_module("pillow_heif").register_heif_opener()
        made.append((smooth, "HEIF", {"exif": exif, "icc_profile": profile}))
    files = []
    for picture, kind, options in made:
        stream = BytesIO()
        picture.save(stream, kind, **options)
        files.append(stream.getvalue())
    return files


def mutated(seed: int, number: int) -> bytes:
    """One damaged picture file; the same numbers give the same one."""
    chance = random.Random(f"{seed}/{number}")
    content = bytearray(chance.choice(corpus()))
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        change = chance.choice((*CHANGES, _repeat_scan, splice))
        if change is splice:
            splice(content, chance, chance.choice(corpus()))
        else:
            change(content, chance)
        del content[_LARGEST:]
    if content[1:4] == b"PNG" and chance.random() < 0.8:
        _sign_chunks(content)
    return bytes(content)


def _repeat_scan(content: bytearray, chance: random.Random) -> None:
    scans = [found.start() for found in re.finditer(rb"\xff\xda", content)]
    if scans:
        scan = content[chance.choice(scans) : -2]
        content[-2:-2] = scan * min(chance.choice((1, 30, 400)), _LARGEST // (len(scan) + 1))


def _sign_chunks(content: bytearray) -> None:
    """Checksums that are right let damage come further."""
    at = 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        content[end : end + 4] = zlib.crc32(content[at + 4 : end]).to_bytes(4, "big")
        at = end + 4


def attempt(seed: int, number: int) -> str:
    """What becomes of one mutated file: "read", or "fault" and why. Raises what the library raises."""
    from telephonegan.images import as_image

    return "read" if as_image(mutated(seed, number)).mode == "RGB" else "fault not RGB"


def prepare() -> None:
    """Load what is loaded once."""
    from telephonegan.images import as_image

    as_image(corpus()[0])
