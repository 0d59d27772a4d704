"""`telephonegan download`: sample photographs, or a published model."""

from __future__ import annotations

import argparse
import sys

from telephonegan.cli.options import print_models
from telephonegan.errors import SettingsError
from telephonegan.zoo.links import PUBLISHED

SAMPLES = "coco-samples"
_EXAMPLES = """examples:
  telephonegan download coco-samples
  telephonegan download attngan-coco
  telephonegan download yunjey --replace"""


def add_download(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan download`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("what", choices=[SAMPLES, *PUBLISHED], help="photographs of COCO 2017, or a published model")
    parser.add_argument("--replace", action="store_true", help="download the model again even if it is installed")


def run(options: argparse.Namespace) -> int:
    """Download the sample photographs or a published model, and print the results."""
    if options.what == SAMPLES:
        return _samples(options.replace)
    from telephonegan.zoo.downloads import download_model, installed

    if not options.replace and installed(options.what):
        print(f"{options.what} is already installed; --replace downloads it again.", file=sys.stderr)
    entries = download_model(options.what, replace=options.replace)
    print_models(entries)
    # None of these projects published checksums; print ours so that they can be compared.
    for file, source in (entries[0].settings.get("sources") or {}).items():
        print(f"{file} sha256 {source['sha256']}")
    return 0


def _samples(replace: bool) -> int:
    from telephonegan.samples import download_samples

    if replace:
        raise SettingsError(f"--replace is for models: existing photographs are kept. Leave it out for {SAMPLES}.")
    for path in download_samples():
        print(path)
    return 0
