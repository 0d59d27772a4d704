"""Shared by several commands: options, pictures by name, and printing of models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan.errors import DataError, ImageError, SettingsError, printable

if TYPE_CHECKING:
    from PIL import Image

    from telephonegan.bulk import Outcome
    from telephonegan.results import Picture
    from telephonegan.zoo.catalogue import Entry


# ---------------------------------------------------------------------------------------------------- declared


def add_command(commands: Any, name: str, what: str, examples: str = "") -> argparse.ArgumentParser:
    """Declare a command, and show the first of the examples that calls it below its options.

    `commands` is the result of `add_subparsers`, `what` describes the command in lower case.
    """
    example = next((line.strip() for line in examples.splitlines() if f" {name} " in line), None)
    return commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=example and f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_captioner(parser: argparse.ArgumentParser) -> None:
    """Declare the captioner and its decoding options."""
    parser.add_argument("--method", help="decoding method: beam, greedy or sample (default: beam)")
    parser.add_argument("--beam-width", type=whole, metavar="N", help="sentences kept during beam search")
    parser.add_argument("--temperature", type=number, help="sample words: below 1 likelier ones, above 1 rarer ones")
    parser.add_argument("--top-p", type=number, help="sample from the likeliest words with this total probability")
    parser.add_argument("--captioner", metavar="NAME", help="which captioner (default: flickr8k)")


def add_generator(parser: argparse.ArgumentParser, *, candidates: bool = True) -> None:
    """Declare the generator, the scale of its noise, and the output folder."""
    parser.add_argument("--truncation", type=number, help="scale of the noise, 0 to 2 (default: 1)")
    fits = "paint each picture N times, keep the one that fits the text best"
    if candidates:
        parser.add_argument("--candidates", type=whole, metavar="N", help=fits)
    parser.add_argument("--generator", metavar="NAME", help="which generator (default: flickr8k)")
    add_out(parser)


def add_out(parser: argparse.ArgumentParser) -> None:
    """Declare the folder of the results."""
    parser.add_argument("--out", metavar="FOLDER", help="the new folder for the results (default: out/DATE-TIME-NAME)")


def add_computing(parser: argparse.ArgumentParser) -> None:
    """Declare --seed, --device and --threads; the library supplies the defaults."""
    parser.add_argument("--seed", type=whole, help="random seed: the same seed gives the same result (default: 0)")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_threads(parser)


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Declare --threads, which `main` sets before a command runs."""
    told = "CPU threads (default: TELEPHONEGAN_THREADS, OMP_NUM_THREADS, or one per core; 1 if others use the cores)"
    parser.add_argument("--threads", type=whole, metavar="N", help=told)


def whole(typed: str) -> int:
    """The type of an option that takes a whole number."""
    try:
        return int(typed)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{typed!r} is not a whole number, such as 8") from None


def number(typed: str) -> float:
    """The type of an option that takes a number."""
    try:
        return float(typed)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{typed!r} is not a number, such as 0.8") from None


def assigned_number(typed: str) -> tuple[str, float]:
    """A text such as age=2 as a name and a number. Raises SettingsError."""
    name, _, value = typed.rpartition("=")
    try:
        if not name:
            raise ValueError(typed)
        return name, float(value)
    except ValueError:
        raise SettingsError(f"NAME=NUMBER is needed, such as age=2; {typed!r} was given.") from None


# ---------------------------------------------------------------------------------------------------- typed


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The options that were given; the library supplies the defaults of the others."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def decoding(options: argparse.Namespace) -> dict[str, Any]:
    """The captioner's decoding options; --temperature or --top-p alone selects sampling."""
    typed = given(options, "method", "beam_width", "temperature", "top_p")
    return {"method": "sample"} | typed if typed.keys() & {"temperature", "top_p"} else typed


def open_picture(typed: str) -> Image.Image:
    """The picture in a file, or else the sample photograph of that name. Raises ImageError."""
    from telephonegan.images import working_image
    from telephonegan.samples import samples

    try:
        return working_image(locate_picture(typed))
    except ImageError as error:
        raise ImageError(f"{error} Available sample photographs: {', '.join(samples())}.") from error


def locate_picture(typed: str) -> str | Path:
    """The path that was typed, or the file of the sample photograph of that name if no such file exists."""
    from telephonegan.samples import samples

    return typed if Path(typed).exists() else samples().get(typed, typed)


def class_numbers(path: Path | None) -> list[int]:
    """The class numbers in a text file, one per line; none where no file is given. Raises DataError."""
    from telephonegan.text import read_text

    if path is None:
        return []
    try:
        return [int(line) for line in read_text(path).split()]
    except ValueError as error:
        raise DataError(f"{path} is not a list of class numbers, one per line: {error}.") from error


# ---------------------------------------------------------------------------------------------------- printed


def record(result: Any, names: Sequence[str]) -> dict[str, Any]:
    """These attributes of a caption or picture, as JSON values."""
    return {name: getattr(result, name) for name in names}


def print_left_out(picture: Picture) -> None:
    """Report on stderr which words of a text were not painted."""
    from tqdm.auto import tqdm

    from telephonegan.zoo.worlds import explained

    if picture.dropped_words:
        left_out = printable(explained(picture.dropped_words[:20], picture.model))
        tqdm.write(f"Not known here, so not painted: {left_out}", file=sys.stderr)
    if picture.truncated:
        tqdm.write(f"{picture.truncated} words at the end are beyond the limit and were not painted.", file=sys.stderr)


@contextmanager
def resumable() -> Iterator[None]:
    """Say on Ctrl-C or SIGTERM that the same command continues."""
    try:
        yield
    except KeyboardInterrupt:
        print("What was written is kept; the same command continues.", file=sys.stderr)
        raise


def print_outcome(outcome: Outcome, what: str, where: str) -> int:
    """Print what a run over many inputs did, list on stderr what it skipped, and return the exit code: 0."""
    for name, reason in outcome.skipped.items():
        print(printable(f"Skipped {name}: {reason}"), file=sys.stderr)
    before = f", {outcome.found} were there" if outcome.found else ""
    skipped = f", {len(outcome.skipped)} skipped" if outcome.skipped else ""
    print(printable(f"{outcome.written} {what} written to {where}{before}{skipped}"))
    return 0


def print_models(entries: Sequence[Entry], note: str = "") -> None:
    """Print a line for each stored model: its name, file and size."""
    for entry in entries:
        print(f"{entry.kind}/{entry.name}: {entry.path} ({entry.size / 1e6:.1f} MB{note})")
