"""The one family of exceptions. Every message says what was given, what is allowed and what to do."""

from __future__ import annotations


def printable(text: str) -> str:
    """A text on one line, with what a terminal would obey (escape sequences of a file, say) written out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.splitlines()))


def printable_lines(text: str) -> str:
    """A text of several lines, each `printable`."""
    return "\n".join(map(printable, text.split("\n")))


class TelephoneganError(Exception):
    """Base of everything this library raises on purpose."""


class ImageError(TelephoneganError, ValueError):
    """Something given as a picture cannot be read as one."""


class TextError(TelephoneganError, ValueError):
    """A sentence holds nothing the model can use."""


class SettingsError(TelephoneganError, ValueError):
    """An option has a value outside what is allowed."""


class UnknownModelError(TelephoneganError, ValueError):
    """A model name that no manifest lists."""


class WeightsError(TelephoneganError, RuntimeError):
    """A weight file is missing, damaged or of another network."""


class DataError(TelephoneganError, RuntimeError):
    """A data folder or caption file is missing something."""


class OutputError(TelephoneganError, RuntimeError):
    """Results cannot be written where they were asked to go."""


class DownloadError(TelephoneganError, RuntimeError):
    """A download failed, or what arrived is not what was asked for."""
