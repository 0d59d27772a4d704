"""`telephonegan report`: update the quality tables of the README and the model cards (for maintainers)."""

from __future__ import annotations

import argparse

_EXAMPLES = """examples:
  telephonegan report
  telephonegan report --check"""


def add_report(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan report`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a table is out of date")


def run(options: argparse.Namespace) -> int:
    """Update the documents whose tables are out of date, or only list them."""
    from telephonegan import files
    from telephonegan.evaluation.report import outdated
    from telephonegan.zoo import catalogue

    root = catalogue.SHIPPED.parent
    changed = outdated(root)
    for path, text in changed.items():
        if not options.check:
            files.replace(path, text.encode())
        print(f"{path.relative_to(root)} {'is out of date: run make report' if options.check else 'written'}")
    return 1 if changed and options.check else 0
