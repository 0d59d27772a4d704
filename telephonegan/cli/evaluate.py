"""`telephonegan evaluate …`: the numbers in the README, one JSON line per measurement."""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

from telephonegan import evaluation
from telephonegan.cli.options import add_command, add_threads, class_numbers
from telephonegan.errors import OutputError
from telephonegan.files import append_line
from telephonegan.provenance import without_places

_EXAMPLES = """examples:
  telephonegan evaluate captioner flickr8k --data flickr8k
  telephonegan evaluate nearest --data flickr8k
  telephonegan evaluate damsm flickr8k --data flickr8k
  telephonegan evaluate embedding flowers --data flowers --classes zero_shot_classes.txt
  telephonegan evaluate generator flickr8k --data flickr8k
  telephonegan evaluate generator flickr8k --data flickr8k --samples 5000 --features inception --reference test+dev
  telephonegan evaluate generator flowers-zs --data flowers --judge flowers --classes zero_shot_classes.txt
  telephonegan evaluate inversion faces --data faces --limit 50
  telephonegan evaluate words flickr8k --data flickr8k
  telephonegan evaluate cycle --captioner flickr8k --generator flickr8k --data flickr8k
  telephonegan evaluate ppgn photos --data flickr8k coco2014 flowers
  telephonegan evaluate guided photos --classes 20 --seeds 10
  telephonegan evaluate guided-captions photos --data flickr8k --samples 50
Each prints one line of JSON; --out FILE also appends it there."""

_MEASURES = {  # measurement → its function in `evaluation`
    "captioner": "captioner_scores",
    "nearest": "nearest_scores",
    "cycle": "cycle_scores",
    "damsm": "matcher_scores",
    "embedding": "embedding_scores",
    "generator": "generator_scores",
    "inversion": "inversion_scores",
    "words": "word_scores",
    "ppgn": "reconstruction_scores",
    "guided": "guided_scores",
    "guided-captions": "guided_caption_scores",
}
_OUR_OWN = {"run", "command", "what", "out", "threads"}  # every other option is an argument of that function
_DIGITS = 4  # significant ones


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    """Declare the measurements and their options."""
    parser.epilog = _EXAMPLES
    measures = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    captioner = _measure(measures, "captioner", "a captioner's captions against those people wrote")
    _add_name(captioner)
    _add_beam(captioner)

    _measure(measures, "nearest", "captions of the most similar training photograph, a floor for captioners")

    damsm = _measure(measures, "damsm", "a matching model on real photographs")
    _add_name(damsm, "name of the model, or judge/NAME for a judge")
    _add_protocol(damsm)
    _add_seed(damsm)

    embedding = _measure(
        measures, "embedding", "a text embedding on classes that it did not learn from", splits=("all", "dev", "test")
    )
    embedding.add_argument("name", nargs="?", default="flowers", help="the embedding, or KIND/NAME (default: flowers)")
    _add_classes(embedding)
    embedding.add_argument(
        "--captions-per-class", type=int, metavar="N", help="sentences that stand for a class (default: all)"
    )
    _add_seed(embedding)

    generator = _measure(measures, "generator", "R-precision, distances from photographs, and diversity")
    _add_name(generator)
    _add_samples(generator, None, "captions to paint (default: the first one of every photograph)")
    _add_judge(generator)
    _add_protocol(generator)
    _add_seed(generator)
    generator.add_argument(
        "--features",
        choices=("lite2", "inception"),
        default="lite2",
        help="inception: also FID and KID, if the weights of Inception-v3 are on this machine",
    )
    generator.add_argument(
        "--inception-weights",
        type=Path,
        metavar="FILE",
        help="file of pytorch-fid or torchvision (default: in torch.hub's folder)",
    )
    generator.add_argument(
        "--reference",
        choices=("test", "dev", "test+dev"),
        help="photographs to compare with (default: those of --split)",
    )
    generator.add_argument(
        "--seeds-per-caption",
        type=int,
        default=4,
        metavar="K",
        help="pictures per caption, for diversity (default: 4)",
    )
    generator.add_argument(
        "--pixels",
        type=int,
        metavar="N",
        help="pixels to which larger pictures are reduced, and at which Lite2 compares (default: the generator's)",
    )
    generator.add_argument("--truncation", type=float, default=1.0, help="scale of the noise, 0 to 2 (default: 1)")
    generator.add_argument(
        "--best-of", type=int, default=1, metavar="N", help="paint N times, keep the best match (default: 1)"
    )
    _add_classes(generator)
    generator.add_argument("--grid", type=Path, metavar="FILE", help="also write the first 32 pictures as a PNG file")

    inversion = _measure(measures, "inversion", "how near a generator comes to photographs that it never saw")
    inversion.add_argument("name", nargs="?", default="faces", help="the generator (default: faces)")
    inversion.add_argument("--starts", type=int, default=8, metavar="N", help="starts per photograph (default: 8)")
    inversion.add_argument("--steps", type=int, default=200, metavar="N", help="steps for each start (default: 200)")
    inversion.add_argument("--text", default="", help="the caption to paint, for generators that paint texts")
    _add_seed(inversion)

    words = _measure(measures, "words", "whether words for colours and things change the picture")
    _add_name(words)
    _add_samples(words, 300, "most pairs for each kind of word (default: 300)")
    _add_judge(words)
    _add_seed(words)

    cycle = _measure(measures, "cycle", "captions of painted captions")
    cycle.add_argument("--captioner", default="flickr8k", metavar="NAME")
    cycle.add_argument("--generator", default="flickr8k", metavar="NAME")
    _add_samples(cycle, None, "captions to paint (default: the first one of every photograph)")
    _add_beam(cycle)
    _add_seed(cycle)
    _add_ppgn(measures)
    _add_guided(measures)


def _add_ppgn(measures: Any) -> None:
    ppgn = _measure(measures, "ppgn", "photographs painted again from their codes, against their nearest neighbours")
    ppgn.add_argument("name", nargs="?", default="photos", help="name of the model (default: photos)")
    ppgn.add_argument(
        "--neighbours", type=int, metavar="N", help="use only N training photographs as neighbours, sampled"
    )
    ppgn.add_argument("--grid", type=Path, metavar="FILE", help="also write the first 16 of each as a PNG file")


def _add_guided(measures: Any) -> None:
    guided = _measure(measures, "guided", "whether another network sees the class that was sampled", splits=())
    guided.add_argument("--classes", dest="classes", type=int, default=20, metavar="N", help="how many (default: 20)")
    guided.add_argument("--seeds", type=int, default=10, metavar="N", help="pictures of each class (default: 10)")
    guided.add_argument("--network", default="lite0", metavar="NAME", help="the network followed (default: lite0)")
    guided.add_argument("--judge", default="lite2", metavar="NAME", help="the one that judges (default: lite2)")
    captions = _measure(measures, "guided-captions", "whether a judge finds the captions that were sampled")
    _add_samples(captions, 50, "captions to sample (default: 50)")
    captions.add_argument("--captioner", default="flickr8k", metavar="NAME", help="which is followed")
    _add_judge(captions)
    for measure in (guided, captions):
        measure.add_argument("name", nargs="?", default="photos", help="name of the model (default: photos)")
        measure.add_argument("--steps", type=int, default=200, metavar="N", help="of each chain (default: 200)")
        measure.add_argument("--generator", default="flickr8k", metavar="NAME", help="to compare with")
        kept = "keep the pictures here; the same command goes on from them if it was stopped"
        measure.add_argument("--pictures", type=Path, metavar="FOLDER", help=kept)
        _add_seed(measure)


def run(options: argparse.Namespace) -> int:
    """Measure and print one JSON line."""
    started = time.monotonic()
    for path in filter(None, (options.out, getattr(options, "grid", None))):
        if not path.parent.is_dir():
            raise OutputError(f"{path} cannot be written: {path.parent} is not a folder. Create it first.")
    arguments = {name: value for name, value in vars(options).items() if name not in _OUR_OWN}
    if isinstance(arguments.get("classes"), Path):
        arguments["classes"] = class_numbers(arguments["classes"])
    record = {
        "what": options.what,
        "name": getattr(options, "name", None) or getattr(options, "generator", None),
        "split": getattr(options, "split", None),
        "command": without_places(options.command),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **getattr(evaluation, _MEASURES[options.what])(**arguments),
        "seconds": time.monotonic() - started,
    }
    record = rounded({key: value for key, value in record.items() if key not in ("name", "split") or value is not None})
    print(json.dumps(record))
    if options.out:
        append_line(options.out, record)
    return 0


def rounded(value: Any) -> Any:
    """Round numbers to four significant digits; nan and infinities become None, because JSON has neither.

    >>> rounded({"kid": 0.0306049, "n": 12345, "std": float("nan")})
    {'kid': 0.0306, 'n': 12345, 'std': None}
    """
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value


# ---------------------------------------------------------------------------------------------------- the options


def _measure(measures: Any, name: str, what: str, splits: tuple[str, ...] = ("test", "dev")) -> argparse.ArgumentParser:
    parser = add_command(measures, name, what, _EXAMPLES)
    if not splits:  # nothing is compared with photographs
        pass
    elif name == "ppgn":
        parser.add_argument("--data", nargs="+", type=Path, required=True, help="folders, whose photographs are joined")
    else:
        parser.add_argument("--data", type=Path, required=True, help="a folder of captioned photographs")
    if splits:
        parser.add_argument("--split", default=splits[0], choices=splits, help=f"(default: {splits[0]})")
    if splits and name != "guided-captions":
        parser.add_argument("--limit", type=int, metavar="N", help="use only N photographs of the split, sampled")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N (default: cpu)")
    add_threads(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="a file the JSON line is appended to")
    return parser


def _add_name(parser: argparse.ArgumentParser, what: str = "name of the model") -> None:
    parser.add_argument("name", nargs="?", default="flickr8k", help=f"{what} (default: flickr8k)")


def _add_beam(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--beam-width", type=int, metavar="N", help="sentences kept during beam search (default: the model's)"
    )


def _add_samples(parser: argparse.ArgumentParser, default: int | None, what: str) -> None:
    parser.add_argument("--samples", type=int, default=default, metavar="N", help=what)


def _add_judge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--judge",
        default="flickr8k",
        metavar="NAME",
        help="the matching model: name of a judge, or damsm/NAME (default: flickr8k)",
    )


def _add_classes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="only photographs of these class numbers, one per line"
    )


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--candidates",
        type=int,
        default=100,
        metavar="N",
        help="captions to choose from for R-precision (default: 100)",
    )
    parser.add_argument("--folds", type=int, default=10, help="parts over which the ± is computed (default: 10)")


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
