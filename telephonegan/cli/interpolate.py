"""`telephonegan interpolate`: pictures between two sentences or two seeds."""

from __future__ import annotations

import argparse

from telephonegan.cli.options import add_computing, add_generator, given, print_left_out, record, whole
from telephonegan.files import json_bytes, place, png_bytes, replace

_RECORDED = ("text", "words", "dropped_words", "truncated", "seed", "model")


def add_interpolate(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan interpolate`."""
    parser.epilog = (
        "examples:\n"
        '  telephonegan interpolate "a red flower" "a yellow flower" --generator gan-cls-flowers --gif\n'
        '  telephonegan interpolate "a red flower" --seed 3 --to-seed 8 --steps 16'
    )
    parser.add_argument("text", help="an English sentence")
    parser.add_argument("to", nargs="?", help="the sentence to end with (default: the same)")
    parser.add_argument("--to-seed", type=whole, metavar="SEED", help="the seed to end with (default: the same)")
    parser.add_argument("--steps", type=whole, metavar="N", help="how many pictures, with both ends (default: 8)")
    parser.add_argument("--gif", action="store_true", help="also write an animation, there and back")
    add_generator(parser, candidates=False)
    add_computing(parser)


def run(options: argparse.Namespace) -> int:
    """Paint the way into a new folder, and print the path of a strip of it."""
    open_folder = place(options.out, options.text)
    from telephonegan.interpolation import interpolate

    how = given(options, "to", "seed", "to_seed", "steps", "truncation", "generator", "device")
    found = interpolate(options.text, **how)
    folder = open_folder()
    for number, picture in enumerate(found):
        replace(folder / f"{number:03d}.png", png_bytes(picture.image))
    replace(folder / "strip.png", png_bytes(found.strip()))
    told = [record(each, _RECORDED) | {"place": at} for each, at in zip(found, found.places, strict=True)]
    replace(folder / "pictures.json", json_bytes(told))
    if options.gif:
        found.animate(folder / "way.gif")
    for end in (found[0], found[-1]):
        print_left_out(end)
    print(folder / "strip.png")
    return 0
