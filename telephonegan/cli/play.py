"""`telephonegan play`: the game, printed and kept round by round."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan.cli.options import (
    add_captioner,
    add_computing,
    add_generator,
    assigned_number,
    decoding,
    given,
    locate_picture,
    open_picture,
    print_left_out,
    whole,
)
from telephonegan.errors import SettingsError, TelephoneganError, printable
from telephonegan.files import expanded, locked, place, replace

if TYPE_CHECKING:
    from telephonegan.chain_folder import ChainFolder
    from telephonegan.chains import Chain

LOCK = ".lock"  # of a game that is being played
_SHARED = ("game.gif", "game.html")
DEFAULT_PICTURE = "astronaut"  # of the bundled photographs, the one closest to the training data
_EXAMPLES = """examples:
  telephonegan play --image=bear.jpg --rounds 8 --seed 1
  telephonegan play --image=bear.jpg --gif --html
  telephonegan play --world flowers --text "a pale pink flower with pointed petals"
  telephonegan play --text "a dog on a lawn" --axes my_axes --turn warmth=0.5
  telephonegan play --resume=out/20260101-120000-bear"""

_FIXED_BY_THE_GAME = (
    *("image", "text", "seed", "out", "world", "captioner", "generator"),
    *("method", "beam_width", "temperature", "top_p", "truncation", "candidates", "seed_policy", "axes", "turn"),
)


def add_play(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan play`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("--image", help=f"start from this picture or sample photograph (default: {DEFAULT_PICTURE})")
    parser.add_argument("--text", help="start from this sentence")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with a game that was interrupted, or make it longer")
    parser.add_argument("--rounds", type=whole, help="how often to paint, 1 to 1000 (default: 8)")
    parser.add_argument("--world", metavar="NAME", help="captioner and generator of a world: see telephonegan models")
    parser.add_argument("--seed-policy", help="fresh: new noise every round; fixed: the same noise (default: fresh)")
    parser.add_argument("--gif", action="store_true", help="also write game.gif, the rounds as an animation")
    parser.add_argument("--html", action="store_true", help="also write game.html, a page to play with in any browser")
    parser.add_argument("--axes", metavar="AXES", help="axes of the generator whose knobs are turned, with --turn")
    parser.add_argument("--turn", nargs="+", metavar="NAME=SIGMA", help="σ added every round, such as warmth=0.5")
    add_captioner(parser)
    add_generator(parser)
    add_computing(parser)


def run(options: argparse.Namespace) -> int:
    """Play a game, or continue one; every round is printed and saved as soon as it is done."""
    if options.resume is not None:
        return _resume(options)
    if options.image is not None and options.text is not None:
        raise SettingsError("A game starts from one thing: give either --image or --text.")
    if options.text is not None:
        source, title = {"text": options.text}, options.text
    else:
        named = DEFAULT_PICTURE if options.image is None else options.image
        open_picture(named)  # says now, before models load, what is wrong with it
        source, title = {"image": locate_picture(named)}, Path(named).stem
    open_folder = place(options.out, title)
    from telephonegan.chain_folder import ChainFolder
    from telephonegan.telephone import load

    phone = load(**given(options, "captioner", "generator", "world", "device"))
    settings = given(options, "rounds", "seed", "truncation", "candidates", "seed_policy", "axes") | decoding(options)
    if options.turn is not None:
        settings["turn"] = [assigned_number(each) for each in options.turn]
    keeper = _Keeper(options, open_folder=lambda: ChainFolder(open_folder()))
    return _watch(partial(phone.play, **source, **settings), keeper)


def _resume(options: argparse.Namespace) -> int:
    if fixed := given(options, *_FIXED_BY_THE_GAME):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
        raise SettingsError(f"A resumed game keeps what it was started with: leave out {names}.")
    folder = expanded(options.resume)
    with locked(folder / LOCK) if folder.is_dir() else nullcontext():  # or two processes would go on with one game
        return _go_on(folder, options)


def _go_on(folder: Path, options: argparse.Namespace) -> int:
    from telephonegan.chain_folder import ChainFolder
    from telephonegan.chains import Chain
    from telephonegan.telephone import load

    chain = Chain.load(folder)
    if chain.is_complete and options.rounds is None:
        print(f"All {chain.wanted} rounds are there. To go on, add --rounds {chain.wanted + 8}.")
        return 0
    names = {kind: model["name"] for kind, model in chain.models.items()}
    phone = load(**names, **given(options, "device"))
    for step in chain:
        _say(step)
    keeper = _Keeper(options, folder=ChainFolder(folder, written=len(chain)), chain=chain)
    return _watch(partial(phone.resume, chain, **given(options, "rounds")), keeper)


class _Keeper:
    """Prints and saves every round as soon as it is done. The folder is created with the first round."""

    def __init__(
        self,
        options: argparse.Namespace,
        *,
        open_folder: Callable[[], ChainFolder] | None = None,
        folder: ChainFolder | None = None,
        chain: Chain | None = None,
    ) -> None:
        self.shared = {name: getattr(options, name.rpartition(".")[2]) for name in _SHARED}
        self.open_folder, self.folder, self.chain, self.has_grown = open_folder, folder, chain, False
        self.held = ExitStack()

    def __call__(self, chain: Chain) -> None:
        self.chain = chain
        if self.folder is None:
            self.folder = self.open_folder()
            self.held.enter_context(locked(self.folder.path / LOCK))
        self.folder.update(chain)
        self.has_grown = True
        _say(chain[-1])
        if len(chain) == 2:
            print_left_out(chain[1].picture)

    def finish(self) -> None:
        if self.folder is not None:
            self.folder.finish(self.chain)
            for path in self.wanted():
                replace(path, self.chain.gif() if path.suffix == ".gif" else self.chain.html().encode())

    def wanted(self) -> list[Path]:
        """What was asked for, and what an earlier run of the same game left, which would now lack rounds."""
        paths = {name: self.folder.path / name for name in _SHARED}
        return [path for name, path in paths.items() if self.shared[name] or path.exists()]

    def tell_how_to_go_on(self) -> None:
        if self.folder is not None and self.folder.written:
            print(
                f"Rounds 0 to {self.folder.written - 1} are kept. "
                f"Go on with: {_program()} play --resume={shlex.quote(str(self.folder.path))}",
                file=sys.stderr,
            )


def _program() -> str:
    """This program as it was called, so that the suggested command works without an activated environment."""
    called = Path(sys.argv[0])
    return shlex.quote(str(called)) if called.name == "telephonegan" else "telephonegan"


def _watch(play: Callable[..., Chain], keeper: _Keeper) -> int:
    """Play and save; rounds played before a Ctrl-C, an error or a full disk are kept and can be continued."""
    with keeper.held:
        return _kept(play, keeper)


def _kept(play: Callable[..., Chain], keeper: _Keeper) -> int:
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
    for path in (keeper.folder.path / "strip.png", *keeper.wanted()):
        print(path)
    return 0


def _say(step: Any) -> None:
    from tqdm.auto import tqdm

    tqdm.write(f"{step.index:2}  {printable(str(step.caption))}", file=sys.stdout)
    sys.stdout.flush()
