"""`telephonegan sample`: files of captions to pictures and attention pictures, named as AttnGAN names them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from telephonegan.cli.options import add_out, add_threads

_EXAMPLES = """examples:
  telephonegan sample --captions example_captions.txt -n 16
  telephonegan sample --captions example_captions.txt --cfg code/cfg/eval_coco.yml --data-dir data/coco
  telephonegan sample --cfg code/cfg/eval_bird.yml --out birds
Picture i of line s gives i_s_s_g0.png, i_s_s_g1.png, … from the smallest size to the largest, and i_s_s_a0.png, …,
its attention; s counts the lines that contain a known word, from 0."""


def add_sample(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan sample`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("--captions", type=Path, metavar="FILE", help="one caption per line")
    parser.add_argument("-n", type=int, default=16, help="pictures per caption (default: 16)")
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--generator", metavar="NAME", help="which generator (default: flickr8k)")
    model.add_argument("--cfg", type=Path, metavar="YAML", help="AttnGAN's own settings, such as cfg/eval_coco.yml")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="with --cfg: replaces its DATA_DIR")
    add_out(parser)
    parser.add_argument("--seed", type=int, default=100, help="random seed (default: 100)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    add_threads(parser)
    parser.add_argument("--no-attention", action="store_true", help="write no attention pictures")


def run(options: argparse.Namespace) -> int:
    """Paint every line of the caption files `-n` times into a new folder, and print its path."""
    from telephonegan.sampling import sample

    begun: list[Path] = []
    try:
        folder = sample(
            options.captions,
            n=options.n,
            generator=options.generator,
            config=options.cfg,
            data_dir=options.data_dir,
            out=options.out,
            seed=options.seed,
            device=options.device,
            attention=not options.no_attention,
            on_folder=begun.append,
        )
    except KeyboardInterrupt:
        for folder in begun:
            print(f"{len(list(folder.rglob('*_g*.png')))} pictures are in {folder}", file=sys.stderr)
        raise
    print(folder)
    return 0
