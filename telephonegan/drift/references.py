"""What a similarity is compared with: chance, and other comparisons of a known kind. None of them is a bound.

*Chance* is the similarity of unrelated chains: the start of one, and a round of a chain that began with another source.
`all_pairs` uses every pair of sources, which costs little for captions; `unrelated` pairs each source with one other,
for measures that look at pictures.

The *references* are named after what they compare, see `REFERENCES`: for example a caption, and what people wrote about
the same photograph. Each is a function that makes tracks whose later rounds are compared with their start, so that
`similarities` measures them like chains. Give it the document frequency of the real chains, so that tf-idf has the same
weights.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from telephonegan.drift.tracks import Track, Turn, Words
from telephonegan.errors import DataError

_AT_ONCE = 50_000


def all_pairs(
    tracks: Sequence[Track],
    compare: Callable[[Sequence[Words], Sequence[Words]], np.ndarray],
    *,
    rounds: Sequence[int] | np.ndarray,
) -> np.ndarray:
    """`compare` of the start of source i with the captions of source j in each of `rounds`: (S,S,T).

    Sources are in alphabetical order; a value is the mean over the seeds that both have, NaN if there are none.
    `compare` takes N earlier and N later captions and returns N values. The diagonal compares chains with themselves;
    `Resamples.pair_means` leaves it out.

    >>> tracks = [Track(name, name, 0, (Turn(0, (name,)), Turn(1, ("a",)))) for name in "ab"]
    >>> all_pairs(tracks, lambda first, then: np.array(first) == np.array(then), rounds=[1])[:, :, 0].tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    starts = {words: i for i, words in enumerate(dict.fromkeys(track.turns[0].words for track in tracks))}
    wanted = set(np.asarray(rounds).tolist())
    later = dict.fromkeys(turn.words for track in tracks for turn in track.turns if turn.round in wanted)
    column = {words: i for i, words in enumerate(later)}
    table = _table(list(starts), list(column), compare)
    place = {source: i for i, source in enumerate(sorted({track.source for track in tracks}))}
    sums, counts = (np.zeros((len(place), len(place), len(rounds))) for _ in range(2))
    for seed in {track.seed for track in tracks}:
        mine = [track for track in tracks if track.seed == seed]
        first = [starts[track.turns[0].words] for track in mine]
        rows = [place[track.source] for track in mine]
        for t, number in enumerate(np.asarray(rounds).tolist()):
            said = {place[track.source]: turn.words for track in mine for turn in track.turns if turn.round == number}
            values = table[np.ix_(first, [column[words] for words in said.values()])]
            cells = np.ix_(rows, list(said))
            sums[..., t][cells] += np.nan_to_num(values)
            counts[..., t][cells] += ~np.isnan(values)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def strangers(sources: Sequence[str], seed: int = 0) -> dict[str, str]:
    """A different source for each source, each used once. Raises DataError for fewer than two sources."""
    names = sorted(set(sources))
    if len(names) < 2:
        raise DataError(f"Chance needs chains of at least two sources; {len(names)} was given.")
    order = np.random.default_rng(seed).permutation(names).tolist()
    return dict(zip(order, [*order[1:], order[0]], strict=True))


def unrelated(tracks: Sequence[Track], seed: int = 0) -> list[Track]:
    """Chance, from one pair for each chain: its start, followed by the rounds of a chain of another source.

    There is one track for each chain, with its name. The other source is sampled with `seed` (see `strangers`), and its
    chain has the same seed if there is one. Raises DataError for fewer than two sources.
    """
    chains = defaultdict(list)
    for track in tracks:
        chains[track.source].append(track)
    partner = strangers(list(chains), seed)
    others = {track.chain: _of_seed(chains[partner[track.source]], track.seed) for track in tracks}
    return [replace(track, turns=(track.turns[0], *others[track.chain].turns[1:]), references=()) for track in tracks]


def other_captions(tracks: Sequence[Track]) -> list[Track]:
    """The start of each chain, followed by human captions of the photograph, one per round.

    Chains without human captions are left out.
    """
    return [
        replace(track, turns=(track.turns[0], *(Turn(i, words, None) for i, words in enumerate(track.references, 1))))
        for track in tracks
        if track.references
    ]


def people(tracks: Sequence[Track]) -> list[Track]:
    """Each person's caption of a photograph, followed by those of the others, for every source with at least two."""
    sources = {track.source: track.references for track in tracks if len(track.references) > 1}
    return [
        Track(
            f"{source}-person{i}",
            source,
            0,
            (Turn(0, said), *(Turn(k, other) for k, other in enumerate(_without(captions, i), 1))),
        )
        for source, captions in sources.items()
        for i, said in enumerate(captions)
    ]


def own_captions(tracks: Sequence[Track]) -> list[Track]:
    """Round 0 followed by itself: a photograph and the captioner's caption of it."""
    return [
        replace(track, turns=(track.turns[0], replace(track.turns[0], round=1)), references=())
        for track in tracks
        if track.turns[0].picture is not None
    ]


def repaintings(tracks: Sequence[Track]) -> list[Track]:
    """The first painting of a chain, followed by a painting of the same caption with another seed.

    Chains without another seed or without pictures are left out.
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


@dataclass(frozen=True)
class Reference:
    """A comparison for curves of measures of some `directions`; `tracks` makes the tracks to be compared."""

    name: str
    directions: tuple[str, ...]
    tracks: Callable[[Sequence[Track]], list[Track]]


REFERENCES = (
    Reference("captioner against person", ("text→text",), other_captions),
    Reference("person against person", ("text→text",), people),
    Reference("photograph and a person's caption", ("image→text",), other_captions),
    Reference("photograph and its own caption", ("image→text", "text→image"), own_captions),
    Reference("two paintings of one caption", ("image→image",), repaintings),
)


def _table(first: list[Words], later: list[Words], compare: Callable[..., np.ndarray]) -> np.ndarray:
    table = np.empty((len(first), len(later)))
    step = max(1, _AT_ONCE // max(1, len(later)))
    for start in range(0, len(first), step):
        part = first[start : start + step]
        pairs = [words for words in part for _ in later], [words for _ in part for words in later]
        table[start : start + step] = np.reshape(compare(*pairs), (len(part), len(later)))
    return table


def _without(captions: Sequence[Words], place: int) -> Sequence[Words]:
    return [*captions[:place], *captions[place + 1 :]]


def _painting(track: Track, number: int) -> Turn:
    return Turn(number, track.turns[0].words, track.turns[1].picture)


def _of_seed(tracks: Sequence[Track], seed: int) -> Track:
    return next((track for track in tracks if track.seed == seed), tracks[0])
