"""Attention of one result, word by word: where a captioner looked, or where a generator painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from telephonegan import strips
from telephonegan.attention_pictures import attention_picture
from telephonegan.errors import SettingsError
from telephonegan.results import Caption, Picture
from telephonegan.viewer import result_data
from telephonegan.widgets.view import Keepsake, View, figure_keepsakes, picture_keepsake

_TILES_PER_ROW = 6


class AttentionViewer(View):
    """A caption or painted picture with the attention map of the word that is chosen or pointed at.

    Pointing at the picture lights up the words that looked there. `maps` replaces the result's own attention by named
    arrays (L,H,W), one map per word, not negative: both stages of a generator, or gradients for a captioner without
    attention. They are shown side by side.
    A caption's map is brightest where the captioner looked most. In a painting the words share every pixel, so the map
    is stretched from the smallest to the largest share, which are shown below.
    Raises SettingsError without a picture, words or maps, and if the maps do not match the words.

    >>> AttentionViewer(tg.caption("bear.jpg"))  # doctest: +SKIP
    >>> AttentionViewer(caption, maps={"gradient": saliency(captioner, caption)})  # doctest: +SKIP
    """

    def __init__(self, result: Caption | Picture, *, maps: Mapping[str, np.ndarray] | None = None) -> None:
        self._result, self._maps = result, _checked(result, {"attention": result.attention} if maps is None else maps)
        super().__init__(result_data(result, self._maps))

    def still(self) -> tuple[Image.Image, str]:
        """The picture, and beside it the maps of the word that is shown first."""
        word = self.data["chosen"]
        shown = [strips.overlay(self._result.image, self._light(seen[word])) for seen in self._maps.values()]
        sheet = strips.beside([strips.scaled(each, strips.TILE) for each in (self._result.image, *shown)])
        return sheet, f"Where “{self._result.words[word]}” of “{' '.join(self._result.words)}” belongs"

    def keepsakes(self) -> Sequence[Keepsake]:
        """All words with their maps, as a picture and as figures for print."""
        return picture_keepsake("attention", self._sheet), *figure_keepsakes("attention", self._figure)

    def _sheet(self) -> Image.Image:
        """For a caption every word with its map; for a painting the five clearest words, as AttnGAN draws them."""
        seen, words = [*self._maps.values()][-1], self._result.words
        if isinstance(self._result, Picture):
            return attention_picture(self._result.image, seen, words)
        return strips.attention_sheet(self._result.image, words, seen, self._result.probabilities)

    def _light(self, seen: np.ndarray) -> np.ndarray:
        """A map as it is drawn: shares of a painting from their lowest on."""
        return seen - seen.min() if isinstance(self._result, Picture) else seen

    def _figure(self) -> Any:
        from telephonegan.figures.tiles import draw_tiles

        seen, sure = [*self._maps.values()][-1], getattr(self._result, "probabilities", ())
        notes = [f"{each:.0%}" for each in sure] or [""] * len(self._result.words)
        tiles = [
            strips.Tile(strips.overlay(self._result.image, self._light(each)), note, word)
            for each, note, word in zip(seen, notes, self._result.words, strict=True)
        ]
        return draw_tiles([tiles[i : i + _TILES_PER_ROW] for i in range(0, len(tiles), _TILES_PER_ROW)])


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
