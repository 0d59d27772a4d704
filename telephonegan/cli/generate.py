"""`telephonegan generate`: sentence to pictures."""

from __future__ import annotations

import argparse

from telephonegan.cli.options import add_computing, add_generator, given, print_left_out, record, whole
from telephonegan.files import json_bytes, place, png_bytes, replace

_RECORDED = ("text", "words", "dropped_words", "truncated", "seed", "model")


def add_generate(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan generate`."""
    parser.epilog = 'example:\n  telephonegan generate "two dogs play in the snow" -n 4 --seed 7'
    parser.add_argument("text", help="an English sentence")
    parser.add_argument("-n", type=whole, help="how many pictures, with the seeds SEED, SEED + 1, … (default: 1)")
    add_generator(parser)
    add_computing(parser)


def run(options: argparse.Namespace) -> int:
    """Paint a text into a new folder, and print the path of a strip of the pictures."""
    open_folder = place(options.out, options.text)
    from telephonegan.strips import Tile, strip
    from telephonegan.telephone import generate

    painted = generate(options.text, **given(options, "seed", "n", "truncation", "candidates", "generator", "device"))
    pictures = painted if isinstance(painted, list) else [painted]
    folder = open_folder()
    for picture in pictures:
        replace(folder / f"seed-{picture.seed}.png", png_bytes(picture.image))
    tiles = [Tile(each.image, f"seed {each.seed}: {each.text}", str(i)) for i, each in enumerate(pictures, 1)]
    replace(folder / "strip.png", png_bytes(strip(tiles)))
    replace(folder / "pictures.json", json_bytes([record(each, _RECORDED) for each in pictures]))
    print_left_out(pictures[0])
    print(folder / "strip.png")
    return 0
