"""Many chains at one glance: what each began with, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure, SubFigure

from telephonegan.drift.tracks import Track
from telephonegan.errors import SettingsError
from telephonegan.figures.style import styled
from telephonegan.figures.tiles import Tile, draw_tiles


@styled
def image_grid(
    tracks: Sequence[Track], figure: Figure | SubFigure | None = None, *, pairs: int = 2
) -> Figure | SubFigure:
    """The first and the last round of each chain side by side, `pairs` of them in a row; returns the figure.

    Captions stand beneath, the number of the last round before its own. Raises SettingsError for no chains.
    """
    if not tracks or pairs < 1:
        raise SettingsError(
            f"{len(tracks)} chains and {pairs} pairs in a row were given. Needed: one of each at least."
        )
    tiles = [
        tile
        for track in tracks
        for tile in (
            Tile(track.turns[0].picture, " ".join(track.turns[0].words)),
            Tile(track.turns[-1].picture, " ".join(track.turns[-1].words), str(track.turns[-1].round), arrow=True),
        )
    ]
    width = 2 * min(pairs, len(tracks))
    return draw_tiles([tiles[i : i + width] for i in range(0, len(tiles), width)], figure)
