"""`telephonegan embed`: a sentence as a vector, and the known sentences nearest to it."""

from __future__ import annotations

import argparse
import json
import sys

from telephonegan.cli.options import add_threads, given, whole
from telephonegan.errors import printable

_EXAMPLES = """examples:
  telephonegan embed "a purple flower with pointed petals"
  telephonegan embed "a purple flower with pointed petals" --near flowers -n 5
  telephonegan embed --embedding sje-birds "a small red bird" > red.json"""


def add_embed(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan embed`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("text", nargs="+", help="English sentences, each in quotes")
    parser.add_argument("--embedding", metavar="NAME", help="which one, or KIND/NAME of a matcher (default: flowers)")
    parser.add_argument(
        "--near", metavar="DATA", help="instead list the nearest sentences of this folder's photographs"
    )
    parser.add_argument("--split", default="train", choices=("train", "dev", "test"), help="of --near (default: train)")
    parser.add_argument("-n", type=whole, default=5, help="how many sentences --near lists (default: 5)")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_threads(parser)


def run(options: argparse.Namespace) -> int:
    """Print one line of JSON for each text, or its nearest sentences."""
    from telephonegan.embedding import Sentences, embed

    how = given(options, "embedding", "device")
    if options.near is None:
        for each in embed(options.text, **how):
            _print_left_out(each.dropped, each.truncated)
            print(
                json.dumps(
                    {"text": each.text, "model": each.model, "vector": [round(x, 6) for x in each.vector.tolist()]}
                )
            )
        return 0
    known = Sentences(options.near, split=options.split, **how)
    for text in options.text:
        print(printable(text))
        for each in known.nearest(text, options.n):
            print(f"  {each.cosine:.3f}  {printable(each.sentence)}  ({printable(each.photograph)})")
    return 0


def _print_left_out(dropped: list[str], truncated: int) -> None:
    if dropped:
        print(f"Not known here, so not read: {printable(', '.join(dropped[:20]))}", file=sys.stderr)
    if truncated:
        print(f"{truncated} words at the end are beyond the limit and were not read.", file=sys.stderr)
