"""`telephonegan train`: from a data folder to a trained model, one folder per run."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from telephonegan import training
from telephonegan.cli.options import add_threads, class_numbers
from telephonegan.cli.stopping import stop_if_asked
from telephonegan.errors import SettingsError
from telephonegan.training import recipes
from telephonegan.training.launch import ORDER, one_folder

_EXAMPLES = """examples:
  telephonegan train damsm     --data flickr8k --run runs/damsm
  telephonegan train damsm     --data flickr8k --run runs/judge --set backbone=lite2 input_size=160 views=4 --seed 1
  telephonegan train attngan   --data flickr8k --run runs/attngan --damsm runs/damsm
  telephonegan train attngan   --data birds --run runs/birds --damsm attngan-bird --config cfg/bird_attn2.yml
  telephonegan train captioner --data flickr8k --run runs/captioner --set steps=4500
  telephonegan train captioner --data flickr8k --run runs/cider --preset cider --from runs/captioner
  telephonegan train embedding --data flowers --run runs/embedding --without-classes zero_shot_classes.txt
  telephonegan train gan-cls   --data flowers --run runs/gan-cls --embedding runs/embedding
  telephonegan train ppgn      --data flickr8k coco2014 flowers birds fashion --run runs/ppgn
  telephonegan train all --preset tiny --run runs/tiny
  telephonegan train world birds --data birds.pack --run runs/birds --minutes 60
  telephonegan train --resume runs/captioner
  telephonegan train attngan   --data flickr8k --run runs/attngan --damsm runs/damsm --minutes 30
  torchrun --nproc-per-node 4 -m telephonegan train damsm --data flickr8k --run runs/damsm --device cuda
A stopped run continues when the same command is given again, or with --resume. The exit code is 130 after Ctrl-C, 143
after SIGTERM, and 0 at the end of --minutes."""


def add_train(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan train`."""
    parser.epilog = _EXAMPLES
    parser.add_argument(
        "recipe",
        nargs="?",
        choices=(*recipes.NAMES, "all", "world"),
        help="all: the three in turn; world: all models for one data set",
    )
    parser.add_argument("name", nargs="?", help="world: the name of its models, such as birds")
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        help="a folder of captioned photographs, see `telephonegan data check`; ppgn: folders, captioned or not",
    )
    parser.add_argument("--run", dest="run_folder", type=Path, help="folder for checkpoints, log and samples")
    parser.add_argument(
        "--resume", type=Path, metavar="RUN", help="continue a run with its settings; attngan: --steps may be larger"
    )
    parser.add_argument("--cache", type=Path, help="folder for packed photographs and features (default: RUN/../cache)")
    parser.add_argument("--damsm", help="attngan: the DAMSM run that guides it, or the name of a DAMSM model")
    parser.add_argument("--embedding", metavar="RUN", help="gan-cls: the run of its text embedding, or a model's name")
    parser.add_argument("--judge", help="world: an existing judge, instead of training one")
    parser.add_argument("--parts", nargs="+", choices=("damsm", "judge", "captioner", "generator"), help="world: parts")
    parser.add_argument("--pieces", action="store_true", help="world: split checkpoints into files of at most 16 MiB")
    parser.add_argument(
        "--from", dest="origin", metavar="RUN|NAME", help="start with the weights of another run, or of a model by name"
    )
    parser.add_argument(
        "--without-classes", type=Path, metavar="FILE", help="class numbers of photographs to leave out, one per line"
    )
    parser.add_argument("--preset", help="cpu (default), gpu, tiny, world; captioner: cider; others: birds, coco, …")
    parser.add_argument("--config", type=Path, metavar="YAML", help="settings of the recipe, or an AttnGAN file")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the recipe")
    parser.add_argument("--steps", type=int, help="total optimiser steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_threads(parser)
    parser.add_argument("--checkpoint-minutes", type=float, default=5.0, help="between checkpoints (default: 5)")
    parser.add_argument("--minutes", type=float, help="stop after this many minutes in total, and exit with 0")
    parser.add_argument("--evaluate-every", type=int, metavar="STEPS", help="default: a tenth of the run")


def run(options: argparse.Namespace) -> int:
    """Train one recipe, all of them or a world, or continue a run."""
    how = {
        "device": options.device,
        "checkpoint_minutes": options.checkpoint_minutes,
        "minutes": options.minutes,
        "evaluate_every": options.evaluate_every,
        "command": options.command,
    }
    if options.resume is not None:
        return _ended(training.resume(options.resume, steps=options.steps, **how), options.resume)
    if options.recipe is None or options.run_folder is None:
        raise SettingsError("Give a recipe and --run FOLDER, or --resume RUN.")
    how |= {"seed": options.seed, "cache": options.cache}
    if options.recipe == "world":
        return _train_world(options, how)
    if options.name is not None or options.parts or options.pieces or options.judge is not None:
        raise SettingsError("A name, --parts, --pieces and --judge are for `train world` only.")
    how |= {"preset": options.preset or "cpu", "steps": options.steps}
    how |= {"without": class_numbers(options.without_classes)}
    if options.recipe == "all":
        return _train_all(options, how)
    if options.data is None:
        raise SettingsError(f"train {options.recipe} needs --data FOLDER.")
    is_done = training.train(
        options.recipe,
        data=options.data if options.recipe == "ppgn" else one_folder(options.recipe, options.data),
        run=options.run_folder,
        settings=options.set,
        config=options.config,
        damsm=options.damsm,
        embedding=options.embedding,
        origin=options.origin,
        **how,
    )
    return _ended(is_done, options.run_folder)


def _ended(is_done: bool, run: Path) -> int:
    """The exit code of one run, which says how to go on if it was stopped."""
    if not is_done:
        print(f"Continue with: telephonegan train --resume {shlex.quote(str(run))}", file=sys.stderr)
        stop_if_asked()
    return 0


def _train_all(options: argparse.Namespace, how: dict[str, Any]) -> int:
    if options.config is not None or options.set or options.origin is not None:
        raise SettingsError("train all uses a preset unchanged: leave out --config, --set and --from.")
    root = options.run_folder
    data = None if options.data is None else one_folder("all", options.data)
    if not training.train_all(root, data=data, **how):
        stop_if_asked()
        return 0  # the time was up
    print("To play with them, register them under a name:")
    for recipe in ORDER:
        print(f"  telephonegan export {root / recipe} --name {root.name.lower()}")
    return 0


def _train_world(options: argparse.Namespace, how: dict[str, Any]) -> int:
    if options.name is None or options.data is None:
        raise SettingsError("train world needs a name and --data: telephonegan train world birds --data birds.pack …")
    if options.without_classes is not None:
        raise SettingsError("train world takes a pack without those classes: telephonegan data pack --without-classes.")
    if options.config is not None or options.origin is not None or options.steps is not None:
        raise SettingsError("train world takes --set RUN.KEY=VALUE; leave out --config, --from and --steps.")
    training.train_world(
        options.name,
        data=one_folder("world", options.data),
        run=options.run_folder,
        settings=options.set,
        preset=options.preset or "world",
        damsm=options.damsm,
        judge=options.judge,
        parts=options.parts,
        pieces=options.pieces,
        **how,
    )
    stop_if_asked()
    return 0
