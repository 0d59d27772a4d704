"""The base class of all views: what a browser draws from plain data, what can be kept of it, and a still for exports.

Drawing is done by `viewer.js`, which an exported page uses too. It is an anywidget and not made of ipywidgets: those
can link no word to its pixels under the pointer, send every frame through the kernel, and cannot download a file.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
from PIL import Image
from traitlets import Dict, Int

from telephonegan.errors import TelephoneganError
from telephonegan.files import png_bytes
from telephonegan.viewer import SCRIPT, STYLE

MAX_WIDTH = "1180px"
_TYPES = {
    ".gif": "image/gif",
    ".html": "text/html",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Keepsake:
    """Something to keep: a button with this label makes a file of this name, or a folder if `make` returns a path."""

    label: str
    file: str
    title: str
    make: Callable[[], bytes | Path]


class Stilled:
    """A widget with a still picture beside it in the same output, for where no kernel runs: GitHub, nbconvert."""

    def still(self) -> tuple[Image.Image, str] | None:
        """The whole view as one picture, and its description; None while there is nothing to show."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown = super()._repr_mimebundle_(**options)
        still = self.still() if shown else None
        if still is None:
            return shown
        bundle, metadata = shown if isinstance(shown, tuple) else (shown, {})
        picture, words = still
        buffer = BytesIO()
        picture.convert("RGB").save(buffer, "JPEG", quality=90)
        encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
        return {**bundle, "image/jpeg": encoded}, {**metadata, "image/jpeg": {"alt": words}}


class View(Stilled, anywidget.AnyWidget):
    """Plain data shown in the browser; `data` are those of `telephonegan.viewer`, `round` is the round on display.

    Buttons below offer what `keepsakes` lists: files go to the browser's downloads, folders to `out/` where the kernel
    runs.
    """

    _esm = SCRIPT.read_text(encoding="utf-8")
    _css = STYLE.read_text(encoding="utf-8")
    data = Dict().tag(sync=True)
    round = Int(0).tag(sync=True)

    def __init__(self, data: Mapping[str, Any]) -> None:
        super().__init__(data=self._offered(data))  # at once: a browser may draw before a later change arrives
        self.on_escape: Callable[[], None] = lambda: None
        self.on_msg(self._heard)

    def show(self, data: Mapping[str, Any]) -> None:
        """Show other data of `telephonegan.viewer`."""
        self.data = self._offered(data)

    def _offered(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {**data, "keep": [[each.file, each.label, each.title] for each in self.keepsakes()]}

    def keepsakes(self) -> Sequence[Keepsake]:
        """What can be kept of what is shown."""
        return ()

    def close(self) -> None:
        """Close this view and its layout."""
        if self.comm is not None:
            self.layout.close()
            super().close()

    def _heard(self, _: Any, message: Mapping[str, Any], __: Any) -> None:
        if message.get("escape"):
            self.on_escape()
        for each in self.keepsakes():
            if each.file == message.get("keep"):
                self._keep(each)

    def _keep(self, wanted: Keepsake) -> None:
        try:
            made = wanted.make()
        except TelephoneganError as error:
            self.send({"said": str(error), "failed": True})
        except Exception as error:
            logging.getLogger(__name__).exception("keeping %s", wanted.file)
            self.send({"said": f"Unexpected: {type(error).__name__}: {error}", "failed": True})
        else:
            if isinstance(made, Path):
                self.send({"said": f"Saved in {made}"})
            else:
                kind = _TYPES[Path(wanted.file).suffix]
                self.send({"kept": wanted.file, "type": kind, "said": f"Downloaded {wanted.file}"}, buffers=[made])


def parts_of(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """The parts of a widget, their layouts and styles."""
    for child in getattr(widget, "children", ()):
        yield from parts_of(child)
        yield child
    yield from (part for part in (widget.layout, getattr(widget, "style", None)) if part is not None)


def figure_keepsakes(stem: str, draw: Callable[[], Any]) -> list[Keepsake]:
    """A PDF and an SVG of what `draw` returns, a figure, for print: two columns wide, fonts embedded."""
    return [
        Keepsake(suffix[1:].upper(), f"{stem}{suffix}", f"A figure for print, as {suffix[1:].upper()}", file)
        for suffix in (".pdf", ".svg")
        for file in [lambda suffix=suffix: _figure_file(draw, suffix)]
    ]


def picture_keepsake(stem: str, draw: Callable[[], Image.Image]) -> Keepsake:
    """A PNG file of one picture."""
    return Keepsake("PNG", f"{stem}.png", "Everything in one picture", lambda: png_bytes(draw()))


def _figure_file(draw: Callable[[], Any], suffix: str) -> bytes:
    from telephonegan import figures
    from telephonegan.figures.style import file_of

    with figures.style(column=7):
        return file_of(draw(), suffix)
