"""`telephonegan drift play|analyse|compare|doses|ledger`: the drift lab."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from telephonegan.cli.options import add_command, whole
from telephonegan.errors import printable_lines
from telephonegan.files import expanded, json_bytes

_EXAMPLES = """examples:
  telephonegan drift play notebooks/plans/drift_lab.yaml --data /data --out out/lab
  telephonegan drift analyse out/drift --data flickr8k --figures out/figures
  telephonegan drift compare out/lab
  telephonegan drift doses out/lab --figures out/doses
  telephonegan drift ledger --data flickr8k --limit 200
A study is a YAML file. Runs are plans of experiments (see `telephonegan experiment --help`) that begin with the
settings of base; doses change one setting of each run at a time:
  primary: bits left      # or words kept; everything else is exploratory
  base: {sources: flickr8k, split: test, limit: 200, rounds: 40, seeds: [0, 1, 2]}
  runs:
    new-noise: {seed_policy: fresh}
    same-noise: {seed_policy: fixed}
  doses:
    candidates: [1, 2, 4, 8, 16]"""


def add_drift(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of the drift lab and their options."""
    parser.epilog = _EXAMPLES
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    play = add_command(commands, "play", "play all experiments of a study, or go on with them", _EXAMPLES)
    play.add_argument("study", type=Path, metavar="STUDY", help="a YAML file, see `telephonegan drift --help`")
    play.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder of the study")
    play.add_argument(
        "--data", type=Path, metavar="FOLDER", help="where the sources are (default: beside the study's file)"
    )
    play.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    play.set_defaults(do=_play)

    analyse = add_command(commands, "analyse", "run all analyses of one experiment, and write lab.json", _EXAMPLES)
    analyse.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of an experiment")
    analyse.add_argument("--data", metavar="FOLDER", help="the data folder its photographs are from")
    resamples = "resamples for the intervals (default: 2000); tests permute as often, but at most 1000 times"
    analyse.add_argument("--resamples", type=whole, default=2000, help=resamples)
    words = "compare captions by their words alone, also where the extra `semantic` is installed"
    analyse.add_argument("--words-only", action="store_true", help=words)
    analyse.add_argument("--device", default="cpu", help="for sentence embeddings (default: cpu)")
    analyse.add_argument("--json", action="store_true", help="print the results as JSON")
    _add_figures(analyse)
    analyse.set_defaults(do=_analyse)

    compare = add_command(commands, "compare", "print a table of experiments that have been analysed", _EXAMPLES)
    compare.add_argument("folders", nargs="+", metavar="FOLDER", help="of an experiment, or of a study")
    compare.add_argument("--by", choices=("sentences", "words"), default="sentences", help="how captions are compared")
    compare.add_argument("--figure", type=Path, metavar="FILE", help="draw the bits left, as a new PDF, SVG or PNG")
    compare.set_defaults(do=_compare)

    doses = add_command(commands, "doses", "draw the dose–response table of a study", _EXAMPLES)
    doses.add_argument("folder", type=Path, metavar="FOLDER", help="the folder of a study")
    doses.add_argument("--resamples", type=whole, default=2000, help="resamples for the intervals (default: 2000)")
    _add_figures(doses)
    doses.set_defaults(do=_doses)

    ledger = add_command(commands, "ledger", "measure who loses the meaning in one round", _EXAMPLES)
    ledger.add_argument("--data", required=True, metavar="FOLDER", help="a data folder with captions of people")
    ledger.add_argument("--split", default="test", help="the photographs measured (default: test)")
    ledger.add_argument("--pool", default="dev", help="the split to retrieve photographs from (default: dev)")
    ledger.add_argument("--limit", type=whole, default=200, help="how many photographs (default: 200)")
    ledger.add_argument("--candidates", type=whole, default=8, help="paintings to choose from (default: 8)")
    for kind in ("captioner", "generator", "judge"):
        ledger.add_argument(f"--{kind}", default="flickr8k", metavar="NAME", help="which (default: flickr8k)")
    ledger.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    ledger.add_argument("--json", action="store_true", help="print the ledger as JSON")
    _add_figures(ledger)
    ledger.set_defaults(do=_ledger)


def run(options: argparse.Namespace) -> int:
    """Run the action."""
    return options.do(options)


def _add_figures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="draw the figures into this new folder")
    parser.add_argument("--format", choices=("pdf", "svg", "png"), default="pdf")


def _note(name: str) -> None:
    print(name, file=sys.stderr, flush=True)


def _play(options: argparse.Namespace) -> int:
    from telephonegan.experiment.study import Study, play_study

    study = Study.read(options.study)
    base = expanded(options.study).parent if options.data is None else options.data
    print(play_study(study, options.out, base=base, device=options.device, on_run=_note))
    return 0


def _analyse(options: argparse.Namespace) -> int:
    from telephonegan import figures
    from telephonegan.experiment.lab import analyse_folder, in_words
    from telephonegan.experiment.reading import Experiment

    lab = analyse_folder(
        options.folder,
        data=options.data,
        resamples=options.resamples,
        permutations=min(options.resamples, 1000),
        sentences=False if options.words_only else None,
        device=options.device,
        on_step=_note,
    )
    print(json_bytes(lab.record()).decode() if options.json else printable_lines(in_words(lab)), end="")
    if options.figures is not None:
        with figures.style():
            tracks = Experiment.open(options.folder).tracks()
            print(figures.draw_lab(lab, tracks, options.figures, suffix=options.format), file=sys.stderr)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from telephonegan import figures
    from telephonegan.experiment.lab import MULTIPLICITY
    from telephonegan.experiment.lab_comparison import compared, stored_bits

    print(f"{printable_lines(compared(options.folders, by=options.by))}\n\n{MULTIPLICITY}")
    if options.figure is not None:
        with figures.style():
            curves = figures.bits_curves(stored_bits(options.folders, by=options.by))
            print(figures.save(curves.figure, expanded(options.figure)), file=sys.stderr)
    return 0


def _doses(options: argparse.Namespace) -> int:
    from telephonegan import figures
    from telephonegan.experiment.study import dose_response, dose_table
    from telephonegan.figures.lab import draw_doses

    found = dose_response(options.folder, resamples=options.resamples)
    print(printable_lines(dose_table(found)))
    if options.figures is not None:
        with figures.style():
            print(draw_doses(found, options.figures, suffix=options.format), file=sys.stderr)
    return 0


def _ledger(options: argparse.Namespace) -> int:
    from telephonegan import figures
    from telephonegan.captioning import Captioner
    from telephonegan.data.layouts import open_data
    from telephonegan.drift.ledger import ledger_record, loss_ledger
    from telephonegan.files import new_folder
    from telephonegan.generation import Generator
    from telephonegan.matcher import Matcher

    data = open_data(options.data)
    ledger = loss_ledger(
        data.split(options.split)[: options.limit],
        data.split(options.pool),
        captioner=Captioner.load(options.captioner, options.device),
        generator=Generator.load(options.generator, options.device),
        judge=Matcher.load(options.judge, options.device),
        candidates=options.candidates,
        on_step=_note,
    )
    if options.json:
        print(json_bytes(ledger_record(ledger)).decode(), end="")
    else:
        print(f"{ledger.photographs} photographs, {ledger.pool} to retrieve from; share of the words kept:")
        for each in ledger.entries:
            kept = each.kept
            interval = f"{100 * kept.value:5.1f} % [{100 * kept.low:.1f}, {100 * kept.high:.1f}]"
            print(f"{each.name:24}{interval:24}{each.what}")
    if options.figures is not None:
        folder = new_folder(expanded(options.figures))
        with figures.style():
            figures.save(figures.loss_waterfall(ledger).figure, folder / f"ledger.{options.format}")
        print(folder, file=sys.stderr)
    return 0
