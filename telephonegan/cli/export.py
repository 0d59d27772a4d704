"""`telephonegan export`: register the model of a training run under a name."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from telephonegan import training
from telephonegan.cli.options import print_models

_EXAMPLES = """examples:
  telephonegan export runs/attngan --name mine --damsm-name flickr8k
  telephonegan export runs/captioner --with runs/cider --name mine"""


def add_export(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan export`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of a training run")
    parser.add_argument(
        "--with",
        dest="others",
        metavar="RUN",
        type=Path,
        action="append",
        default=[],
        help="average the weights with those of this run, which started --from the same weights; may be repeated",
    )
    parser.add_argument("--name", required=True, help="name of the model, such as flickr8k")
    parser.add_argument("--kind", choices=("judge",), help="register a matcher's run as a judge")
    parser.add_argument("--damsm-name", help="a generator's DAMSM or embedding (default: the same name)")
    parser.add_argument("--folder", type=Path, help="where to store it (default: with your own models)")
    parser.add_argument("--description", default="", help="a description for the list of models")
    parser.add_argument("--data", default="", help="what it was trained on")
    parser.add_argument("--licence", default="", help="the licence of the model")
    parser.add_argument("--quality", type=json.loads, default={}, help="measured quality as JSON")
    parser.add_argument("--replace", action="store_true", help="replace a model of that name")


def run(options: argparse.Namespace) -> int:
    """Store the model of a run, and print its path."""
    entry, step = training.export(
        options.run_folder,
        name=options.name,
        others=options.others,
        as_judge=options.kind == "judge",
        damsm_name=options.damsm_name,
        folder=options.folder,
        description=options.description,
        data=options.data,
        licence=options.licence,
        quality=options.quality,
        replace=options.replace,
    )
    print_models([entry], f", step {step}")
    return 0
