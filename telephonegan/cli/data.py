"""`telephonegan data`: check data folders before training, and make new ones from others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from telephonegan.cli.options import add_command, add_threads, class_numbers
from telephonegan.errors import printable_lines
from telephonegan.files import json_bytes

_EXAMPLES = """examples:
  telephonegan data check flickr8k
  telephonegan data check coco --layout coco --json > report.json
  telephonegan data join both flickr8k coco
  telephonegan data name named coco/images --sentences captions.tsv
  telephonegan data products clothes fashion
  telephonegan data caption birds-told birds --captioner birds
  telephonegan data pack flowers flowers.pack --size 128
Exit code of check: 0 usable, 1 problems that would break training, 2 not a data folder."""


def add_data(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan data`."""
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    check = _action(actions, "check", "check whether a folder can be trained on, and report problems", _check)
    check.add_argument("folder", metavar="DIR", type=Path, help="a folder of captioned photographs")
    check.add_argument("--layout", help="such as coco, flickr or plain (default: detected from its files)")
    check.add_argument("--json", action="store_true", help="print the full report as JSON")

    join = _action(actions, "join", "join data folders; dev and test stay those of the first", _join)
    _add_out(join)
    join.add_argument("folders", metavar="DIR", type=Path, nargs="+", help="folders of captioned photographs")

    name = _action(actions, "name", "caption photographs with sentences that name what they show", _name)
    _add_out(name)
    name.add_argument("photos", metavar="PHOTOS", type=Path, help="a folder of photographs without captions")
    name.add_argument("--sentences", type=Path, required=True, help="sentences to sample from: lines id<TAB>sentence")
    name.add_argument("--without", type=Path, metavar="LIST", help="photographs to leave out, one name per line")
    name.add_argument("--confidence", type=float, default=0.5, help="least confidence, 0 to 1 (default: 0.5)")
    name.add_argument("--seed", type=int, default=0, help="random seed of the sampling (default: 0)")
    add_threads(name)

    products = _action(actions, "products", "make sentences from product attributes", _products)
    _add_out(products)
    products.add_argument("source", metavar="DIR", type=Path, help="a folder with products.csv and images/")

    caption = _action(actions, "caption", "let a captioner describe photographs without captions", _caption)
    _add_out(caption)
    caption.add_argument("folder", metavar="DIR", type=Path, help="a folder or pack of photographs, some captioned")
    caption.add_argument("--captioner", required=True, metavar="NAME", help="the captioner to use")
    caption.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_threads(caption)

    pack = _action(actions, "pack", "pack small photographs, captions and splits into one file", _pack)
    pack.add_argument("folder", metavar="DIR", type=Path, help="a folder of captioned photographs")
    pack.add_argument("out", metavar="OUT", type=Path, help="the new file, such as flowers.pack")
    pack.add_argument("--size", type=int, default=128, help="largest side in pixels (default: 128)")
    pack.add_argument("--format", default="webp", help="webp, jpeg or png (default: webp)")
    pack.add_argument("--quality", type=int, default=88, help="encoding quality, 1 to 100 (default: 88)")
    pack.add_argument("--splits", nargs="+", help="some of train, dev, test and uncaptioned (default: all there are)")
    pack.add_argument("--without-classes", type=Path, metavar="LIST", help="class numbers to leave out, one per line")


def run(options: argparse.Namespace) -> int:
    """Run the action."""
    return options.act(options)


def _check(options: argparse.Namespace) -> int:
    from telephonegan.data.checks import check, in_words

    report = check(options.folder, options.layout, progress=True)
    print(json_bytes(report).decode() if options.json else printable_lines(in_words(report)), end="")
    return 0 if report["usable"] else 1


def _join(options: argparse.Namespace) -> int:
    from telephonegan.data.preparing import join

    return _printed(join(options.folders, options.out))


def _name(options: argparse.Namespace) -> int:
    from telephonegan.data.preparing import name_photographs
    from telephonegan.text import read_lines

    without = read_lines(options.without) if options.without else ()
    folder = name_photographs(
        options.photos,
        options.sentences,
        options.out,
        without=[line.strip() for line in without],
        confidence=options.confidence,
        seed=options.seed,
    )
    return _printed(folder)


def _products(options: argparse.Namespace) -> int:
    from telephonegan.data.preparing import write_products

    return _printed(write_products(options.source, options.out))


def _caption(options: argparse.Namespace) -> int:
    from telephonegan.captioning import Captioner
    from telephonegan.data.layouts import open_data
    from telephonegan.data.preparing import caption_photographs

    data, captioner = open_data(options.folder), Captioner.load(options.captioner, options.device)
    return _printed(caption_photographs(data, captioner, options.out, progress=True))


def _pack(options: argparse.Namespace) -> int:
    from telephonegan.data.layouts import open_data
    from telephonegan.data.packs import write_pack
    from telephonegan.files import sha256

    out = write_pack(
        open_data(options.folder),
        options.out,
        size=options.size,
        encoding=options.format,
        quality=options.quality,
        splits=options.splits,
        without=class_numbers(options.without_classes),
        progress=True,
    )
    print(f"{out} {out.stat().st_size / 1e6:.1f} MB sha256 {sha256(out)}")
    return 0


def _printed(folder: Path) -> int:
    print(folder)
    return 0


def _action(actions: Any, name: str, what: str, act: Any) -> argparse.ArgumentParser:
    parser = add_command(actions, name, what, _EXAMPLES)
    parser.set_defaults(act=act)
    return parser


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="the new folder")
