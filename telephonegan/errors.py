"""The one family of exceptions. Every message says what was given, what is allowed and what to do."""

from __future__ import annotations


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
