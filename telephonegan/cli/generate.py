"""`telephonegan generate`: sentence to pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from telephonegan.cli.options import (
    add_computing,
    add_generator,
    given,
    print_left_out,
    print_outcome,
    record,
    resumable,
    whole,
)
from telephonegan.errors import SettingsError
from telephonegan.files import json_bytes, place, png_bytes, replace

_RECORDED = ("text", "words", "dropped_words", "truncated", "seed", "model")
_EXAMPLES = """examples:
  telephonegan generate "two dogs play in the snow" -n 4 --seed 7
  telephonegan generate --file texts.txt --out painted"""


def add_generate(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan generate`."""
    parser.epilog = _EXAMPLES
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("text", nargs="?", help="an English sentence")
    text.add_argument("--file", type=Path, help="a text file, one sentence per line; with the same --out it resumes")
    parser.add_argument("-n", type=whole, help="how many pictures, with the seeds SEED, SEED + 1, … (default: 1)")
    add_generator(parser)
    parser.add_argument("--world", dest="generator", metavar="NAME", help="the generator of a world")
    add_computing(parser)


def run(options: argparse.Namespace) -> int:
    """Paint a text into a new folder, and print the path of a strip of the pictures."""
    if options.file is not None:
        return _paint_file(options)
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


def _paint_file(options: argparse.Namespace) -> int:
    """Paint every line of a file into a folder, and print what was done and which lines could not be painted."""
    if options.out is None:
        raise SettingsError("--file needs --out FOLDER, in which the same command goes on where it stopped.")
    from telephonegan.bulk import paint_file
    from telephonegan.generation import Generator
    from telephonegan.telephone import DEFAULT_MODEL

    generator = Generator.load(options.generator or DEFAULT_MODEL, **given(options, "device"))
    how = given(options, "seed", "n", "truncation", "candidates")
    with resumable():
        outcome = paint_file(options.file, generator, options.out, **how)
    return print_outcome(outcome, "pictures", options.out)
