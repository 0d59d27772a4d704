"""`telephonegan experiment run|resume|summary|figures|compare`."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan.cli.options import add_command, add_threads, given
from telephonegan.errors import SettingsError, TelephoneganError, printable_lines
from telephonegan.files import expanded, json_bytes

if TYPE_CHECKING:
    from telephonegan.experiment.engines import Engine
    from telephonegan.experiment.reading import Experiment

_EXAMPLES = """examples:
  telephonegan experiment run plan.yaml --out out/drift
  telephonegan experiment run plan.yaml --out out/drift --shards 4
  telephonegan experiment run plan.yaml --out out/drift --shards 200 --engine submitit --set slurm_partition=gpu
  telephonegan experiment resume out/drift
  telephonegan experiment summary out/drift
  telephonegan experiment figures out/drift --format pdf --venue acl
  telephonegan experiment compare out/fresh out/fixed --out fresh-fixed.pdf --venue acl --wide
A plan is a YAML file; only sources is required, the other settings are shown with their defaults:
  sources: photos        # a folder of pictures, a text file of one caption per line, or samples
  split: null            # train, dev or test, if sources is a data folder with human captions to compare with
  limit: null            # how many sources to use, from the first
  captioner: flickr8k
  generator: flickr8k
  rounds: 10
  seeds: [0]             # each source is played once with each
  seed_policy: fresh     # fixed: the same noise in every round of a chain
  method: beam           # greedy, or sample
  beam_width: null       # 1 to 20, for beam; null: the width the captioner was measured with
  temperature: 1.0       # temperature and top_p (0 to 1) are for sample
  top_p: 1.0
  truncation: 1.0        # scales the noise of the pictures, 0 to 2
  candidates: 1          # paintings of each caption, of which the one that fits it best is kept, 1 to 64
  pictures: all          # which to keep: all, ends or none
  block: 8               # chains computed in one call of a network
  threads: 1             # CPU threads per process, even if TELEPHONEGAN_THREADS is set"""


def add_experiment(parser: argparse.ArgumentParser) -> None:
    """Declare the actions on an experiment and their options."""
    parser.epilog = _EXAMPLES
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    play = add_command(commands, "run", "play a plan into a new folder", _EXAMPLES)
    play.add_argument("plan", type=Path, metavar="PLAN", help="a YAML file, see `telephonegan experiment --help`")
    play.add_argument("--out", metavar="FOLDER", help="the new folder for the results (default: out/DATE-TIME-…)")
    told = "CPU threads, in place of the plan's: they are part of the plan, because sums are rounded differently"
    play.add_argument("--threads", dest="planned_threads", type=int, metavar="N", help=told)
    _add_playing(play)
    play.set_defaults(do=_play)

    resume = add_command(commands, "resume", "continue an interrupted experiment", _EXAMPLES)
    resume.add_argument("folder", type=Path, metavar="FOLDER")
    _add_playing(resume)
    resume.set_defaults(do=_resume)

    summary = add_command(
        commands,
        "summary",
        "measure how meaning drifts, and write (or replace) summary.json and similarities.csv",
        _EXAMPLES,
    )
    summary.add_argument("folder", type=Path, metavar="FOLDER")
    summary.add_argument(
        "--measures", nargs="+", metavar="NAME", help="such as semantic_cosine (default: all default measures)"
    )
    summary.add_argument("--resamples", type=int, default=2000, help="resamples for the intervals (default: 2000)")
    summary.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_threads(summary)
    summary.add_argument("--json", action="store_true", help="print the summary as JSON")
    summary.set_defaults(do=_summary)

    figures = add_command(
        commands, "figures", "draw the figures and the LaTeX table of a summarised experiment", _EXAMPLES
    )
    figures.add_argument("folder", type=Path, metavar="FOLDER")
    figures.add_argument("--out", metavar="FOLDER", help="the new folder for the figures (default: FOLDER/figures)")
    figures.add_argument("--format", choices=("pdf", "svg", "png"), default="pdf")
    _add_style(figures)
    figures.add_argument("--chain", help="the chain whose pictures and words are drawn (default: the first)")
    figures.set_defaults(do=_figures)

    compare = add_command(commands, "compare", "draw several summarised experiments in one figure", _EXAMPLES)
    compare.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    compare.add_argument("--out", required=True, metavar="FILE", help="the new figure: a .pdf, .svg or .png file")
    compare.add_argument(
        "--measures", nargs="+", default=(), metavar="NAME", help="one panel each (default: up to four)"
    )
    compare.add_argument(
        "--names", nargs="+", default=(), metavar="NAME", help="for the legend (default: folder names)"
    )
    _add_style(compare)
    compare.set_defaults(do=_compare)


def run(options: argparse.Namespace) -> int:
    """Run the action."""
    return options.do(options)


def _add_style(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--venue", help="acl, cvpr, icml, ieee or neurips: as wide as its columns")
    parser.add_argument("--wide", action="store_true", help="as wide as two columns of the venue")
    parser.add_argument("--family", help="serif or sans (default: serif)")
    parser.add_argument("--size", type=float, help="font size in points (default: 8)")
    parser.add_argument("--column", type=float, help="figure width in inches (default: 3.25)")


def _style(options: argparse.Namespace) -> dict[str, Any]:
    from telephonegan import figures

    venue = figures.size(options.venue, columns=2 if options.wide else 1) if options.venue else {}
    return venue | given(options, "family", "size", "column")


def _add_playing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="chains that advance together; results do not depend on it (default: all)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    shares = "shares that the engine plays side by side (default: 1)"
    parser.add_argument("--shards", type=int, default=1, metavar="N", help=shares)
    parser.add_argument(
        "--engine",
        default="local",
        help="what plays the shares: local processes, submitit (SLURM; extra [cluster]) or ray (extra [ray])",
    )
    parser.add_argument(
        "--set",
        dest="engine_options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="options of the engine, such as workers=2 or slurm_partition=gpu timeout_min=600",
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def _engine(options: argparse.Namespace) -> Engine:
    from telephonegan.experiment.engines import Engine

    return Engine(options.engine, options.shards, dict(map(_option, options.engine_options)))


def _option(typed: str) -> tuple[str, Any]:
    """Name and value of NAME=VALUE; a number or true is one, all else a text."""
    name, equals, value = typed.partition("=")
    if not equals:
        raise SettingsError(f"{typed!r} is not NAME=VALUE, such as workers=2.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _play(options: argparse.Namespace) -> int:
    from telephonegan.experiment.plan import Plan
    from telephonegan.experiment.runner import run

    plan = Plan.read(options.plan)
    if options.planned_threads is not None:
        plan = replace(plan, threads=options.planned_threads)
    told: list[Path] = []
    try:
        folder = run(
            plan,
            options.out,
            base=expanded(options.plan).parent,
            batch_size=options.batch_size,
            device=options.device,
            engine=_engine(options),
            on_folder=told.append,
            command=options.command,
        )
    except (KeyboardInterrupt, TelephoneganError):
        for folder in told:
            _tell_how_to_go_on(folder)
        raise
    return _tell(folder, options.json)


def _resume(options: argparse.Namespace) -> int:
    from telephonegan.experiment.runner import resume

    try:
        folder = resume(options.folder, batch_size=options.batch_size, device=options.device, engine=_engine(options))
    except KeyboardInterrupt:
        _tell_how_to_go_on(options.folder)
        raise
    return _tell(folder, options.json)


def _tell_how_to_go_on(folder: Path) -> None:
    print(
        f"Finished rounds are kept. Continue with: telephonegan experiment resume {shlex.quote(str(folder))}",
        file=sys.stderr,
    )


def _tell(folder: Path, as_json: bool) -> int:
    from telephonegan.experiment.reading import Experiment

    told = _account(Experiment.open(folder))
    if as_json:
        print(json_bytes(told).decode(), end="")
        return 0
    print(
        f"{told['rounds']} rounds of {told['chains']} chains from {told['sources']} sources; {len(told['skipped'])} "
        f"sources were skipped, and {told['silent']} chains ended early."
    )
    print(folder)
    return 0


def _account(played: Experiment) -> dict[str, Any]:
    """Counts; `silent` chains ended early, because their last caption contained no word that can be painted."""
    lengths = [len(chain.captions) for chain in played.chains]
    return {
        "folder": str(played.folder),
        "complete": played.is_complete,
        "sources": len(played.manifest["sources"]),
        "skipped": played.manifest["skipped"],
        "chains": played.manifest["chains"],
        "rounds": sum(lengths),
        "silent": sum(length <= played.plan.rounds for length in lengths) if played.is_complete else None,
    }


def _summary(options: argparse.Namespace) -> int:
    from telephonegan.experiment.summary import write_summary
    from telephonegan.experiment.wording import in_words

    summary = write_summary(options.folder, options.measures, resamples=options.resamples, device=options.device)
    print(json_bytes(summary).decode() if options.json else printable_lines(in_words(summary)), end="")
    return 0


def _figures(options: argparse.Namespace) -> int:
    from telephonegan import figures
    from telephonegan.figures.experiment import draw

    with figures.style(**_style(options)):
        folder = draw(options.folder, options.out, suffix=options.format, chain=options.chain)
    print(folder)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from telephonegan import figures
    from telephonegan.figures.experiment import compare

    with figures.style(**_style(options)):
        path = compare(options.folders, options.out, measures=options.measures, names=options.names)
    print(path)
    return 0
