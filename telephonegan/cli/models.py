"""`telephonegan models`: which models there are, and all that is known of one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from telephonegan.errors import UnknownModelError, printable_lines

if TYPE_CHECKING:
    from telephonegan.zoo.catalogue import Entry
    from telephonegan.zoo.worlds import World

_EXAMPLES = """examples:
  telephonegan models
  telephonegan models flowers
  telephonegan models generator/flickr8k"""


def add_models(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `telephonegan models`."""
    parser.epilog = _EXAMPLES
    parser.add_argument("name", nargs="?", metavar="NAME", help="show details of this model; KIND/NAME for one kind")


def run(options: argparse.Namespace) -> int:
    """Print the table of models, or the details of those with a name."""
    import telephonegan

    known = telephonegan.models()
    if options.name is None:
        print(known)
        if known:
            print("\nAll about one of them: telephonegan models NAME")
        return 0
    wanted = [entry for entry in known if options.name in (entry.name, f"{entry.kind}/{entry.name}")]
    if not wanted:
        names = ", ".join(dict.fromkeys(entry.name for entry in known)) or "none yet"
        raise UnknownModelError(f"No model is called {options.name!r}. There are: {names}.")
    told = [_about(world) for world in known.worlds if world.name == options.name]
    print(printable_lines("\n\n".join([*told, *map(_details, wanted)])))
    return 0


def _about(world: World) -> str:
    from telephonegan.zoo.table import wrapped

    asked = [f'  telephonegan play --world {world.name} --text "{sentence}"' for sentence in world.examples]
    return "\n".join([wrapped(world.knows or "a world of four models", f"{world.name}: "), *asked])


def _details(entry: Entry) -> str:
    from telephonegan.zoo.table import wrapped

    numbers = {name: value for name, value in entry.quality.items() if isinstance(value, int | float | str)}
    told = {
        "what it is": entry.description,
        "architecture": entry.architecture,
        "file": f"{entry.path} ({entry.size / 1e6:.1f} MB)" if entry.size else f"{entry.path} (missing)",
        "sha256": entry.sha256,
        "data": entry.data,
        "quality": ", ".join(f"{name} {value}" for name, value in numbers.items()),
        "licence": entry.licence,
        "made by": entry.command,
    }
    lines = [wrapped(text, f"  {label:14}") for label, text in told.items() if text]
    return "\n".join([f"{entry.kind}/{entry.name}", *lines])
