"""`telephonegan caption`: pictures to sentences."""

from __future__ import annotations

import argparse

from telephonegan.cli.options import add_captioner, add_computing, decoding, given, open_picture, record
from telephonegan.errors import printable

_BATCH = 32
_RECORDED = ("text", "words", "probabilities", "log_probability", "alternatives", "model", "seed")


def add_caption(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan caption`."""
    parser.epilog = "example:\n  telephonegan caption bear.jpg chelsea"
    parser.add_argument("image", nargs="+", help="a picture file, or the name of a sample photograph such as chelsea")
    parser.add_argument("--json", action="store_true", help="print words, probabilities and alternatives too, as JSON")
    add_captioner(parser)
    add_computing(parser)


def run(options: argparse.Namespace) -> int:
    """Print a sentence for each picture, batch by batch, so that memory does not grow with the number of pictures."""
    how = given(options, "captioner", "device", "seed") | decoding(options)
    records = []
    for start in range(0, len(options.image), _BATCH):
        names = options.image[start : start + _BATCH]
        images = [open_picture(typed) for typed in names]
        from telephonegan.telephone import caption  # after a look at the pictures, which are wrong more often

        for name, said in zip(names, caption(images, **how), strict=True):
            if options.json:
                records.append({"image": name} | record(said, _RECORDED))
            else:
                print(printable(str(said) if len(options.image) == 1 else f"{name}: {said}"), flush=True)
    if options.json:
        from telephonegan.files import json_bytes

        print(json_bytes(records).decode(), end="")
    return 0
