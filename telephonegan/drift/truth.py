"""The truth anchor: how near captions are to what people wrote about the photograph that the game began with.

Similarity to round 0 takes the captioner's first sentence for the truth, with all its mistakes. People are the better
anchor, and they do not agree either: what one of them has in common with the others is as near as a person comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from telephonegan.drift.statistics import Estimate, Resamples
from telephonegan.drift.tracks import Track, Words
from telephonegan.errors import DataError

Compare = Callable[[Sequence[Words], Sequence[Words]], np.ndarray]
LEAST_SOURCES = 10
LEAST_PEOPLE = 2


@dataclass(frozen=True, eq=False)
class TruthAnchor:
    """Similarity to people's captions, round by round.

    - `near` (T,) in `rounds`, from round 0 on: the mean over all people but one, each left out in turn.
    - `people`: the same for the caption of the person left out, as near as a person comes; `short` (T,): how far a
      round falls short of that.
    - `by_chance` (T,): people's captions of another photograph, the one half of the list of names further on, because
      neighbours by name are often of one kind.
    """

    rounds: np.ndarray
    sources: int
    near: Estimate
    people: Estimate
    short: Estimate
    by_chance: Estimate


def truth_anchor(
    tracks: Sequence[Track], compare: Compare, *, best: bool = False, resamples: int = 2000
) -> TruthAnchor:
    """Compare the captions of every round with what people wrote, one person left out in turn.

    `compare` takes N later and N earlier captions, as `text_measures.content_f1` does. With `best` the nearest of the
    remaining people counts instead of their mean; leaving one out then keeps their number the same for games and
    people. Games of photographs without captions of two people are left out. Raises DataError if fewer than ten
    photographs are left.

    >>> truth_anchor(tracks, semantic_cosine).people.value  # doctest: +SKIP
    """
    known = [track for track in tracks if len(track.references) >= LEAST_PEOPLE]
    sources = sorted({track.source for track in known})
    if len(sources) < LEAST_SOURCES:
        raise DataError(
            f"A truth anchor needs {LEAST_SOURCES} photographs with captions of {LEAST_PEOPLE} people or more; there "
            f"are {len(sources)}. Give the folder of the captions, with --data."
        )
    people = {track.source: track.references for track in known}
    half = len(sources) // 2
    stranger = dict(zip(sources, [*sources[half:], *sources[:half]], strict=True))
    rounds = sorted({turn.round for track in known for turn in track.turns})
    asked: dict[tuple[Words, Words], None] = {}
    for track in known:
        for turn in track.turns:
            for source in (track.source, stranger[track.source]):
                asked.update(dict.fromkeys((turn.words, words) for words in people[source]))
    for captions in people.values():
        asked.update(dict.fromkeys((a, b) for i, a in enumerate(captions) for j, b in enumerate(captions) if i != j))
    pairs = list(asked)
    values = compare([first for first, _ in pairs], [second for _, second in pairs])
    alike = dict(zip(pairs, np.asarray(values, dtype=float).tolist(), strict=True))
    pick = np.max if best else np.mean

    def near(words: Words, captions: Sequence[Words]) -> float:
        each = np.array([alike[words, other] for other in captions])
        return float(np.mean([pick(np.delete(each, i)) for i in range(len(each))]))

    def person(captions: Sequence[Words]) -> float:
        left_out = (
            pick([alike[said, other] for j, other in enumerate(captions) if j != i]) for i, said in enumerate(captions)
        )
        return float(np.mean(list(left_out)))

    own, chance = (np.full((len(known), len(rounds)), np.nan) for _ in range(2))
    of_people = np.array([person(people[track.source]) for track in known])
    for i, track in enumerate(known):
        for turn in track.turns:
            t = rounds.index(turn.round)
            own[i, t] = near(turn.words, people[track.source])
            chance[i, t] = near(turn.words, people[stranger[track.source]])
    drawn = Resamples([track.source for track in known], resamples)
    return TruthAnchor(
        np.array(rounds),
        len(sources),
        drawn.estimate(drawn.means(own)),
        drawn.estimate(drawn.means(of_people)),
        drawn.estimate(drawn.means(of_people[:, None] - own)),
        drawn.estimate(drawn.means(chance)),
    )
