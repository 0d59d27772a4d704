"""One chain, round by round."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure, SubFigure

from telephonegan.drift.tracks import Track
from telephonegan.errors import SettingsError
from telephonegan.figures.style import column_width, styled
from telephonegan.figures.tiles import Tile, draw_tiles

_NARROWEST = 0.75


@styled
def film_strip(
    track: Track, figure: Figure | SubFigure | None = None, *, rounds: Sequence[int] | None = None, columns: int = 0
) -> Figure | SubFigure:
    """The pictures of a chain with round and caption beneath, in reading order; returns the figure.

    `rounds` picks some (all by default); at most `columns` stand in a row (0: as many as are 0.75 inches wide). A round
    without a picture shows its words in its place. Raises SettingsError for rounds that the chain does not have, and
    for a given figure that is too low.

    >>> film_strip(track, rounds=[0, 1, 2, 8])  # doctest: +SKIP
    """
    turns = {turn.round: turn for turn in track.turns}
    wanted = list(turns) if rounds is None else list(rounds)
    if not wanted or not set(wanted) <= set(turns):
        raise SettingsError(f"The rounds {wanted} were asked for. The chain {track.chain} has {sorted(turns)}.")
    width = column_width() if figure is None else figure.bbox.width / figure.dpi
    most = columns if columns > 0 else max(1, int(width / _NARROWEST))
    columns = -(-len(wanted) // -(-len(wanted) // most))  # rows as even as can be
    tiles = [Tile(turns[i].picture, " ".join(turns[i].words), str(i)) for i in wanted]
    return draw_tiles([tiles[i : i + columns] for i in range(0, len(tiles), columns)], figure)
