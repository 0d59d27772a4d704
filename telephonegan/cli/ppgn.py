"""`telephonegan ppgn`: plug & play generation, its seven examples, and a sweep over its settings."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace as changed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telephonegan.cli.options import (
    add_command,
    add_out,
    add_threads,
    assigned_number,
    given,
    number,
    open_picture,
    print_left_out,
    whole,
)
from telephonegan.cli.stopping import stop_if_asked
from telephonegan.errors import SettingsError, printable
from telephonegan.files import expanded, json_bytes, place, png_bytes, replace

if TYPE_CHECKING:
    from telephonegan.latent.condition_networks import ConditionNetwork
    from telephonegan.latent.conditions import Condition
    from telephonegan.latent.decoders import CodeDecoder
    from telephonegan.latent.inpainting import Hole
    from telephonegan.latent.published import CaffeDecoder
    from telephonegan.latent.sampler import Sampler, SamplerSettings, Sampling

_EXAMPLES = """examples:
  telephonegan ppgn class junco
  telephonegan ppgn class 13 --network lite2 --seed 0-3
  telephonegan ppgn chain cardoon lipstick
  telephonegan ppgn unit stages.3.1 12 --xy 4
  telephonegan ppgn unit conv5 182 --network lite2 --epsilon1 1e-7
  telephonegan ppgn caption a_man_rides_a_wave_on_a_surfboard
  telephonegan ppgn from-image volcano.jpg volcano
  telephonegan ppgn inpaint volcano.jpg volcano --box 30 30 90 90 --feather 4
  telephonegan ppgn sweep junco --eps1 1e-5 1e-3 1e-1 --lr 0.5 1 2
  telephonegan ppgn guide "a dog runs in the grass" --toward "golden retriever"
Settings have the names of PPGN's scripts, with _ or -. Ctrl-C stops; the same command with the same --out and --resume
goes on. Pictures, codes and probabilities are in FOLDER/samples, and chain.json says how they were made."""

_SETTINGS = {  # → how it is read, and what it is
    "n_iters": (whole, "steps for each class"),
    "lr": (number, "mean change per step of a coordinate of what is sampled, in tenths of σ for photos"),
    "lr_end": (number, "the same at the end of each class (default: as at its start)"),
    "epsilon1": (number, "weight of the prior"),
    "epsilon2": (number, "weight of the condition"),
    "epsilon3": (number, "standard deviation of noise"),
    "epsilon4": (number, "weight of what surrounds a hole"),
    "noise_rel": (number, "noise in proportion to the step"),
    "reset_every": (whole, "begin anew after so many steps; 0: never"),
    "save_every": (whole, "keep the picture of every N-th step; 0: the last one only"),
    "threshold": (number, "keep pictures whose probability is above this"),
}
_MAKING = (  # further options on which pictures depend, so that --resume needs the same
    *("network", "network_size", "act_layer", "objective", "xy", "y", "x", "captioner", "word_weights"),
    *("init_file", "image", "box", "mask", "feather"),
)
_OF_CAFFE = ("net_weights", "net_definition", "captioner_definition", "opt_layer")  # of the scripts, without use here
_MOST_SEEDS = 1000
_PRIORS = ("joint", "dae", "l2", "none")
_OBJECTIVES = ("paper", "logsoftmax", "logit")


# ---------------------------------------------------------------------------------------------------- declared


def add_ppgn(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan ppgn`."""
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    one = _sampling(actions, "class", "pictures of a class of ImageNet", _class)
    _add_classes(one)

    chain = _sampling(
        actions, "chain", "from class to class, as animations for several ε1", _chain, without=("epsilon1",)
    )
    _add_classes(chain)
    _add(chain, "epsilon1", nargs="+", type=number, help="ε1 of each animation (default: 1e-5 1e-3 1e-1)")
    chain.add_argument("--milliseconds", type=whole, default=50, help="for each frame (default: 50)")

    unit = _sampling(actions, "unit", "what a hidden unit of a network looks for", _unit)
    unit.add_argument("layer", metavar="LAYER", help="any layer, such as stages.3.1, or conv1 to conv5")
    unit.add_argument("unit", type=whole, metavar="UNIT", help="which of its channels, from 0")
    unit.add_argument("--y", type=whole, help="its position down")
    unit.add_argument("--x", type=whole, help="its position across")

    caption = _sampling(actions, "caption", "pictures of a sentence, in the eyes of a captioner", _caption)
    said = caption.add_mutually_exclusive_group(required=True)
    said.add_argument("sentence", nargs="?", metavar="SENTENCE", help="words, perhaps joined by underscores")
    said.add_argument("--sentence", dest="sentence_option", help=argparse.SUPPRESS)
    caption.add_argument("--captioner", default="flickr8k", metavar="NAME", help="which (default: flickr8k)")
    weights = "weights of words in the sentence, such as a=0.2; 0 leaves a word out"
    caption.add_argument("--word-weights", nargs="+", default=[], metavar="WORD=WEIGHT", help=weights)

    image = _sampling(actions, "from-image", "begin with a photograph", _from_image)
    _add_photograph(image)

    inpaint = _sampling(actions, "inpaint", "fill a hole in a photograph", _inpaint)
    _add_photograph(inpaint)
    hole = inpaint.add_mutually_exclusive_group()
    hole.add_argument(
        "--box", nargs=4, type=whole, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"), help="in painted pixels"
    )
    hole.add_argument("--mask", type=Path, metavar="FILE", help="a picture that is white in the hole")
    inpaint.add_argument("--feather", type=whole, default=0, metavar="PIXELS", help="soften the seam within the hole")

    sweep = _sampling(actions, "sweep", "try ε1 and steps, and propose the best", _sweep, without=("epsilon1", "lr"))
    _add_classes(sweep)
    _add(sweep, "epsilon1", nargs="+", type=number, default=[1e-5, 1e-3, 1e-1], help="ε1 to try")
    _add(sweep, "lr", nargs="+", type=number, default=[0.5, 1.0, 2.0], help="steps to try")
    sweep.add_argument("--judge", metavar="NAME", help="the network that decides (default: lite2 for lite0, or lite0)")

    guide = _action(actions, "guide", "paint a text, and push the picture towards a class", _guide)
    guide.add_argument("text", metavar="TEXT", help="an English sentence; '' for a generator without text")
    guide.add_argument("--toward", required=True, metavar="CLASS", help="a class of ImageNet")
    guide.add_argument("--generator", default="flickr8k", metavar="NAME", help="which generator (default: flickr8k)")
    guide.add_argument("--steps", type=whole, help="steps of gradient ascent (default: 40)")
    guide.add_argument("--lr", type=number, help="mean change per step, in tenths of σ (default: 0.4)")
    guide.add_argument("--network", default="lite0", metavar="NAME", help="lite0 (default), lite1 or lite2")
    guide.add_argument("--seed", type=whole, default=0, help="random seed (default: 0)")
    guide.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_out(guide)
    add_threads(guide)


def run(options: argparse.Namespace) -> int:
    """Run one of the actions."""
    if isinstance(options.seed, list):
        options.seed = _seeds(options.seed)
    return options.act(options)


def _action(actions: Any, name: str, what: str, act: Callable) -> argparse.ArgumentParser:
    command = add_command(actions, name, what, _EXAMPLES)
    command.set_defaults(act=act)
    return command


def _sampling(
    actions: Any, name: str, what: str, act: Callable, *, without: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A command that samples: its model, network, settings and seeds."""
    command = _action(actions, name, what, act)
    command.add_argument("--model", default="photos", metavar="NAME", help="the generator of codes (default: photos)")
    command.add_argument("--network", default="lite0", metavar="NAME", help="lite0 (default), lite1, lite2 or caffenet")
    command.add_argument("--network-size", type=whole, default=128, help="pixels that it looks at (default: 128)")
    command.add_argument("--act_layer", "--act-layer", default="fc8", metavar="LAYER", help="of the classes, fc8 here")
    command.add_argument("--objective", default="paper", choices=_OBJECTIVES, help="what is increased (default: paper)")
    command.add_argument("--prior", default="joint", choices=_PRIORS, help="what codes are likely (default: joint)")
    for setting, (kind, told) in _SETTINGS.items():
        if setting not in without:
            _add(command, setting, type=kind, help=told)
    command.add_argument("--xy", type=whole, help="position of a hidden unit, across and down (default: the middle)")
    _add(command, "init_file", help="begin with this photograph instead of a random code")
    _add(command, "write_labels", action="store_true", help="write the class below each picture of the sheet")
    command.add_argument("--seed", "--seeds", nargs="+", default=None, metavar="SEED", help="such as 0 3 or 0-9")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    command.add_argument("--resume", action="store_true", help="go on in --out, where this command was stopped")
    add_out(command)
    command.add_argument("--output_dir", dest="out", help=argparse.SUPPRESS)
    for old in _OF_CAFFE:
        command.add_argument(f"--{old}", help=argparse.SUPPRESS)
    add_threads(command)
    return command


def _add(command: argparse.ArgumentParser, name: str, **how: Any) -> None:
    """Declare a setting under PPGN's name, the same with hyphens, and for ε1 also --eps1."""
    short = [f"--eps{name[-1]}"] if name.startswith("epsilon") else []
    command.add_argument(f"--{name}", *({f"--{name.replace('_', '-')}"} - {f"--{name}"}), *short, dest=name, **how)


def _add_classes(command: argparse.ArgumentParser) -> None:
    command.add_argument("classes", nargs="*", metavar="CLASS", help="names or numbers, such as junco or 13")
    command.add_argument("--units", metavar="NUMBERS", help="numbers joined by underscores, such as 946_629")


def _add_photograph(command: argparse.ArgumentParser) -> None:
    command.add_argument("image", help="a picture, or the name of a sample photograph")
    _add_classes(command)


# ---------------------------------------------------------------------------------------------------- the examples


def _class(options: argparse.Namespace) -> int:
    return _sampled("class", options, _decoder(options), _classes(options), _settings("class", options))


def _from_image(options: argparse.Namespace) -> int:
    options.init_file = options.image
    return _sampled("from-image", options, _decoder(options), _classes(options), _settings("from-image", options))


def _chain(options: argparse.Namespace) -> int:
    from telephonegan.latent.examples import CHAIN_EPSILON1

    weights, options.epsilon1 = options.epsilon1 or CHAIN_EPSILON1, None
    decoder, conditions = _decoder(options), _classes(options)
    folder = _folder(options, "chain", conditions, _settings("chain", options))
    options.write_labels = True
    for epsilon1 in weights:
        settings = changed(_settings("chain", options), epsilon1=epsilon1)
        own = folder / f"eps1_{settings.epsilon1}"
        _kept("chain", options, own, decoder, conditions, settings, gif=options.milliseconds)
    return _told(folder)


def _unit(options: argparse.Namespace) -> int:
    from telephonegan.latent.conditions import Unit

    y, x = (value if value is not None else options.xy for value in (options.y, options.x))
    options.act_layer, options.classes, options.units = options.layer, [str(options.unit)], None
    condition = Unit(_network(options), options.layer, options.unit, y=y, x=x, objective=options.objective)
    example = "unit" if options.network == "lite0" else "other-unit"
    decoder = _decoder(options)
    box = condition.receptive_field()
    return _sampled(example, options, decoder, [condition], _settings(example, options), box=box)


def _caption(options: argparse.Namespace) -> int:
    from telephonegan.latent.text_conditions import CaptionCondition

    weights = dict(assigned_number(each) for each in options.word_weights)
    how = {"word_weights": weights, "device": options.device}
    sentence = options.sentence if options.sentence is not None else options.sentence_option
    condition = CaptionCondition(sentence, options.captioner, **how)
    options.seed, options.write_labels = options.seed or [0, 1, 2], True
    return _sampled("caption", options, _decoder(options), [condition], _settings("caption", options))


def _inpaint(options: argparse.Namespace) -> int:
    """Every seed has its own hole unless one is given, so seeds run one after another."""
    decoder, conditions = _decoder(options), _classes(options)
    settings = _settings("inpaint", options)
    seeds = options.seed or range(10)
    holes = {seed: _hole(options, decoder, seed) for seed in seeds}
    folder = _folder(options, "inpaint", conditions, settings)
    from telephonegan.latent.examples import tile_of
    from telephonegan.latent.sampling_folder import jpeg_bytes
    from telephonegan.strips import montage

    tiles = []
    for seed in seeds:
        hole, own = holes[seed], folder if len(seeds) == 1 else folder / f"seed-{seed}"
        options.seed = [seed]
        start = decoder.encode(hole.context().to(decoder.device))[0]
        sampling = _kept("inpaint", options, own, decoder, conditions, settings, hole=hole, start=start)
        tiles.append(tile_of(sampling.last(), context=hole.picture()))
        replace(folder / "inpainting.jpg", jpeg_bytes(montage(tiles, 5)))
    return _told(folder)


def _sweep(options: argparse.Namespace) -> int:
    from telephonegan.latent.conditions import image_class
    from telephonegan.latent.sweep import sweep

    weights, steps = options.epsilon1, options.lr
    options.epsilon1 = options.lr = None
    decoder, conditions = _decoder(options), _classes(options)
    judge = options.judge or ("lite2" if options.network == "lite0" else "lite0")
    judged = image_class(conditions[0].unit, judge, device=options.device)
    open_folder = place(options.out, f"sweep-{conditions[0].label}")
    found = sweep(
        decoder,
        conditions[0],
        epsilon1=weights,
        lr=steps,
        prior=decoder.prior(options.prior),
        judge=judged,
        seeds=options.seed or [0, 1, 2],
        settings=_settings("class", options),
    )
    folder = open_folder()
    replace(folder / "sweep.png", png_bytes(found.sheet()))
    names = ("epsilon1", "lr", "probability", "judged")
    replace(folder / "sweep.json", json_bytes([{name: getattr(row, name) for name in names} for row in found.rows]))
    print(found)
    print(f"Best: --epsilon1 {found.best.epsilon1:g} --lr {found.best.lr:g}")
    print(folder / "sweep.png")
    stop_if_asked()
    return 0


def _guide(options: argparse.Namespace) -> int:
    from telephonegan.latent.guide import guide
    from telephonegan.latent.search import loaded

    open_folder = place(options.out, f"guide-{options.toward}")
    picture = loaded(options.generator, options.device)([options.text], seeds=[options.seed])[0]
    found = guide(
        picture, options.toward, network=options.network, device=options.device, **given(options, "steps", "lr")
    )
    folder = open_folder()
    replace(folder / "start.png", png_bytes(picture.image))
    replace(folder / "picture.png", png_bytes(found.picture.image))
    replace(folder / "strip.png", png_bytes(found.strip()))
    found.animate(folder / "way.gif")
    told = {"text": picture.text, "seed": picture.seed, "model": picture.model, "toward": found.label}
    latents = {name: part.tolist() for name, part in found.picture.latents.items()}
    chances = [round(float(chance), 6) for chance in found.probabilities]
    replace(folder / "guide.json", json_bytes({**told, "probabilities": chances, "latents": latents}))
    print_left_out(picture)
    print(printable(repr(found)))
    print(folder / "strip.png")
    stop_if_asked()
    return 0


# ---------------------------------------------------------------------------------------------------- their parts


def _settings(example: str, options: argparse.Namespace) -> SamplerSettings:
    """The example's own settings, with those that were typed."""
    from telephonegan.latent.examples import SETTINGS

    typed = {name: getattr(options, name, None) for name in _SETTINGS}
    return changed(SETTINGS[example], **{name: value for name, value in typed.items() if value is not None})


def _decoder(options: argparse.Namespace) -> CodeDecoder | CaffeDecoder:
    from telephonegan.latent.published import code_decoder

    if typed := [name for name in _OF_CAFFE if getattr(options, name)]:
        names = ", ".join(f"--{name}" for name in typed)
        print(f"{names}: networks are chosen with --model and --network here, so this is not used.", file=sys.stderr)
    return code_decoder(options.model, options.device)


def _network(options: argparse.Namespace) -> ConditionNetwork:
    from telephonegan.latent.condition_networks import ConditionNetwork
    from telephonegan.latent.published import CaffeDecoder, code_decoder

    if options.network == "caffenet":
        decoder = code_decoder(options.model, options.device)
        if not isinstance(decoder, CaffeDecoder):
            raise SettingsError("caffenet comes with PPGN's own files: import those, and name them with --model.")
        return decoder.network()
    return ConditionNetwork.load(options.network, options.device, size=options.network_size)


def _classes(options: argparse.Namespace) -> list[Condition]:
    """One condition for each class, or unit of another layer."""
    from telephonegan.latent.conditions import Unit, image_class

    wanted = [*options.classes, *(options.units.split("_") if options.units else [])]
    if not wanted:
        raise SettingsError("Say which class: its name or its number, such as junco or 13.")
    if len(wanted) == 1 and wanted[0].replace("_", "").isdecimal():
        wanted = wanted[0].split("_")
    network = _network(options)
    if network.layer(options.act_layer) == network.class_layer:
        return [image_class(each, network, objective=options.objective) for each in wanted]
    how = {"objective": options.objective, "y": options.xy, "x": options.xy}
    return [Unit(network, options.act_layer, _unit_number(each), **how) for each in wanted]


def _unit_number(typed: str) -> int:
    if not typed.isdecimal():
        raise SettingsError(f"Units of a hidden layer have numbers; {typed!r} was given.")
    return int(typed)


def _seeds(typed: Sequence[str]) -> list[int]:
    """Seeds such as 0 3 or 0-9, each of them once. Raises SettingsError."""
    from telephonegan.inference import check_seed

    seeds: list[int] = []
    for each in typed:
        first, dash, last = each.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise SettingsError(f"Seeds are whole numbers, such as 0 3 or 0-9; {each!r} was given.")
        found = range(check_seed(int(first)), check_seed(int(last or first)) + 1)
        if not found:
            raise SettingsError(f"A range of seeds goes from the lower to the higher; {each!r} was given.")
        if len(seeds) + len(found) > _MOST_SEEDS:
            raise SettingsError(
                f"{len(seeds) + len(found)} seeds are too many for one call; give at most {_MOST_SEEDS}."
            )
        seeds += found
    if len(set(seeds)) < len(seeds):
        raise SettingsError(f"Give each seed once; {' '.join(typed)} was given.")
    return seeds


def _hole(options: argparse.Namespace, decoder: CodeDecoder | CaffeDecoder, seed: int) -> Hole:
    from telephonegan.latent.inpainting import Hole

    photo, how = open_picture(options.image), {"feather": options.feather}
    if options.mask is not None:
        return Hole.of(photo, decoder.size, options.mask, **how)
    if options.box is not None:
        return Hole.box(photo, decoder.size, options.box, **how)
    return Hole.random(photo, decoder.size, seed, **how)


def _folder(
    options: argparse.Namespace, example: str, conditions: Sequence[Condition], settings: SamplerSettings
) -> Path:
    """The folder of the results: a new one, or with --resume that of the same command before."""
    from telephonegan.latent.examples import folder_name

    if options.resume and options.out is None:
        raise SettingsError("--resume needs --out FOLDER, the folder of the command that was stopped.")
    if options.resume:
        return expanded(options.out)
    units = [getattr(each, "unit", example) for each in conditions]
    return place(options.out, folder_name(options.act_layer, units, settings))()


def _sampled(
    example: str,
    options: argparse.Namespace,
    decoder: CodeDecoder | CaffeDecoder,
    conditions: Sequence[Condition],
    settings: SamplerSettings,
    **how: Any,
) -> int:
    """Sample into the command's folder, and print it."""
    if options.init_file not in (None, "None"):  # what the scripts have in its place
        how["start"] = decoder.code_of(open_picture(options.init_file))
    folder = _folder(options, example, conditions, settings)
    _kept(example, options, folder, decoder, conditions, settings, **how)
    return _told(folder)


def _kept(
    example: str,
    options: argparse.Namespace,
    folder: Path,
    decoder: CodeDecoder | CaffeDecoder,
    conditions: Sequence[Condition],
    settings: SamplerSettings,
    *,
    hole: Hole | None = None,
    start: Any = None,
    box: Sequence[float] | None = None,
    gif: int | None = None,
) -> Sampling:
    """Sample, and keep everything in a folder as soon as it is there. Ends the command after Ctrl-C."""
    from telephonegan.latent.sampler import Sampler

    sampler = Sampler(decoder, conditions, prior=decoder.prior(options.prior), hole=hole, settings=settings)
    sampling = _run(options, folder, sampler, start)
    _write(example, options, folder, conditions, settings, sampling, box)
    if gif:
        from telephonegan.latent.examples import animation

        for seed in sampling.seeds:
            name = "chain.gif" if len(sampling.seeds) == 1 else f"chain-seed-{seed}.gif"
            if frames := sampling.of(seed):
                replace(folder / name, animation(frames, milliseconds=gif))
    stop_if_asked()
    return sampling


def _run(options: argparse.Namespace, folder: Path, sampler: Sampler, start: Any) -> Sampling:
    from telephonegan.latent.sampling_folder import CHAIN, SamplingFolder

    seeds = tuple(options.seed or [0])
    print(_summary(sampler, seeds), file=sys.stderr)
    kept = SamplingFolder(folder, sampler, seeds, command=options.command, made_with=_made_with(options))
    before = kept.load() if options.resume and (folder / CHAIN).exists() else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The chain of seed")  # which is said below, without a line of code
        sampling = sampler.run(seeds, start, after=before, on_frame=kept.add, on_step=kept.step)
    for seed, why in sampling.stopped.items():
        print(f"The chain of seed {seed} ended early, at {why}", file=sys.stderr)
    kept.save(sampling)
    sampling.frames = kept.frames()  # as files hold them, which is all that a resumed command has
    if not sampling.is_finished:
        print(
            f"Stopped at step {sampling.state.step} of {sampler.steps}. What there is, is in {folder}.", file=sys.stderr
        )
        print(f"To go on: the same command with --out {folder} --resume", file=sys.stderr)
    return sampling


def _made_with(options: argparse.Namespace) -> dict[str, Any]:
    """What pictures depend on and a sampler does not know, as JSON values."""
    from telephonegan.zoo import catalogue

    typed = {name: getattr(options, name) for name in _MAKING if hasattr(options, name)}
    told = {name: str(value) if isinstance(value, Path) else value for name, value in typed.items()}
    return {"model_sha256": catalogue.find("ppgn", options.model).sha256, **told}


def _summary(sampler: Sampler, seeds: Sequence[int]) -> str:
    """What is about to be sampled, and with which settings, on one line."""
    settings = ", ".join(f"{name} {value:g}" for name, value in sampler.settings.record().items() if value is not None)
    labels = " → ".join(condition.label for condition in sampler.conditions)
    return printable(f"{labels}; seeds {' '.join(map(str, seeds))}; prior {sampler.prior.name}; {settings}")


def _write(
    example: str,
    options: argparse.Namespace,
    folder: Path,
    conditions: Sequence[Condition],
    settings: SamplerSettings,
    sampling: Sampling,
    box: Sequence[float] | None,
) -> None:
    """The last pictures and the sheet, under the scripts' names."""
    from telephonegan.latent.examples import final_name, sheet, write_finals
    from telephonegan.latent.sampling_folder import jpeg_bytes

    units = [each.unit for each in conditions if hasattr(each, "unit")]
    layer = options.act_layer.replace("/", "_")
    names = {seed: final_name(layer, units, settings, seed) for seed in sampling.seeds}
    write_finals(folder, sampling, names)
    if (drawn := sheet(example, sampling, labels=options.write_labels, box=box)) is not None:
        replace(folder / "montage.jpg", jpeg_bytes(drawn))


def _told(folder: Path) -> int:
    print(folder.resolve())
    return 0
