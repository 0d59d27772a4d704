"""The one family of exceptions. Every message says what was given, what is allowed and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def printable(text: str) -> str:
    """A text on one line, with terminal control characters (escape sequences in a file, say) escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.splitlines()))


def printable_lines(text: str) -> str:
    """A text of several lines, each `printable`."""
    return "\n".join(map(printable, text.split("\n")))


class TelephoneganError(Exception):
    """Base of everything this library raises on purpose."""


class ImageError(TelephoneganError, ValueError):
    """Something given as a picture cannot be read as one."""


class TextError(TelephoneganError, ValueError):
    """A sentence contains nothing the model can use."""


class SettingsError(TelephoneganError, ValueError):
    """An option has a value outside what is allowed."""


class UnknownModelError(TelephoneganError, ValueError):
    """A model name that no manifest lists."""


class WeightsError(TelephoneganError, RuntimeError):
    """A weight file is missing, damaged or belongs to another network."""


class DataError(TelephoneganError, RuntimeError):
    """A data folder or caption file is incomplete or damaged."""


class OutputError(TelephoneganError, RuntimeError):
    """Results cannot be written to the requested place."""


class DownloadError(TelephoneganError, RuntimeError):
    """A download failed, or did not deliver the expected file."""


def unknown_setting(owner: str, name: str, allowed: Sequence[str]) -> SettingsError:
    """What to raise for a setting that `owner` does not have, with the nearest that it has.

    >>> str(unknown_setting("generate", "trunc", ["seed", "truncation"]))
    "generate has no setting 'trunc'. Did you mean truncation? Allowed: seed, truncation."
    """
    near = difflib.get_close_matches(name, allowed, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return SettingsError(f"{owner} has no setting {name!r}.{hint} Allowed: {', '.join(allowed)}.")
