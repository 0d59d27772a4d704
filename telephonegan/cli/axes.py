"""`telephonegan axes`: find directions in latent space, look at them, and paint along them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan.cli.options import (
    add_command,
    add_computing,
    add_out,
    assigned_number,
    given,
    number,
    print_models,
    whole,
)
from telephonegan.errors import SettingsError, printable
from telephonegan.files import json_bytes, place, png_bytes, replace

if TYPE_CHECKING:
    from telephonegan.latent import AxisSet, Walk

_EXAMPLES = """examples:
  telephonegan axes learn faces --columns age sex --name faces
  telephonegan axes find faces --extractor faces -n 20000 --name faces
  telephonegan axes find flickr8k --captions captions.txt --features warmth brightness --out out/flickr8k-axes
  telephonegan axes find faces --method sefa --out out/faces-sefa
  telephonegan axes find faces --scores smiles.csv --out out/smile
  telephonegan axes import feature_direction_20181002_044444.pkl --generator pggan --name celebahq
  telephonegan axes show faces
  telephonegan axes show faces --measure
  telephonegan axes grid faces --seed 3
  telephonegan axes edit faces --seed 3 --set age=2 warmth=-1 --lock sex
AXES is the name of registered axes, or the path that they were saved under."""

_METHODS = ("linear", "tanh", "svm", "sefa", "ganspace")


def add_axes(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan axes`."""
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    learn = _action(actions, "learn", "train a feature extractor on labelled photographs", _learn)
    learn.add_argument("data", type=Path, metavar="DIR", help="a folder of photographs with a table of labels")
    learn.add_argument("--columns", nargs="+", default=[], metavar="COLUMN", help="columns of the table to learn")
    learn.add_argument("--words", nargs="+", default=[], metavar="WORD", help="words of the captions to learn")
    learn.add_argument("--table", default="labels.csv", metavar="FILE", help="in DIR (default: labels.csv)")
    learn.add_argument("--backbone", default="lite0", help="lite0 or lite2 (default: lite0)")
    learn.add_argument("--name", required=True, help="what to call the extractor")
    learn.add_argument("--replace", action="store_true", help="replace an extractor of that name")
    add_computing(learn)

    find = _action(actions, "find", "find axes in a generator's latents", _find)
    find.add_argument("generator", metavar="GENERATOR", help="which generator, such as faces")
    find.add_argument("--features", nargs="+", metavar="NAME", help="features to find (default: all there are)")
    find.add_argument("--extractor", metavar="NAME", help="the extractor that scores, see `axes learn`")
    find.add_argument("--scores", type=Path, metavar="CSV", help="your own scores: a column seed, others by feature")
    find.add_argument("--method", choices=_METHODS, default="linear", help="sefa and ganspace need no features")
    find.add_argument("--part", help="noise (default), eps, condition or sentence")
    _add_texts(find)
    find.add_argument("-n", type=whole, help="how many pictures to score (default: 20000)")
    find.add_argument("-k", type=whole, help="how many axes of sefa and ganspace (default: 10)")
    _add_destination(find)
    add_computing(find)

    imported = _action(actions, "import", "read the axes of transparent latent-space GAN", _import)
    imported.add_argument("file", metavar="PKL", help="feature_direction_….pkl; nothing in it is run")
    imported.add_argument("--generator", default="pggan", metavar="NAME", help="their generator (default: pggan)")
    _add_destination(imported)

    show = _action(actions, "show", "list axes with what was measured", _show)
    show.add_argument("axes", metavar="AXES")
    show.add_argument("--measure", action="store_true", help="measure slopes and leakage on new pictures")
    show.add_argument("-n", type=whole, default=500, help="random pictures to measure on (default: 500)")
    show.add_argument("--extractor", metavar="NAME", help="measure with this extractor, not the one that found them")
    _add_texts(show)
    _add_destination(show)
    show.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto)")

    grid = _action(actions, "grid", "a picture of all features, moved in steps", _grid)
    grid.add_argument("axes", metavar="AXES")
    grid.add_argument("--features", nargs="+", metavar="NAME", help="which features (default: all)")
    grid.add_argument("--steps", nargs="+", type=number, metavar="SIGMA", help="in σ (default: -3 -2 -1 0 1 2 3)")
    _add_start(grid)

    edit = _action(actions, "edit", "paint a picture, moved along some axes", _edit)
    edit.add_argument("axes", metavar="AXES")
    edit.add_argument("--set", nargs="+", default=[], metavar="NAME=SIGMA", help="moves, such as age=2")
    edit.add_argument("--share", metavar="TEXT", help="start from a state that was shared as text")
    _add_start(edit)


def run(options: argparse.Namespace) -> int:
    """Run one of the actions."""
    return options.act(options)


def _action(actions: Any, name: str, what: str, act: Any) -> argparse.ArgumentParser:
    command = add_command(actions, name, what, _EXAMPLES)
    command.set_defaults(act=act)
    return command


def _add_texts(command: argparse.ArgumentParser) -> None:
    command.add_argument("--text", default="", help="the caption to paint, for generators that paint texts")
    command.add_argument("--captions", type=Path, metavar="FILE", help="captions to paint in turn, one per line")


def _texts(options: argparse.Namespace) -> str | list[str]:
    from telephonegan.text import read_lines

    if options.captions is None:
        return options.text
    return [line.strip() for line in read_lines(options.captions) if line.strip()]


def _add_destination(command: argparse.ArgumentParser) -> None:
    command.add_argument("--name", help="register them under this name")
    command.add_argument("--replace", action="store_true", help="replace axes of that name")
    command.add_argument("--out", type=Path, metavar="PATH", help="save as PATH.safetensors and PATH.json")


def _add_start(command: argparse.ArgumentParser) -> None:
    command.add_argument("--lock", nargs="+", default=[], metavar="NAME", help="features to hold")
    command.add_argument("--text", default="", help="the caption, for generators that paint texts")
    command.add_argument(
        "--latents", type=Path, metavar="NPZ", help="start from these, as `telephonegan invert` writes"
    )
    add_out(command)
    add_computing(command)


def _learn(options: argparse.Namespace) -> int:
    from telephonegan.latent import train_extractor

    found = train_extractor(
        options.data,
        columns=options.columns,
        words=options.words,
        table=options.table,
        backbone=options.backbone,
        **given(options, "seed", "device"),
    )
    entry = found.register(options.name, replace=options.replace, command=options.command)
    for name, value in found.quality.items():
        print(f"{name.replace('_', ' ')}: {value:.3f}")
    print_models([entry])
    return 0


def _find(options: argparse.Namespace) -> int:
    from telephonegan.latent import find_axes, ganspace, sefa

    _check_destination(options)
    if options.method in ("sefa", "ganspace"):
        if options.features or options.scores or options.extractor:
            raise SettingsError(f"{options.method} takes no features: leave out --features, --scores and --extractor.")
        how = given(options, "k", "part", "device") if options.method == "sefa" else given(options, "k", "n", "text")
        axes = sefa(options.generator, **how) if options.method == "sefa" else ganspace(options.generator, **how)
        return _keep(axes, options)
    axes = find_axes(
        options.generator,
        options.scores or options.features,
        method=options.method,
        texts=_texts(options),
        **given(options, "n", "extractor", "part", "seed", "device"),
    )
    return _keep(axes, options)


def _import(options: argparse.Namespace) -> int:
    from telephonegan.latent import AxisSet
    from telephonegan.zoo import catalogue

    _check_destination(options)
    sha256 = catalogue.find("generator", options.generator).sha256
    return _keep(AxisSet.from_tlgan(options.file, options.generator, sha256), options)


def _check_destination(options: argparse.Namespace) -> None:
    if options.name is None and options.out is None:
        raise SettingsError("Say where the axes go: --name NAME to register them, or --out PATH to save them.")


def _keep(axes: AxisSet, options: argparse.Namespace) -> int:
    _print_table(axes)
    if options.out is not None:
        print(axes.save(options.out))
    if options.name is not None:
        print_models([axes.register(options.name, replace=options.replace, command=options.command)])
    return 0


def _show(options: argparse.Namespace) -> int:
    from telephonegan.latent import AxisSet, Features, measure

    axes = AxisSet.load(options.axes)
    if not options.measure:
        _print_table(axes)
        return 0
    features = Features(axes.names, extractor=options.extractor) if options.extractor else None
    how = {"features": features, "n": options.n, "texts": _texts(options)}
    return _keep(measure(axes, **how, **given(options, "device")), options)


def _print_table(axes: AxisSet) -> None:
    """One line per axis: R², and what was measured."""
    width = max(map(len, axes.names))
    print(printable(repr(axes)))
    columns = ("R²", "slope", "rank", "leakage", "locked")
    print(" " * width + "".join(f"{title:>9}" for title in columns))
    for column, name in enumerate(axes.names):
        found = axes.measured.get(name)
        values = [None if axes.r2 is None else float(axes.r2[column])]
        values += [found.slope, found.spearman, found.leakage, found.locked_leakage] if found else [None] * 4
        cells = "".join(f"{'–' if value is None else f'{value:.3f}':>9}" for value in values)
        print(printable(f"{name:<{width}}{cells}"))


def _grid(options: argparse.Namespace) -> int:
    from telephonegan import figures

    open_folder = place(options.out, f"axes-{Path(options.axes).name}")
    walk = _walk(options)
    how = {"names": options.features} | ({"sigmas": options.steps} if options.steps else {})
    with figures.style("sans", column=7.0):
        figure = figures.axis_grid(walk, **how)
        print(figures.save(figure, open_folder() / "grid.png"))
    return 0


def _edit(options: argparse.Namespace) -> int:
    from telephonegan.strips import Tile, strip

    moves = [assigned_number(each) for each in options.set]
    open_folder = place(options.out, f"edit-{Path(options.axes).name}")
    walk = _walk(options)
    for name, sigmas in moves:
        walk.set(name, sigmas)
    before, after = walk.start(), walk.picture()
    folder = open_folder()
    replace(folder / "picture.png", png_bytes(after.image))
    replace(folder / "start.png", png_bytes(before.image))
    told = ", ".join(f"{name} {sigmas:+g} σ" for name, sigmas in moves) or "as shared"
    strip_image = strip([Tile(before.image, "start"), Tile(after.image, told, arrow=True)])
    replace(folder / "strip.png", png_bytes(strip_image))
    replace(folder / "edit.json", json_bytes({"share": walk.share(), "axes": options.axes}))
    print(walk.share())
    print(folder / "strip.png")
    return 0


def _walk(options: argparse.Namespace) -> Walk:
    """The start, with its locks."""
    from telephonegan.latent import AxisSet, Walk
    from telephonegan.latent.search import loaded
    from telephonegan.records import read_arrays

    axes = AxisSet.load(options.axes)
    start = None if options.latents is None else read_arrays(options.latents)
    if start == {}:
        raise SettingsError(f"There is no {options.latents}.")
    generator = loaded(axes.generator, options.device or "auto")
    walk = Walk(generator, axes, text=options.text, start=start, **given(options, "seed"))
    if getattr(options, "share", None):
        walk.restore(options.share)
    for name in options.lock:
        walk.lock(name)
    return walk
