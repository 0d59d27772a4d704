"""`telephonegan download`: sample photographs, or a model that others published."""

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
    parser.add_argument("--replace", action="store_true", help="download a model again that is here already")


def run(options: argparse.Namespace) -> int:
    """Get the sample photographs or a published model, and print what is there then."""
    if options.what == SAMPLES:
        return _samples(options.replace)
    from telephonegan.zoo.downloads import download_model, installed

    if not options.replace and installed(options.what):
        print(f"{options.what} is here already; --replace gets it anew.", file=sys.stderr)
    entries = download_model(options.what, replace=options.replace)
    print_models(entries)
    # None of these projects published checksums: whoever has one from elsewhere can compare.
    for file, source in (entries[0].settings.get("sources") or {}).items():
        print(f"{file} sha256 {source['sha256']}")
    return 0


def _samples(replace: bool) -> int:
    from telephonegan.samples import download_samples

    if replace:
        raise SettingsError(f"--replace is for models: photographs that are here are kept. Leave it out for {SAMPLES}.")
    for path in download_samples():
        print(path)
    return 0
