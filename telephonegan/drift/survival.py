"""What survives: the words of the start that are still said, by kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from telephonegan.drift.curves import Curves
from telephonegan.drift.tracks import Track


def survival(tracks: Sequence[Track], kind_of: Callable[[str], str | None]) -> dict[str, Curves]:
    """For each kind, the share (0 to 1) of a chain's words of round 0 that its caption of round t holds.

    `kind_of` gives a word's kind, or None for words that do not count. A chain that began without a word of a kind is
    NaN there; kinds that no chain began with are left out. Kinds are sorted by name, chains as given.

    >>> from telephonegan.drift.tracks import Turn
    >>> track = Track("x", "x", 0, (Turn(0, ("red", "dog")), Turn(1, ("a", "dog"))))
    >>> survival([track], {"red": "colour", "dog": "object"}.get)["colour"].values
    array([[1., 0.]])
    """
    kinds = sorted({kind for track in tracks for kind in map(kind_of, track.turns[0].words) if kind is not None})
    rounds = sorted({turn.round for track in tracks for turn in track.turns})
    names, sources = tuple(track.chain for track in tracks), tuple(track.source for track in tracks)
    return {
        kind: Curves(names, sources, np.array(rounds), np.array([_shares(t, kind, rounds, kind_of) for t in tracks]))
        for kind in kinds
    }


def _shares(track: Track, kind: str, rounds: Sequence[int], kind_of: Callable[[str], str | None]) -> list[float]:
    start = {word for word in track.turns[0].words if kind_of(word) == kind}
    said = {turn.round: start.intersection(turn.words) for turn in track.turns}
    return [len(said[number]) / len(start) if start and number in said else float("nan") for number in rounds]
