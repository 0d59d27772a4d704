"""The command line: `telephonegan caption|generate|play|models|download`."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan.errors import ImageError, OutputError, SettingsError, TelephoneganError

if TYPE_CHECKING:
    from PIL import Image

    from telephonegan.chain_folder import ChainFolder
    from telephonegan.chains import Chain

DEFAULT_MODEL = "flickr8k"
DEFAULT_PICTURE = "astronaut"  # of the photographs that come with the packages, the one closest to the training world
DEFAULT_ROUNDS = 8
INTERRUPTED = 130

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
    try:
        options.run(options)
        sys.stdout.flush()
    except TelephoneganError as error:
        print(f"telephonegan: {' '.join(str(error).splitlines())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("telephonegan: stopped.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; what Python still holds of it has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


# ---------------------------------------------------------------------------------------------------- commands


def _caption(options: argparse.Namespace) -> None:
    images = [open_picture(given) for given in options.image]
    from telephonegan.telephone import caption

    said = caption(images, captioner=options.captioner, device=options.device, seed=options.seed, **_decoding(options))
    if options.json:
        records = [_caption_record(name, each) for name, each in zip(options.image, said, strict=True)]
        print(json.dumps(records, indent=1, ensure_ascii=False))
        return
    for name, each in zip(options.image, said, strict=True):
        print(each if len(said) == 1 else f"{name}: {each}")


def _caption_record(name: str, caption: Any) -> dict[str, Any]:
    kept = ("text", "words", "probabilities", "log_probability", "alternatives", "model", "seed")
    return {"image": name} | {field: getattr(caption, field) for field in kept}


def _generate(options: argparse.Namespace) -> None:
    place = _place(options, options.text)
    from telephonegan import strips
    from telephonegan.files import png_bytes, replace
    from telephonegan.telephone import generate

    pictures = generate([options.text], seed=options.seed, n=options.n, truncation=options.truncation,
                        generator=options.generator, device=options.device)
    pictures = pictures if options.n == 1 else pictures[0]
    folder = place()
    for picture in pictures:
        replace(folder / f"seed-{picture.seed}.png", png_bytes(picture.image))
    replace(folder / "strip.png", png_bytes(strips.strip(
        [strips.Tile(picture.seed, picture.image, picture.text) for picture in pictures]
    )))
    kept = ("text", "words", "dropped_words", "truncated", "seed", "model")
    records = [{field: getattr(picture, field) for field in kept} for picture in pictures]
    replace(folder / "pictures.json", json.dumps(records, indent=1, ensure_ascii=False).encode())
    _tell_left_out(pictures[0])
    print(folder)


def _tell_left_out(picture: Any) -> None:
    if picture.dropped_words:
        print(f"Not known, so not painted: {', '.join(picture.dropped_words)}", file=sys.stderr)
    if picture.truncated:
        print(f"{picture.truncated} words at the end are beyond the limit and were not painted.", file=sys.stderr)


def _play(options: argparse.Namespace) -> None:
    if options.resume is not None:
        _resume(options)
        return
    if options.image is not None and options.text is not None:
        raise SettingsError("A game starts from one thing: give either --image or --text.")
    name = options.text if options.text is not None else options.image or DEFAULT_PICTURE
    place = _place(options, Path(name).stem if options.text is None else name)
    source = {"text": name} if options.text is not None else {"image": open_picture(name)}
    from telephonegan.chain_folder import ChainFolder
    from telephonegan.telephone import load

    phone = load(options.captioner or DEFAULT_MODEL, options.generator or DEFAULT_MODEL, options.device)
    truncation = 1.0 if options.truncation is None else options.truncation
    _watch(
        lambda on_round: phone.play(**source, rounds=_or(options.rounds, DEFAULT_ROUNDS), seed=_or(options.seed, 0),
                                    truncation=truncation, on_round=on_round, **_decoding(options)),
        lambda: ChainFolder(place()),
    )


def _resume(options: argparse.Namespace) -> None:
    fixed = ("image", "text", "seed", "method", "beam_width", "temperature", "top_p", "truncation", "captioner",
             "generator", "out")
    if given := [f"--{name.replace('_', '-')}" for name in fixed if getattr(options, name) is not None]:
        raise SettingsError(f"A resumed game keeps what it was started with: leave out {', '.join(given)}.")
    from telephonegan.chain_folder import ChainFolder, load
    from telephonegan.telephone import load as load_telephone

    chain, folder = load(options.resume), Path(options.resume)
    if chain.is_complete and options.rounds is None:
        print(f"All {chain.wanted} rounds of {folder} are there. To go on, add --rounds {chain.wanted + DEFAULT_ROUNDS}.")
        return
    phone = load_telephone(chain.models["captioner"]["name"], chain.models["generator"]["name"], options.device)
    for step in chain:
        _say(step)
    _watch(
        lambda on_round: phone.resume(chain, rounds=options.rounds, on_round=on_round),
        lambda: ChainFolder(folder, written=len(chain)),
        chain,
    )


def _watch(play: Callable[..., Chain], open_folder: Callable[[], ChainFolder], chain: Chain | None = None) -> None:
    """Play; print and keep every round as soon as it is done, and keep them too when something stops the game."""
    folder = None if chain is None else open_folder()

    def on_round(grown: Chain) -> None:
        nonlocal chain, folder
        chain, folder = grown, folder or open_folder()
        folder.update(grown)
        _say(grown[-1])

    try:
        chain = play(on_round=on_round)
    except KeyboardInterrupt:
        if chain is not None and folder is not None:
            folder.finish(chain)
            print(f"Stopped after round {len(chain) - 1} of {chain.wanted}. "
                  f"Go on with: telephonegan play --resume={folder.path}", file=sys.stderr)
        raise
    folder.finish(chain)
    if not chain.is_complete:
        print(f"The telephone went silent after round {len(chain) - 1}: the caption holds no word the generator knows.",
              file=sys.stderr)
    print(folder.path / "strip.png")


def _say(step: Any) -> None:
    from tqdm.auto import tqdm

    tqdm.write(f"{step.index:2}  {step.caption}", file=sys.stdout)
    sys.stdout.flush()


def _models(options: argparse.Namespace) -> None:
    import telephonegan

    print(telephonegan.models())


def _download(options: argparse.Namespace) -> None:
    from telephonegan.images import download_samples

    for path in download_samples():
        print(path)


# ---------------------------------------------------------------------------------------------------- what was typed


def open_picture(given: str) -> Image.Image:
    """The picture of a file or, where there is no such file, the sample photograph of that name. Raises ImageError."""
    from telephonegan.images import as_image, sample, samples

    known = samples()
    if given in known and not Path(given).exists():
        return sample(given)
    try:
        return as_image(given)
    except ImageError as error:
        raise ImageError(f"{error} Sample photographs are here by name: {', '.join(known)}.") from error


def _decoding(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked of the captioner; a temperature or top-p alone means that words are to be drawn."""
    given = {"beam_width": options.beam_width, "temperature": options.temperature, "top_p": options.top_p}
    given = {name: value for name, value in given.items() if value is not None}
    method = options.method or ("sample" if {"temperature", "top_p"} & given.keys() else "beam")
    return {"method": method, **given}


def _place(options: argparse.Namespace, title: str) -> Callable[[], Path]:
    """How to make the folder of this run: exactly --out, or a new one in out/. A taken name is told at once."""
    from telephonegan.chain_folder import check_free
    from telephonegan.files import new_folder

    if options.out is None:
        return lambda: _dated_folder(Path("out"), title)
    path = Path(options.out).expanduser()
    check_free(path)
    return lambda: new_folder(path)


def _dated_folder(parent: Path, title: str) -> Path:
    """A new folder named by the time and the title; where two runs want one name, the second gets a number."""
    from telephonegan.files import new_folder

    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()[:200]).strip("-")[:40].strip("-") or "game"
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}"
    for number in range(1, 1000):
        with suppress(_Taken):
            return _claimed(parent / (stem if number == 1 else f"{stem}-{number}"), new_folder)
    raise OutputError(f"{parent} holds a thousand runs of this second. Choose another folder with --out.")


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="telephonegan", description="The broken telephone: image, caption, image, caption, …",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    return parser
