"""Captioning a folder of large photographs, and whether memory stays flat: python benchmarks/folder.py [PHOTOS]

40 photographs of a folder (by default the samples that are installed) become JPEGs of 12 megapixels, each under many
names, as many as `--pictures`; a new process captions them and says how much memory it has held at most by then.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from telephonegan import bulk
from telephonegan.captioning import Captioner
from telephonegan.samples import samples

SIZE, DIFFERENT = (4000, 3000), 40
TOLD = (DIFFERENT, 200, 500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="?", type=Path, help="a folder of photographs")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        caption(options.work)
        return
    photos = options.photos
    paths = [photos / name for name in bulk.pictures_in(photos)] if photos else list(samples().values())
    with tempfile.TemporaryDirectory() as place:
        write(paths, Path(place), options.pictures)
        subprocess.run([sys.executable, __file__, "--work", place], check=True)  # which never held what was drawn


def write(photos: list[Path], folder: Path, pictures: int) -> None:
    """Enlarged photographs with noise, so that they are as many bytes as a camera's."""
    files = []
    for number in range(min(DIFFERENT, pictures)):
        with Image.open(photos[number % len(photos)]) as photo:
            pixels = np.asarray(photo.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC), np.int16)
        noise = np.random.default_rng(number).integers(-8, 9, pixels.shape, np.int16)
        files.append(folder / f"{number:06}.jpg")
        Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(files[-1], quality=90)
    for number in range(len(files), pictures):
        os.link(files[number % len(files)], folder / f"{number:06}.jpg")
    size = sum(path.stat().st_size for path in files) / len(files)
    print(f"{pictures:,} JPEGs of {SIZE[0]} × {SIZE[1]}, {size / 1e6:.1f} MB each, {len(files)} different", flush=True)


def caption(folder: Path) -> None:
    captioner, opened, started = Captioner.load(device="cpu"), bulk.working_image, time.process_time()
    print(f"models loaded: {peak():,.0f} MB", flush=True)
    count = 0

    def counting(path: Path) -> Image.Image:
        nonlocal count
        count += 1
        if count - 1 in TOLD:
            print(f"after {count - 1:,} pictures: {peak():,.0f} MB", flush=True)
        return opened(path)

    bulk.working_image = counting
    outcome = bulk.caption_folder(folder, captioner, out=folder / "captions.jsonl")
    seconds = time.process_time() - started
    print(f"after {count:,} pictures: {peak():,.0f} MB, {seconds / count:.2f} s of CPU time each")
    print(f"{outcome.written} written, {len(outcome.skipped)} skipped")


def peak() -> float:
    """Megabytes that this process has held at most (Linux); getrusage would count those of the one that began it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    main()
