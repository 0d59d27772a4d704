"""`telephonegan caption`: pictures to sentences."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from telephonegan.cli.options import (
    add_captioner,
    add_computing,
    decoding,
    given,
    open_picture,
    print_outcome,
    record,
    resumable,
)
from telephonegan.errors import ImageError, SettingsError, printable

if TYPE_CHECKING:
    from PIL import Image

_BATCH = 32
_RECORDED = ("text", "words", "probabilities", "log_probability", "alternatives", "model", "seed")
_EXAMPLES = """examples:
  telephonegan caption bear.jpg chelsea
  telephonegan caption holidays --out captions.jsonl
  telephonegan caption holidays --sidecars"""


def add_caption(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan caption`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("image", nargs="+", help="a picture file, or the name of a sample photograph such as chelsea")
    many = parser.add_mutually_exclusive_group()
    many.add_argument("--out", metavar="FILE", help="of one folder: append a line of JSON for each picture; resumes")
    many.add_argument("--sidecars", action="store_true", help="of one folder: write bear.txt beside bear.jpg; resumes")
    parser.add_argument("--json", action="store_true", help="print words, probabilities and alternatives too, as JSON")
    add_captioner(parser)
    parser.add_argument("--world", dest="captioner", metavar="NAME", help="the captioner of a world")
    add_computing(parser)


def run(options: argparse.Namespace) -> int:
    """Print a sentence for each picture, batch by batch, so that memory does not grow with the number of pictures.

    Of several pictures those that cannot be read are listed on stderr, and the exit code is 2.
    """
    if options.out is not None or options.sidecars:
        return _caption_folder(options)
    if folder := next(filter(os.path.isdir, options.image), None):
        raise SettingsError(f"{folder} is a folder: add --out captions.jsonl or --sidecars to caption its pictures.")
    how = given(options, "captioner", "device", "seed") | decoding(options)
    records, opened = [], 0
    for start in range(0, len(options.image), _BATCH):
        images = _opened(options.image[start : start + _BATCH], is_only=len(options.image) == 1)
        opened += len(images)
        if not images:
            continue
        from telephonegan.telephone import caption  # after a look at the pictures, which are wrong more often

        for (name, _), said in zip(images, caption([image for _, image in images], **how), strict=True):
            if options.json:
                records.append({"image": name} | record(said, _RECORDED))
            else:
                print(printable(str(said) if len(options.image) == 1 else f"{name}: {said}"), flush=True)
    if options.json:
        from telephonegan.files import json_bytes

        print(json_bytes(records).decode(), end="")
    return 0 if opened == len(options.image) else 2


def _opened(names: Sequence[str], *, is_only: bool) -> list[tuple[str, Image.Image]]:
    """Names and pictures; one that cannot be read is told and left out. Raises ImageError if it is the only one."""
    images = []
    for name in names:
        try:
            images.append((name, open_picture(name)))
        except ImageError as error:
            if is_only:
                raise
            print(printable(f"Skipped {name}: {error}"), file=sys.stderr)
    return images


def _caption_folder(options: argparse.Namespace) -> int:
    """Caption a folder into a file or into text files, and print what was done and what could not be used."""
    if len(options.image) != 1 or options.json:
        raise SettingsError("--out and --sidecars caption one folder: telephonegan caption FOLDER --out captions.jsonl")
    from telephonegan.bulk import caption_folder, pictures_in
    from telephonegan.captioning import Captioner
    from telephonegan.telephone import DEFAULT_MODEL

    pictures_in(options.image[0])  # says now if it is not a folder
    captioner = Captioner.load(options.captioner or DEFAULT_MODEL, **given(options, "device"))
    how = given(options, "seed") | decoding(options)
    with resumable():
        outcome = caption_folder(options.image[0], captioner, out=options.out, **how)
    return print_outcome(outcome, "captions", options.out or options.image[0])
