"""A grid of pictures, one of them enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape

import ipywidgets
from PIL import Image

from telephonegan import strips
from telephonegan.errors import SettingsError
from telephonegan.results import Caption, Picture
from telephonegan.widgets.caption_html import card_html, faint_html
from telephonegan.widgets.frames import DescribedImage, kept, picture_png
from telephonegan.widgets.view import View, index_slider

MOST = 200  # each takes half a dozen widgets in the browser
_LARGE, _SMALL = 384, 112
_STILL = 48  # as many as a strip of a chain shows


class Gallery(View):
    """Painted pictures or captioned ones; `slider.value` is the enlarged one, which a click also selects.

    With the focus, arrow keys move the slider. Raises SettingsError for no pictures, for more than 200, and for a
    caption without its picture.

    >>> Gallery(tg.generate("a dog on the beach", n=12))  # doctest: +SKIP
    """

    def __init__(self, pictures: Picture | Caption | Sequence[Picture | Caption]) -> None:
        self._pictures = [pictures] if isinstance(pictures, Picture | Caption) else list(pictures)
        _check(self._pictures)
        self.picture = DescribedImage(_LARGE, _LARGE)
        self.caption = ipywidgets.HTML(layout=ipywidgets.Layout(height="92px", overflow="auto", width=f"{_LARGE}px"))
        self.slider = index_slider(len(self._pictures) - 1, "picture", self._show)
        self.buttons = [self._button(i) for i in range(len(self._pictures))]
        self._large_png = kept(lambda index: picture_png(self._pictures[index].image, _LARGE))
        self._show(0)
        cells = ipywidgets.Layout(flex_flow="row wrap", flex="1 1 300px", height=f"{_LARGE + 130}px", overflow="auto")
        cells.align_content = "flex-start"
        grid = ipywidgets.Box([self._cell(i) for i in range(len(self._pictures))], layout=cells)
        large = ipywidgets.VBox([self.slider, self.picture, self.caption], layout=ipywidgets.Layout(flex="0 0 auto"))
        super().__init__([ipywidgets.Box([large, grid], layout=ipywidgets.Layout(flex_flow="row wrap"))])

    def still(self) -> tuple[Image.Image, str]:
        """The pictures with their texts, at most the first 48."""
        shown = self._pictures[:_STILL]
        tiles = [strips.Tile(shown_one.image, shown_one.text, str(i)) for i, shown_one in enumerate(shown)]
        return strips.strip(tiles), "; ".join(tile.text for tile in tiles)

    def _show(self, index: int) -> None:
        shown = self._pictures[index]
        self.picture.show(self._large_png(index), f"Picture {index}: {shown.text}")
        seed = "" if shown.seed is None else f"seed {shown.seed}"
        note = " · ".join(part for part in (f"{index + 1} of {len(self._pictures)}", seed, shown.model) if part)
        self.caption.value = card_html(f"{faint_html(note)}<br>{escape(shown.text)}")

    def _button(self, index: int) -> ipywidgets.Button:
        layout = ipywidgets.Layout(width=f"{_SMALL}px", height="26px")
        button = ipywidgets.Button(description=f"{index} {self._pictures[index].text}", layout=layout)
        button.on_click(partial(self._choose, index))
        return button

    def _choose(self, index: int, _: ipywidgets.Button) -> None:
        self.slider.value = index

    def _cell(self, index: int) -> ipywidgets.VBox:
        thumbnail = DescribedImage(_SMALL, _SMALL)
        thumbnail.show(picture_png(self._pictures[index].image, _SMALL), self._pictures[index].text)
        return ipywidgets.VBox([thumbnail, self.buttons[index]], layout=ipywidgets.Layout(flex="0 0 auto"))


def _check(pictures: Sequence[Picture | Caption]) -> None:
    if not 1 <= len(pictures) <= MOST:
        raise SettingsError(f"{len(pictures)} pictures were given. A gallery shows 1 to {MOST}: give fewer.")
    strange = [shown for shown in pictures if not isinstance(shown, Picture | Caption)]
    if strange:
        raise SettingsError(f"A gallery shows results of tg.generate and tg.caption, not {type(strange[0]).__name__}.")
    without = [i for i, shown in enumerate(pictures) if shown.image is None]
    if without:
        raise SettingsError(f"Caption {without[0]} has no picture, so there is nothing to show. Leave it out.")
