"""Going through the rounds of a game: a slider, and a Play button that moves it."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets

from telephonegan.widgets.view import MAX_WIDTH

MILLISECONDS = 1200  # for each round, as in the animations of a chain


class RoundSlider(ipywidgets.HBox):
    """`slider` and `play` over the rounds 0 to `last`, linked in the browser; `slider.value` is the round.

    The arrow keys move the slider where it has the focus; space presses the button that has it.
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
    """A slider from 0 to `last` that calls `show` with its value; disabled where there is but one."""
    # The slider in the browser refuses a range of one value.
    slider = ipywidgets.IntSlider(max=max(1, last), disabled=last == 0, description=description, tooltip=description)
    slider.layout.flex, slider.layout.width = "1 1 auto", "auto"
    slider.observe(lambda change: show(min(change["new"], last)), "value")
    return slider
