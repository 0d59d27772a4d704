"""`telephonegan import`: register a published model from its files."""

from __future__ import annotations

import argparse

from telephonegan.cli.options import given, print_models

_EXAMPLES = """examples:
  telephonegan import attngan-coco --generator coco_AttnGAN2.pth --text-encoder text_encoder100.pth \\
      --dictionary captions.pickle
  telephonegan import yunjey --encoder encoder-5-3000.pkl --decoder decoder-5-3000.pkl --vocabulary vocab.pkl
  telephonegan import sgrvinod --checkpoint BEST_checkpoint_coco.pth.tar --vocabulary WORDMAP_coco.json
  telephonegan import pggan karras2018iclr-celebahq-1024x1024.pkl
  telephonegan play --generator attngan-coco --captioner yunjey"""

_FILES = {
    "generator": "AttnGAN, DM-GAN or DF-GAN: the generator, such as coco_AttnGAN2.pth",
    "text_encoder": "with a generator: the text encoder, such as text_encoder100.pth",
    "dictionary": "with a generator: captions.pickle of the same data",
    "image_encoder": "with a generator, not needed to paint: such as image_encoder100.pth",
    "encoder": "yunjey's captioner: such as encoder-5-3000.pkl",
    "decoder": "yunjey's captioner: such as decoder-5-3000.pkl",
    "checkpoint": "sgrvinod's captioner: such as BEST_checkpoint_coco_5_cap_per_img_5_min_word_freq.pth.tar",
    "vocabulary": "either captioner: vocab.pkl or WORDMAP_….json",
}


def add_import(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan import`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("name", metavar="NAME", help="what to call the model, such as attngan-coco")
    parser.add_argument("pggan", metavar="PKL", nargs="?", help="a Progressive GAN, such as karras2018iclr-….pkl")
    for name, what in _FILES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="FILE", help=what)
    parser.add_argument("--replace", action="store_true", help="replace a model of that name")


def run(options: argparse.Namespace) -> int:
    """Import the generators or the captioner that the given files make up."""
    from telephonegan.zoo.importing import import_model

    print_models(import_model(options.name, **given(options, "pggan", *_FILES), replace=options.replace))
    return 0
