"""Mutated picture files: each must give a picture or a TelephoneganError, in 5 s of CPU time and 600 MB of memory.

    python -m tests.fuzz_pictures --files 10000 --seed 0

Files are read in a child process under limits that the system enforces, so that a crash, a hang or an allocation too
large is caught, too. Prints what went wrong and exits with 1, or prints how many files were read and refused. The same
seed and number make the same file: `--keep 4711 --seed 0` writes file 4711 to the current folder.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import re
import signal
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

SECONDS, MEMORY = 5, 600_000_000
_LARGEST = 1_000_000  # bytes of a mutated file
_EXTREMES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


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
    """One damaged file; the same numbers give the same one."""
    chance = random.Random(f"{seed}/{number}")
    content = bytearray(chance.choice(corpus()))
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        chance.choice(_MUTATIONS)(content, chance)
        del content[_LARGEST:]
    if content[1:4] == b"PNG" and chance.random() < 0.8:
        _sign_chunks(content)
    return bytes(content)


def _flip(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 3, 30))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _write_extreme(content: bytearray, chance: random.Random) -> None:
    """A number where headers have theirs more often than elsewhere: sizes, counts and offsets."""
    packed = struct.pack(chance.choice("<>") + chance.choice("BHI"), 0)
    order = chance.choice(("little", "big"))
    at = chance.randrange(min(len(content), chance.choice((64, 400, len(content)))))
    value = chance.choice(_EXTREMES) % (1 << 8 * len(packed))
    content[at : at + len(packed)] = value.to_bytes(len(packed), order)


def _cut(content: bytearray, chance: random.Random) -> None:
    del content[max(1, chance.randrange(len(content))) :]


def _remove(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    del content[max(1, start) : start + chance.randrange(1, 64)]


def _repeat(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    stop = start + chance.choice((1, 12, 100, 1000))
    content[start:start] = content[start:stop] * chance.choice((1, 10, 300))


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


def _splice(content: bytearray, chance: random.Random) -> None:
    other = chance.choice(corpus())
    content[chance.randrange(1, len(content) + 1) :] = other[chance.randrange(len(other)) :]


_MUTATIONS = (_flip, _write_extreme, _write_extreme, _write_extreme, _cut, _remove, _repeat, _repeat_scan, _splice)


# ---------------------------------------------------------------------------------------------------- parent and child


def read_all(files: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How many files were read and refused, and what went wrong with the others."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    while (done := counts.total()) < files:
        for line in _child(seed, done, files):
            outcome, _, detail = line.partition(" ")
            if outcome == "fault":
                faults.append(f"file {counts.total()}: {detail}")
            counts[outcome] += 1
    return counts, faults


def _child(seed: int, start: int, stop: int) -> Iterator[str]:
    """One line for each file; where the child dies, its last line says of what."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz_pictures", "--child", f"{seed},{start},{stop}"]
    root = Path(__file__).resolve().parents[1]
    few = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}  # threads reserve more than they use
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=root, env=few, **pipes) as process:
        for line in process.stdout:
            yield line.rstrip("\n")
        errors = process.stderr.read()[-500:]
        if code := process.wait():
            slow = f"took more than {SECONDS} s of CPU time"
            yield f"fault {slow if code == -signal.SIGPROF else f'ended the process ({code}): {errors}'}"


def _work(seed: int, start: int, stop: int) -> None:
    import resource

    from telephonegan.errors import TelephoneganError
    from telephonegan.images import as_image

    as_image(corpus()[0])  # what the libraries allocate once does not count
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for number in range(start, stop):
        content = mutated(seed, number)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # whose signal ends the process
        try:
            outcome = "read" if as_image(content).mode == "RGB" else "fault not RGB"
        except TelephoneganError as error:
            outcome = "fault out of memory" if isinstance(error.__cause__, MemoryError) else "refused"
        except BaseException as error:
            outcome = f"fault {type(error).__name__}: {error}".replace("\n", " ")
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(outcome, flush=True)


def main() -> int:
    """Read the mutated files of a seed, or be the child that does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=int, metavar="NUMBER", help="write this file instead of reading all")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _work(*map(int, options.child.split(",")))
        return 0
    if options.keep is not None:
        Path(f"mutated-{options.seed}-{options.keep}").write_bytes(mutated(options.seed, options.keep))
        return 0
    counts, faults = read_all(options.files, options.seed)
    print(*faults, ", ".join(f"{count} {outcome}" for outcome, count in counts.items()), sep="\n")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
