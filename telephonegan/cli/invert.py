"""`telephonegan invert`: the latents whose picture is nearest to a photograph."""

from __future__ import annotations

import argparse
from pathlib import Path

from telephonegan.cli.options import add_computing, add_out, given, locate_picture, open_picture, whole
from telephonegan.files import json_bytes, place, png_bytes, replace

_EXAMPLES = """examples:
  telephonegan invert faces me.jpg --out out/me
  telephonegan axes edit faces --latents out/me/latents.npz --set age=2"""


def add_invert(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan invert`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("generator", metavar="GENERATOR", help="which generator, such as faces")
    parser.add_argument("image", help="a picture, or the name of a sample photograph")
    parser.add_argument("--text", default="", help="the caption to paint, for generators that paint texts")
    parser.add_argument("--starts", type=whole, help="how many starts are improved together (default: 8)")
    parser.add_argument("--steps", type=whole, help="steps of gradient descent (default: 200)")
    add_out(parser)
    add_computing(parser)


def run(options: argparse.Namespace) -> int:
    """Invert a photograph into a new folder: the picture found, its latents, and how near it is."""
    open_folder = place(options.out, f"invert-{Path(options.image).stem}")
    image = open_picture(options.image)
    from telephonegan.latent import invert
    from telephonegan.strips import Tile, strip

    found = invert(
        options.generator,
        locate_picture(options.image),
        text=options.text,
        **given(options, "starts", "steps", "seed", "device"),
    )
    folder = open_folder()
    found.save_latents(folder / "latents.npz")
    replace(folder / "found.png", png_bytes(found.picture.image))
    tiles = [Tile(image.resize(found.picture.image.size), "photograph"), Tile(found.picture.image, str(found))]
    replace(folder / "strip.png", png_bytes(strip(tiles)))
    told = {"error": found.error, "distance": found.distance, "poor": found.is_poor, "starts": list(found.errors)}
    replace(folder / "inversion.json", json_bytes(told))
    print(found)
    print(folder / "strip.png")
    return 0
