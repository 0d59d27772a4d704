"""The command line: its commands and exit codes. Every command has its own module."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import telephonegan
from telephonegan.cli import (
    axes,
    caption,
    data,
    download,
    drift,
    embed,
    evaluate,
    experiment,
    export,
    generate,
    importing,
    interpolate,
    invert,
    models,
    play,
    ppgn,
    report,
    sample,
    serve,
    train,
)
from telephonegan.cli.options import add_command
from telephonegan.cli.stopping import exit_code, stoppable
from telephonegan.errors import TelephoneganError, printable
from telephonegan.provenance import command_line

_COMMANDS = {  # name → the function that declares its options, the one that runs it, and a description
    "caption": (caption.add_caption, caption.run, "describe pictures in words"),
    "generate": (generate.add_generate, generate.run, "paint a text"),
    "interpolate": (interpolate.add_interpolate, interpolate.run, "paint between two sentences or two seeds"),
    "embed": (embed.add_embed, embed.run, "encode a text as a vector, or list the known sentences nearest to it"),
    "play": (play.add_play, play.run, "play the broken telephone"),
    "models": (models.add_models, models.run, "list the available models"),
    "download": (download.add_download, download.run, "get sample photographs or a published model"),
    "import": (
        importing.add_import,
        importing.run,
        "register checkpoints published by the authors of AttnGAN or of a captioner",
    ),
    "sample": (sample.add_sample, sample.run, "paint files of captions, as AttnGAN does"),
    "axes": (axes.add_axes, axes.run, "find and use directions in a generator's latent space"),
    "invert": (invert.add_invert, invert.run, "find the latents of a photograph"),
    "ppgn": (ppgn.add_ppgn, ppgn.run, "plug & play generation: pictures of a class, a unit, a caption, or in a hole"),
    "data": (data.add_data, data.run, "check data folders, and make new ones"),
    "train": (train.add_train, train.run, "train a model of your own"),
    "export": (export.add_export, export.run, "register the model of a training run under a name"),
    "evaluate": (evaluate.add_evaluate, evaluate.run, "measure a model on photographs"),
    "experiment": (experiment.add_experiment, experiment.run, "play many chains, and measure how meaning drifts"),
    "drift": (drift.add_drift, drift.run, "the drift lab: what games lose, why, and by which law"),
    "serve": (serve.add_serve, serve.run, "answer requests over HTTP, with a page for browsers"),
    "report": (report.add_report, report.run, "update the quality tables of the README (for maintainers)"),
}
_EXAMPLES = """examples:
  telephonegan caption bear.jpg
  telephonegan caption --json astronaut coffee > captions.json
  telephonegan generate "a brown dog runs through the grass" -n 4 --seed 7
  telephonegan play --image=bear.jpg --rounds 8
  telephonegan play --text="two children play on the beach" --temperature 0.8
  telephonegan play --resume=out/20260101-120000-bear --rounds 16
  telephonegan models
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for an explained error, 130 after Ctrl-C, 143 after SIGTERM.

    >>> main(["play", "--text=a dog", "--rounds=2"])  # doctest: +SKIP
    0
    """
    arguments = sys.argv[1:] if arguments is None else [*arguments]
    options = _parser().parse_args(arguments)
    options.command = command_line(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # a character the terminal lacks must not end a game
    try:
        with stoppable():
            if getattr(options, "threads", None) is not None:
                from telephonegan.inference import use_threads

                use_threads(options.threads)
            code = options.run(options)
        sys.stdout.flush()
    except TelephoneganError as error:
        print(f"telephonegan: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("telephonegan: stopped.", file=sys.stderr)
        return exit_code()
    except OSError as error:  # from the terminal or pipe: files have errors of their own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discard what is still buffered
        if isinstance(error, BrokenPipeError):  # the reader of our output has gone, such as `head`
            return 1
        print(f"telephonegan: the output cannot be written: {error.strerror or error}.", file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="telephonegan",
        description="The broken telephone: image, caption, image, caption, …",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"telephonegan {telephonegan.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (add, run, what) in _COMMANDS.items():
        command = add_command(commands, name, what)
        add(command)
        command.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
