"""The command that made a result, as recorded with the result and as it may be published."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


def command_line(arguments: Sequence[str]) -> str:
    """The command with these arguments, quoted for a shell.

    >>> command_line(["export", "my runs/damsm"])
    "telephonegan export 'my runs/damsm'"
    """
    return shlex.join(["telephonegan", *arguments])


def without_places(command: str) -> str:
    """The command with every absolute path reduced to its last part, so that it can be published with a model.

    >>> without_places("telephonegan train damsm --data /home/ann/flickr8k --run runs/damsm")
    'telephonegan train damsm --data flickr8k --run runs/damsm'
    """
    return shlex.join(_without_place(argument) for argument in shlex.split(command))


def _without_place(argument: str) -> str:
    option, equals, value = argument.rpartition("=")
    return option + equals + (Path(value).name if Path(value).is_absolute() else value)
