"""A grid of pictures, one of them enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from telephonegan import strips
from telephonegan.errors import SettingsError
from telephonegan.results import Caption, Picture
from telephonegan.viewer import gallery_data, tell_apart
from telephonegan.widgets.view import Keepsake, View, figure_keepsakes, picture_keepsake

MOST = 200
_STILL = 48  # as many as a strip of a chain shows
_TILES_PER_ROW = 6


class Gallery(View):
    """Painted pictures or captioned ones; a click, or the arrow keys, enlarge another.

    Raises SettingsError for no pictures, for more than 200, and for a caption without its picture.

    >>> Gallery(tg.generate("a dog on the beach", n=12))  # doctest: +SKIP
    """

    def __init__(self, pictures: Picture | Caption | Sequence[Picture | Caption]) -> None:
        self._pictures = [pictures] if isinstance(pictures, Picture | Caption) else list(pictures)
        _check(self._pictures)
        super().__init__(gallery_data(self._pictures))

    def still(self) -> tuple[Image.Image, str]:
        """The pictures with their texts, at most the first 48."""
        tiles = self._tiles()
        return strips.strip(tiles), "; ".join(tile.text for tile in tiles)

    def keepsakes(self) -> Sequence[Keepsake]:
        """All pictures with their texts, as a picture and as figures for print."""
        return picture_keepsake("gallery", lambda: self.still()[0]), *figure_keepsakes("gallery", self._figure)

    def _tiles(self) -> list[strips.Tile]:
        by_seed = tell_apart([each.seed for each in self._pictures])
        numbered = enumerate(self._pictures[:_STILL], 1)
        return [strips.Tile(each.image, each.text, f"{each.seed if by_seed else i}") for i, each in numbered]

    def _figure(self) -> Any:
        from telephonegan.figures.tiles import draw_tiles

        tiles = self._tiles()
        return draw_tiles([tiles[i : i + _TILES_PER_ROW] for i in range(0, len(tiles), _TILES_PER_ROW)])


def _check(pictures: Sequence[Picture | Caption]) -> None:
    if not 1 <= len(pictures) <= MOST:
        raise SettingsError(f"{len(pictures)} pictures were given. A gallery shows 1 to {MOST}: give fewer.")
    strange = [shown for shown in pictures if not isinstance(shown, Picture | Caption)]
    if strange:
        raise SettingsError(f"A gallery shows results of tg.generate and tg.caption, not {type(strange[0]).__name__}.")
    without = [i for i, shown in enumerate(pictures) if shown.image is None]
    if without:
        raise SettingsError(f"Caption {without[0]} has no picture, so there is nothing to show. Leave it out.")
