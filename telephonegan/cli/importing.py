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
  telephonegan import sje-flowers lm_sje_flowers_c10_hybrid_0.00070_1_10_trainvalids.txt_iter16400.t7
  telephonegan import caffe --generator generator.caffemodel --encoder bvlc_reference_caffenet.caffemodel
  telephonegan ppgn class junco --model caffe --network caffenet
  telephonegan play --generator attngan-coco --captioner yunjey"""

_FILES = {
    "generator": "AttnGAN, DM-GAN, DF-GAN or PPGN: the generator, such as coco_AttnGAN2.pth or generator.caffemodel",
    "text_encoder": "with a generator: the text encoder, such as text_encoder100.pth",
    "dictionary": "with a generator: captions.pickle of the same data",
    "image_encoder": "with a generator, not needed to paint: such as image_encoder100.pth",
    "encoder": "yunjey's captioner: such as encoder-5-3000.pkl; PPGN: bvlc_reference_caffenet.caffemodel",
    "decoder": "yunjey's captioner: such as decoder-5-3000.pkl",
    "checkpoint": "sgrvinod's captioner: such as BEST_checkpoint_coco_5_cap_per_img_5_min_word_freq.pth.tar",
    "vocabulary": "either captioner: vocab.pkl or WORDMAP_….json",
}


def add_import(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan import`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("name", metavar="NAME", help="what to call the model, such as attngan-coco")
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="a model in one file: a Progressive GAN (….pkl), or a Char-CNN-RNN (lm_sje_….t7, or .pth of its port)",
    )
    for name, what in _FILES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="FILE", help=what)
    parser.add_argument("--replace", action="store_true", help="replace a model of that name")


def run(options: argparse.Namespace) -> int:
    """Import the generator, captioner or text encoder that the given files make up."""
    from telephonegan.zoo.importing import import_model

    files = given(options, *_FILES)
    if options.file is not None:
        files["pggan" if options.file.endswith(".pkl") else "char_cnn_rnn"] = options.file
    print_models(import_model(options.name, **files, replace=options.replace))
    return 0
