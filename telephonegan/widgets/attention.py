"""Attention of one result, word by word: where a captioner looked, or where a generator painted."""

from __future__ import annotations

from collections.abc import Mapping

import ipywidgets
import numpy as np
from PIL import Image

from telephonegan import strips
from telephonegan.attention_pictures import attention_picture
from telephonegan.drift import content_words
from telephonegan.errors import SettingsError
from telephonegan.results import Caption, Picture
from telephonegan.widgets.caption_html import card_html, faint_html
from telephonegan.widgets.frames import SIDE, DescribedImage, kept, overlay_png, picture_png
from telephonegan.widgets.view import View, WordChooser


class AttentionViewer(View):
    """A caption or painted picture with the attention map of the word selected in `words` (index `words.index`).

    `maps` replaces the result's own attention by named arrays (L,H,W), one map per word, not negative: both stages of a
    generator, or gradients for a captioner without attention. They are shown side by side.
    A caption's map is brightest where the captioner looked most. In a painting the words share every pixel, so the map
    is stretched from the smallest to the largest share, which are shown below.
    Raises SettingsError without a picture, words or maps, and if the maps do not match the words.

    >>> AttentionViewer(tg.caption("bear.jpg"))  # doctest: +SKIP
    >>> AttentionViewer(caption, maps={"gradient": saliency(captioner, caption)})  # doctest: +SKIP
    """

    def __init__(self, result: Caption | Picture, *, maps: Mapping[str, np.ndarray] | None = None) -> None:
        self._result, self._maps = result, _checked(result, {"attention": result.attention} if maps is None else maps)
        self.picture = DescribedImage(SIDE, SIDE)
        self.picture.show(picture_png(result.image), f"The picture, “{result.text}”")
        self.overlays = {name: DescribedImage(SIDE, SIDE) for name in self._maps}
        self.notes = {name: ipywidgets.HTML(layout=ipywidgets.Layout(height="40px")) for name in self._maps}
        self.words = WordChooser(self._show_word)
        self._overlay_png = kept(self._overlaid)
        first = result.words.index([*content_words(result.words), result.words[0]][0])
        self.words.offer(result.words, first)
        self._show_word(first)
        columns = [ipywidgets.VBox([self.overlays[name], self.notes[name]]) for name in self._maps]
        wrapped = ipywidgets.Layout(flex_flow="row wrap", grid_gap="8px")
        super().__init__([self.words, ipywidgets.Box([self.picture, *columns], layout=wrapped)])

    def still(self) -> tuple[Image.Image, str]:
        """For a caption every word with its map; for a painting the five clearest words, as AttnGAN draws them."""
        seen, words = [*self._maps.values()][-1], self._result.words
        if isinstance(self._result, Picture):
            sheet = attention_picture(self._result.image, seen, words)
        else:
            sheet = strips.attention_sheet(self._result.image, words, seen, self._result.probabilities)
        return sheet, f"Where each word of “{' '.join(words)}” belongs"

    def _show_word(self, word: int | None) -> None:
        if word is None:
            return
        for name, overlay in self.overlays.items():
            overlay.show(self._overlay_png(name, word), f"{name}: where “{self._result.words[word]}” belongs")
            self.notes[name].value = self._note(name, word)

    def _overlaid(self, name: str, word: int) -> bytes:
        seen = self._maps[name][word]
        return overlay_png(self._result.image, seen - seen.min() if self._is_painted else seen)

    def _note(self, name: str, word: int) -> str:
        seen = self._maps[name][word]
        size = f"{seen.shape[1]} × {seen.shape[0]}"
        shares = f", {seen.min():.1%} to {seen.max():.1%}" if self._is_painted else ""
        return card_html(faint_html(f"{name} · {size}{shares}"))

    @property
    def _is_painted(self) -> bool:
        return isinstance(self._result, Picture)


def _checked(result: Caption | Picture, maps: Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray]:
    if result.image is None or not result.words:
        raise SettingsError("There is nothing to show: the result has no picture or no words.")
    if not maps or any(seen is None for seen in maps.values()):
        raise SettingsError(
            "This result has no attention: not every model has it. For a caption give "
            "maps={'gradient': telephonegan.saliency.saliency(captioner, caption)}."
        )
    arrays = {name: np.asarray(seen, dtype=np.float32) for name, seen in maps.items()}
    shapes = {name: seen.shape for name, seen in arrays.items()}
    if any(len(shape) != 3 or shape[0] != len(result.words) for shape in shapes.values()):
        raise SettingsError(f"{len(result.words)} words need maps ({len(result.words)},H,W); {shapes} was given.")
    return arrays
