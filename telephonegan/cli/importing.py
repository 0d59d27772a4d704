"""`telephonegan import`: which files make up a published model."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from telephonegan.errors import SettingsError

_EXAMPLES = """examples:
  telephonegan import attngan-coco --generator coco_AttnGAN2.pth --text-encoder text_encoder100.pth \\
      --dictionary captions.pickle
  telephonegan import yunjey --encoder encoder-5-3000.pkl --decoder decoder-5-3000.pkl --vocabulary vocab.pkl
  telephonegan play --generator attngan-coco --captioner yunjey"""


def add_import(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan import`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("name", metavar="NAME", help="what to call the model, such as attngan-coco")
    for option, help_text in (
        ("generator", "AttnGAN: the generator, such as coco_AttnGAN2.pth"),
        ("text-encoder", "AttnGAN: the text encoder, such as text_encoder100.pth"),
        ("dictionary", "AttnGAN: captions.pickle of the same data"),
        ("image-encoder", "AttnGAN, not needed to paint: such as image_encoder100.pth"),
        ("encoder", "captioner: such as encoder-5-3000.pkl"),
        ("decoder", "captioner: such as decoder-5-3000.pkl"),
        ("vocabulary", "captioner: vocab.pkl"),
    ):
        parser.add_argument(f"--{option}", metavar="FILE", help=help_text)
    parser.add_argument("--replace", action="store_true", help="replace a model of that name")


def import_model(options: argparse.Namespace) -> int:
    """Import what the given files make up: a generator, or a captioner."""
    attngan, captioner = ("generator", "text_encoder", "dictionary"), ("encoder", "decoder", "vocabulary")
    given = {name for name in (*attngan, *captioner, "image_encoder") if getattr(options, name) is not None}
    needed = attngan if given & {*attngan, "image_encoder"} else captioner
    if given - {*needed, "image_encoder"} or not given:
        raise SettingsError(
            f"Give either {_options(attngan)} of an AttnGAN, or {_options(captioner)} of a captioner; "
            "import the two one after the other."
        )
    if missing := [name for name in needed if name not in given]:
        raise SettingsError(f"{_options(missing)} is missing: {_options(needed)} belong together.")
    from telephonegan.zoo.importing import import_attngan, import_captioner

    run = import_attngan if needed is attngan else import_captioner
    files = {name: getattr(options, name) for name in given}
    for entry in run(options.name, **files, replace=options.replace):
        print(f"{entry.kind}/{entry.name}: {entry.path} ({entry.size / 1e6:.1f} MB)")
    return 0


def _options(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
