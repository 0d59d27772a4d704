"""The command line: one function per command, or the module that has it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan import sampling
from telephonegan.cli import data as data_commands
from telephonegan.cli import evaluate as evaluation
from telephonegan.cli import experiment as experiments
from telephonegan.cli import importing
from telephonegan.cli import train as training
from telephonegan.errors import ImageError, SettingsError, TelephoneganError, printable
from telephonegan.files import place
from telephonegan.training import export
from telephonegan.zoo import downloads

if TYPE_CHECKING:
    from PIL import Image

    from telephonegan.chain_folder import ChainFolder
    from telephonegan.chains import Chain

DEFAULT_PICTURE = "astronaut"  # of the photographs that come with the packages, the one closest to the training world
INTERRUPTED = 130

_FIXED_BY_THE_GAME = (
    *("image", "text", "seed", "out", "captioner", "generator"),
    *("method", "beam_width", "temperature", "top_p", "truncation"),
)

_TOLD_OF_CAPTIONS = ("text", "words", "probabilities", "log_probability", "alternatives", "model", "seed")
_TOLD_OF_PICTURES = ("text", "words", "dropped_words", "truncated", "seed", "model")
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
    """Run one command and return its exit code: 0, 2 for a mistake that is explained, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # a character the terminal lacks must not end a game
    try:
        code = options.run(options)
        sys.stdout.flush()
    except TelephoneganError as error:
        print(f"telephonegan: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("telephonegan: stopped.", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:  # of the terminal or pipe: files have errors of their own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still held back has nowhere to go
        if isinstance(error, BrokenPipeError):  # whoever read our output has gone, as `head` does
            return 1
        print(f"telephonegan: the output cannot be written: {error.strerror or error}.", file=sys.stderr)
        return 2
    return code


# ---------------------------------------------------------------------------------------------------- commands


def _caption(options: argparse.Namespace) -> int:
    images = [open_picture(given) for given in options.image]
    from telephonegan.files import json_bytes
    from telephonegan.telephone import caption

    said = caption(images, **_given(options, "captioner", "device", "seed"), **_decoding(options))
    if options.json:
        records = [_record(each, _TOLD_OF_CAPTIONS) for each in said]
        named = [{"image": name} | record for name, record in zip(options.image, records, strict=True)]
        print(json_bytes(named).decode(), end="")
        return 0
    for name, each in zip(options.image, said, strict=True):
        print(each if len(said) == 1 else f"{name}: {each}")
    return 0


def _generate(options: argparse.Namespace) -> int:
    open_folder = place(options.out, options.text)
    from telephonegan.files import json_bytes, png_bytes, replace
    from telephonegan.strips import Tile, strip
    from telephonegan.telephone import generate

    painted = generate(options.text, **_given(options, "seed", "n", "truncation", "candidates", "generator", "device"))
    pictures = painted if isinstance(painted, list) else [painted]
    folder = open_folder()
    for picture in pictures:
        replace(folder / f"seed-{picture.seed}.png", png_bytes(picture.image))
    tiles = [Tile(each.image, f"seed {each.seed}: {each.text}", str(i)) for i, each in enumerate(pictures, 1)]
    replace(folder / "strip.png", png_bytes(strip(tiles)))
    replace(folder / "pictures.json", json_bytes([_record(each, _TOLD_OF_PICTURES) for each in pictures]))
    _tell_left_out(pictures[0])
    print(folder / "strip.png")
    return 0


def _record(result: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(result, name) for name in names}


def _tell_left_out(picture: Any) -> None:
    from tqdm.auto import tqdm

    if picture.dropped_words:
        tqdm.write(f"Not known, so not painted: {', '.join(picture.dropped_words[:20])}", file=sys.stderr)
    if picture.truncated:
        tqdm.write(f"{picture.truncated} words at the end are beyond the limit and were not painted.", file=sys.stderr)


def _play(options: argparse.Namespace) -> int:
    if options.resume is not None:
        return _resume(options)
    if options.image is not None and options.text is not None:
        raise SettingsError("A game starts from one thing: give either --image or --text.")
    if options.text is not None:
        source, title = {"text": options.text}, options.text
    else:
        given = DEFAULT_PICTURE if options.image is None else options.image
        open_picture(given)  # says now, before models load, what is wrong with it
        source, title = {"image": locate_picture(given)}, Path(given).stem
    open_folder = place(options.out, title)
    from telephonegan.chain_folder import ChainFolder
    from telephonegan.telephone import load

    phone = load(**_given(options, "captioner", "generator", "device"))
    settings = _given(options, "rounds", "seed", "truncation") | _decoding(options)
    return _watch(partial(phone.play, **source, **settings), _Keeper(open_folder=lambda: ChainFolder(open_folder())))


def _resume(options: argparse.Namespace) -> int:
    if fixed := _given(options, *_FIXED_BY_THE_GAME):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
        raise SettingsError(f"A resumed game keeps what it was started with: leave out {names}.")
    from telephonegan.chain_folder import ChainFolder
    from telephonegan.chains import Chain
    from telephonegan.telephone import load as load_telephone

    chain = Chain.load(options.resume)
    if chain.is_complete and options.rounds is None:
        print(f"All {chain.wanted} rounds are there. To go on, add --rounds {chain.wanted + 8}.")
        return 0
    names = {kind: model["name"] for kind, model in chain.models.items()}
    phone = load_telephone(**names, **_given(options, "device"))
    for step in chain:
        _say(step)
    keeper = _Keeper(folder=ChainFolder(Path(options.resume), written=len(chain)), chain=chain)
    return _watch(partial(phone.resume, chain, **_given(options, "rounds")), keeper)


class _Keeper:
    """Prints and keeps every round as soon as it is done. The folder is made when there is something to keep."""

    def __init__(
        self,
        *,
        open_folder: Callable[[], ChainFolder] | None = None,
        folder: ChainFolder | None = None,
        chain: Chain | None = None,
    ) -> None:
        self.open_folder, self.folder, self.chain, self.has_grown = open_folder, folder, chain, False

    def __call__(self, chain: Chain) -> None:
        self.chain = chain
        self.folder = self.folder or self.open_folder()
        self.folder.update(chain)
        self.has_grown = True
        _say(chain[-1])
        if len(chain) == 2:
            _tell_left_out(chain[1].picture)

    def finish(self) -> None:
        if self.folder is not None:
            self.folder.finish(self.chain)

    def tell_how_to_go_on(self) -> None:
        if self.folder is not None and self.folder.written:
            print(
                f"Rounds 0 to {self.folder.written - 1} are kept. "
                f"Go on with: {_program()} play --resume={shlex.quote(str(self.folder.path))}",
                file=sys.stderr,
            )


def _program() -> str:
    """This program as it was called, so that what we tell to type works without an activated environment."""
    called = Path(sys.argv[0])
    return shlex.quote(str(called)) if called.name == "telephonegan" else "telephonegan"


def _watch(play: Callable[..., Chain], keeper: _Keeper) -> int:
    """Play and keep; what was played before a Ctrl-C, an error or a full disk stays, and can be gone on with."""
    try:
        chain = play(on_round=keeper)
        keeper.finish()
    except KeyboardInterrupt:
        keeper.finish()
        keeper.tell_how_to_go_on()
        raise
    except TelephoneganError:
        if keeper.has_grown:
            keeper.tell_how_to_go_on()
        raise
    if not chain.is_complete:
        print(
            f"The telephone went silent after round {len(chain) - 1}: its caption holds no word that can be painted.",
            file=sys.stderr,
        )
    print(keeper.folder.path / "strip.png")
    return 0


def _say(step: Any) -> None:
    from tqdm.auto import tqdm

    tqdm.write(f"{step.index:2}  {step.caption}", file=sys.stdout)
    sys.stdout.flush()


def _models(options: argparse.Namespace) -> int:
    import telephonegan

    print(telephonegan.models())
    return 0


# ---------------------------------------------------------------------------------------------------- what was typed


def open_picture(given: str) -> Image.Image:
    """The picture of a file or, where there is no such file, the sample photograph of that name. Raises ImageError."""
    from telephonegan.images import as_image, samples

    known = samples()
    try:
        return as_image(locate_picture(given))
    except ImageError as error:
        raise ImageError(f"{error} Sample photographs are here by name: {', '.join(known)}.") from error


def locate_picture(given: str) -> str | Path:
    """The file of a sample photograph where no file has the name that was given, else what was given."""
    from telephonegan.images import samples

    return given if Path(given).exists() else samples().get(given, given)


def _decoding(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked of the captioner; a temperature or top-p alone means that words are to be drawn."""
    given = _given(options, "method", "beam_width", "temperature", "top_p")
    drawn = given.keys() & {"temperature", "top_p"}
    return {"method": "sample"} | given if drawn else given


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """What was typed; of all else the library knows the default."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _whole(typed: str) -> int:
    try:
        return int(typed)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{typed!r} is not a whole number, such as 8") from None


def _number(typed: str) -> float:
    try:
        return float(typed)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{typed!r} is not a number, such as 0.8") from None


# ---------------------------------------------------------------------------------------------------- the options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="telephonegan",
        description="The broken telephone: image, caption, image, caption, …",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    caption = _command(commands, _caption, "caption", "describe pictures in words", "caption bear.jpg chelsea")
    caption.add_argument("image", nargs="+", help="a picture file, or the name of a sample photograph such as chelsea")
    caption.add_argument("--json", action="store_true", help="print words, probabilities and alternatives too, as JSON")
    _add_captioner(caption)
    _add_common(caption)

    generate = _command(
        commands, _generate, "generate", "paint a text", 'generate "two dogs play in the snow" -n 4 --seed 7'
    )
    generate.add_argument("text", help="an English sentence")
    generate.add_argument("-n", type=_whole, help="how many pictures, with the seeds SEED, SEED + 1, … (default: 1)")
    _add_generator(generate)
    generate.add_argument(
        "--candidates",
        type=_whole,
        metavar="N",
        help="paint each picture N times, keep the one that fits the text best",
    )
    _add_common(generate)

    play = _command(
        commands,
        _play,
        "play",
        "play the broken telephone",
        "play --image=bear.jpg --rounds 8 --seed 1\n  telephonegan play --resume=out/20260101-120000-bear",
    )
    play.add_argument("--image", help=f"start from this picture or sample photograph (default: {DEFAULT_PICTURE})")
    play.add_argument("--text", help="start from this sentence")
    play.add_argument("--resume", metavar="FOLDER", help="go on with a game that was interrupted, or is to be longer")
    play.add_argument("--rounds", type=_whole, help="how often to paint, 1 to 1000 (default: 8)")
    _add_captioner(play)
    _add_generator(play)
    _add_common(play)

    _command(commands, _models, "models", "list the models there are", "models")

    downloads.add_download(
        _command(commands, downloads.download, "download", "get sample photographs or a published model")
    )
    importing.add_import(
        _command(
            commands,
            importing.import_model,
            "import",
            "use checkpoints that AttnGAN's or the captioner's authors published",
        )
    )
    sampling.add_sample(_command(commands, sampling.sample, "sample", "paint files of captions, as AttnGAN does"))
    data_commands.add_data(_command(commands, data_commands.data, "data", "look data folders over, and make them"))
    training.add_train(_command(commands, training.train, "train", "train a model of your own"))
    export.add_export(_command(commands, export.export, "export", "give the model of a training run a name"))
    evaluation.add_evaluate(_command(commands, evaluation.evaluate, "evaluate", "measure a model on photographs"))
    experiments.add_experiment(
        _command(commands, experiments.experiment, "experiment", "play many chains, and measure how meaning drifts")
    )
    return parser


def _command(commands: Any, run: Callable, name: str, what: str, example: str = "") -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=what,
        description=f"{what.capitalize()}.",
        epilog=f"example:\n  telephonegan {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_captioner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", help="how to choose words: beam, greedy or sample (default: beam)")
    parser.add_argument("--beam-width", type=_whole, metavar="N", help="sentences kept while searching")
    parser.add_argument("--temperature", type=_number, help="draw words; below 1 the likely ones, above 1 the odd ones")
    parser.add_argument("--top-p", type=_number, help="draw from the likeliest words of this share, up to 1")
    parser.add_argument("--captioner", metavar="NAME", help="which captioner (default: flickr8k)")


def _add_generator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--truncation", type=_number, help="scale of the noise, 0 to 2 (default: 1)")
    parser.add_argument("--generator", metavar="NAME", help="which generator (default: flickr8k)")
    parser.add_argument("--out", metavar="FOLDER", help="the new folder for the results (default: out/DATE-TIME-NAME)")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=_whole, help="what is drawn by lot depends on it alone (default: 0)")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")


if __name__ == "__main__":
    sys.exit(main())
