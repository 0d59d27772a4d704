"""What a similarity is worth: how alike unrelated chains are, and how alike two tellings of one thing can be.

Floor and ceiling are measured like everything else: the functions below make tracks whose later rounds come from an
unrelated chain, or are other human captions or other paintings. `similarities` of these, compared with the start, are
floor and ceiling. Give `similarities` the document frequency of the real chains, so that tf-idf weighs words as it did
for those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from telephonegan.drift.tracks import Track, Turn
from telephonegan.errors import DataError


def unrelated(tracks: Sequence[Track], seed: int = 0) -> list[Track]:
    """The floor: every chain's start, followed by the rounds of a chain that began with something else.

    One chain for each given, under its name; the partner's source is drawn with `seed`, and its chain has the same seed
    where there is one. Compare with the start, from round 1 on. Raises DataError for fewer than two sources.
    """
    chains = defaultdict(list)
    for track in tracks:
        chains[track.source].append(track)
    if len(chains) < 2:
        raise DataError(f"A floor needs chains of two sources or more; {len(chains)} was given.")
    order = np.random.default_rng(seed).permutation(sorted(chains)).tolist()
    partner = dict(zip(order, [*order[1:], order[0]], strict=True))
    others = {track.chain: _of_seed(chains[partner[track.source]], track.seed) for track in tracks}
    return [replace(track, turns=(track.turns[0], *others[track.chain].turns[1:]), references=()) for track in tracks]


def other_captions(tracks: Sequence[Track]) -> list[Track]:
    """The ceiling of meaning in words: every chain's start, followed by the other human captions, one to a round.

    For measures from text or image to text. The mean over the rounds is the chain's ceiling; chains without references
    are left out.
    """
    return [
        replace(track, turns=(track.turns[0], *(Turn(i, words, None) for i, words in enumerate(track.references, 1))))
        for track in tracks
        if track.references
    ]


def repaintings(tracks: Sequence[Track]) -> list[Track]:
    """The ceiling of pictures: the first painting of a chain, followed by another seed's painting of the same caption.

    For measures from image or text to image. Chains without another seed, or without pictures, are left out.
    """
    chains = defaultdict(list)
    for track in sorted(tracks, key=lambda track: track.seed):
        if len(track.turns) > 1 and track.turns[1].picture is not None:
            chains[track.source, track.turns[0].words].append(track)
    return [
        replace(track, turns=(_painting(track, 0), _painting(other, 1)), references=())
        for group in chains.values()
        if len(group) > 1
        for track, other in zip(group, [*group[1:], group[0]], strict=True)
    ]


def _painting(track: Track, number: int) -> Turn:
    return Turn(number, track.turns[0].words, track.turns[1].picture)


def _of_seed(tracks: Sequence[Track], seed: int) -> Track:
    return next((track for track in tracks if track.seed == seed), tracks[0])
