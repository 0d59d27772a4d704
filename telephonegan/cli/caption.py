"""`telephonegan caption`: pictures to sentences."""

from __future__ import annotations

import argparse

from telephonegan.cli.options import add_captioner, add_seed_and_device, decoding, given, open_picture, record

_RECORDED = ("text", "words", "probabilities", "log_probability", "alternatives", "model", "seed")


def add_caption(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan caption`."""
    parser.epilog = "example:\n  telephonegan caption bear.jpg chelsea"
    parser.add_argument("image", nargs="+", help="a picture file, or the name of a sample photograph such as chelsea")
    parser.add_argument("--json", action="store_true", help="print words, probabilities and alternatives too, as JSON")
    add_captioner(parser)
    add_seed_and_device(parser)


def run(options: argparse.Namespace) -> int:
    """Print a sentence for each picture."""
    images = [open_picture(typed) for typed in options.image]
    from telephonegan.errors import printable
    from telephonegan.files import json_bytes
    from telephonegan.telephone import caption

    said = caption(images, **given(options, "captioner", "device", "seed"), **decoding(options))
    if options.json:
        records = [{"image": name} | record(each, _RECORDED) for name, each in zip(options.image, said, strict=True)]
        print(json_bytes(records).decode(), end="")
        return 0
    for name, each in zip(options.image, said, strict=True):
        print(printable(str(each) if len(said) == 1 else f"{name}: {each}"))
    return 0
