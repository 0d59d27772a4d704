"""The base class of all views: a still picture below, and closing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import ipywidgets
from IPython.display import HTML, display
from IPython.display import Image as StillImage
from PIL import Image

from telephonegan.files import png_bytes

# Three pictures side by side, as wide as fits beside JupyterLab's file browser on a screen of 1366 pixels.
MAX_WIDTH = "912px"


class View(ipywidgets.VBox):
    """A box of widgets. In a notebook its `still` is shown below, as a separate output that needs no kernel."""

    def __init__(self, parts: Iterable[ipywidgets.Widget]) -> None:
        super().__init__(list(parts))
        self._beneath: list[Any] = []

    def still(self) -> tuple[Image.Image, str] | None:
        """The whole view as one picture, and its description; None while there is nothing to show."""
        raise NotImplementedError

    def renew_still(self) -> None:
        """Update the still pictures below, wherever this view is shown."""
        for handle in self._beneath:
            handle.update(self._printed())

    def close(self) -> None:
        """Close this view and every widget in it."""
        if self.comm is not None:
            for part in _parts(self):
                part.close()
            super().close()

    def _ipython_display_(self, **_: Any) -> None:
        if self.comm is not None:
            display(self._repr_mimebundle_(), raw=True)
        handle = display(self._printed(), display_id=True)
        if handle is not None:  # outside a notebook there is no output to update
            self._beneath.append(handle)

    def _printed(self) -> HTML | StillImage:
        still = self.still()
        return HTML("") if still is None else StillImage(png_bytes(still[0]), alt=still[1])


def _parts(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """The parts of a widget, except those inside nested views, which close their own."""
    for child in getattr(widget, "children", ()):
        if not isinstance(child, View):
            yield from _parts(child)
        yield child
    yield from (part for part in (widget.layout, getattr(widget, "style", None)) if part is not None)
