"""What the views share: their base class with a still picture below, a slider over rounds, and a button per word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import ipywidgets
from IPython.display import HTML, display
from IPython.display import Image as StillImage
from PIL import Image

from telephonegan.files import png_bytes

# Three pictures side by side, as wide as fits beside JupyterLab's file browser on a screen of 1366 pixels.
MAX_WIDTH = "912px"
MILLISECONDS = 1200  # for each round, as in the animations of a chain


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


class RoundSlider(ipywidgets.HBox):
    """`slider` and `play` over the rounds 0 to `last`, linked in the browser; `slider.value` is the round.

    With the focus, arrow keys move the slider and space presses the button.
    """

    def __init__(self, last: int, show: Callable[[int], None]) -> None:
        self.slider = index_slider(last, "round", show)
        fixed = ipywidgets.Layout(flex="0 0 auto")
        range_ = {"max": self.slider.max, "disabled": self.slider.disabled}
        self.play = ipywidgets.Play(**range_, interval=MILLISECONDS, layout=fixed, tooltip="play, stop, repeat")
        self.link = ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        super().__init__([self.play, self.slider], layout=ipywidgets.Layout(max_width=MAX_WIDTH))

    def close(self) -> None:
        if self.comm is not None:
            self.link.close()
            super().close()


def index_slider(last: int, description: str, show: Callable[[int], None]) -> ipywidgets.IntSlider:
    """A slider from 0 to `last` that calls `show` with its value; disabled if there is only one value."""
    # The browser's slider refuses a range of one value.
    slider = ipywidgets.IntSlider(max=max(1, last), disabled=last == 0, description=description, tooltip=description)
    slider.layout.flex, slider.layout.width = "1 1 auto", "auto"
    slider.observe(lambda change: show(min(change["new"], last)), "value")
    return slider


class WordChooser(ipywidgets.ToggleButtons):
    """A button for each word; `index` is the selected word, None without words.

    `choose` is called with the index when the user changes it, but not by `offer`.
    """

    def __init__(self, choose: Callable[[int | None], None]) -> None:
        super().__init__(
            options=(),
            layout=ipywidgets.Layout(height="72px", overflow="auto", max_width=MAX_WIDTH),
            style=ipywidgets.ToggleButtonsStyle(button_width="auto"),
        )
        self._choose = choose
        self.observe(self._changed, "index")

    def offer(self, words: Sequence[str], index: int | None) -> None:
        """Replace the words and the selection in one message to the browser."""
        self.unobserve(self._changed, "index")
        with self.hold_sync():
            self.options = distinct(words)
            self.index = index
        self.observe(self._changed, "index")

    def _changed(self, change: dict) -> None:
        self._choose(change["new"])


def distinct(words: Sequence[str]) -> list[str]:
    """Words as unique labels, by which ToggleButtons identifies its buttons.

    >>> distinct(["a", "man", "a"])
    ['a', 'man', 'a (2)']
    """
    counts: Counter[str] = Counter()
    labels = []
    for word in words:
        counts[word] += 1
        labels.append(word if counts[word] == 1 else f"{word} ({counts[word]})")
    return labels


def _parts(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """The parts of a widget, except those inside nested views, which close their own."""
    for child in getattr(widget, "children", ()):
        if not isinstance(child, View):
            yield from _parts(child)
        yield child
    yield from (part for part in (widget.layout, getattr(widget, "style", None)) if part is not None)
