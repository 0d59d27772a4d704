"""Whether chains become alike: the captions that are left, and how far apart captions and pictures are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from telephonegan.drift.tracks import Track, Words
from telephonegan.errors import DataError

Distance = Callable[[Sequence[Words], Sequence[Words]], np.ndarray]


@dataclass(frozen=True)
class CaptionDiversity:
    """The captions of all `chains` in one round.

    `unique` counts different captions (1 to chains; 1: all say the same). Chains of one source begin with one caption,
    so rounds are compared by the chains of one seed: `unique_per_seed` is the mean over seeds of `unique`, `effective`
    that of the exponential of the entropy of captions (1 to chains of a seed), how many equally common ones would be as
    diverse. `distance` is the mean over pairs of chains of different sources (NaN without such pairs). `share` is the
    part of the chains that say the `commonest` caption (1/chains to 1; of equally common ones the first in alphabetical
    order).
    """

    round: int
    chains: int
    unique: int
    unique_per_seed: float
    effective: float
    distance: float
    share: float
    commonest: Words


def caption_diversity(tracks: Sequence[Track], distance: Distance) -> list[CaptionDiversity]:
    """The diversity of captions round by round; `distance` (N,) of N pairs is symmetric, and 0 for equal captions.

    >>> from telephonegan.drift.tracks import Turn
    >>> tracks = [Track(name, name, 0, (Turn(0, ("a", "dog")),)) for name in "xy"]
    >>> caption_diversity(tracks, lambda a, b: np.array(a) != np.array(b))[0].share
    1.0
    """
    said = defaultdict(list)
    for track in tracks:
        for turn in track.turns:
            said[turn.round].append((track.source, track.seed, turn.words))
    return [_of_round(number, said[number], distance) for number in sorted(said)]


@dataclass(frozen=True)
class PictureDiversity:
    """The pictures of one round, of which there are `pictures`, one for each chain that has one.

    `distance` is the mean of 1 - cosine of their features over pairs of chains of different sources: 0 where all show
    the same, at most 2, or 1 for features that are never negative; NaN without such pairs. Higher is more diverse.
    """

    round: int
    pictures: int
    distance: float


def picture_diversity(
    tracks: Sequence[Track], features_of: Callable[[Sequence[Image.Image]], np.ndarray]
) -> list[PictureDiversity]:
    """The diversity of pictures in every round that has some; `features_of` gives a row (N,D) to each of N pictures.

    All pairs count, however many they are. Compare painted rounds with each other: photographs in round 0 differ more.

    >>> from telephonegan.drift.tracks import Turn
    >>> tracks = [Track(name, name, 0, (Turn(0, (), Image.new("L", (1, 1))),)) for name in "xy"]
    >>> picture_diversity(tracks, lambda pictures: np.eye(len(pictures)))
    [PictureDiversity(round=0, pictures=2, distance=1.0)]
    """
    shown = defaultdict(list)
    for track in tracks:
        for turn in track.turns:
            if turn.picture is not None:
                shown[turn.round].append((track.source, turn.picture))
    return [
        PictureDiversity(number, len(sources), mean_cosine_distance(features_of(pictures), sources))
        for number, (sources, pictures) in ((number, zip(*shown[number], strict=True)) for number in sorted(shown))
    ]


def mean_cosine_distance(features: np.ndarray, sources: Sequence[str]) -> float:
    """The mean of 1 - cosine over pairs of different sources, 0 (all alike) to 2; `features` (N,D) of N pictures.

    NaN without such pairs. Raises DataError for features that are zero throughout.

    >>> mean_cosine_distance(np.array([[1.0, 0.0], [0.0, 2.0]]), ["a", "b"])
    1.0
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if len(features) != len(sources) or not (lengths > 0).all():
        raise DataError(
            f"Features of shape {np.shape(features)} and {len(sources)} sources were given. Needed: one row for each "
            "source, none of them zero."
        )
    unit = features / lengths
    _, which = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    sums = np.zeros((which.max() + 1, unit.shape[1]))
    np.add.at(sums, which, unit)
    # Over ordered pairs: all of them less those within a source, of which the sums of vectors know the cosines.
    pairs = len(unit) ** 2 - int((np.bincount(which) ** 2).sum())
    cosines = float((sums.sum(0) ** 2).sum() - (sums**2).sum())
    return 1 - cosines / pairs if pairs else float("nan")


def _of_round(number: int, said: Sequence[tuple[str, int, Words]], distance: Distance) -> CaptionDiversity:
    counts = Counter(words for _, _, words in said)
    commonest = min(counts, key=lambda words: (-counts[words], words))
    of_seed: dict[int, Counter[Words]] = defaultdict(Counter)
    for _, seed, words in said:
        of_seed[seed][words] += 1
    return CaptionDiversity(
        number,
        len(said),
        len(counts),
        float(np.mean([len(each) for each in of_seed.values()])),
        float(np.mean([_effective([*each.values()]) for each in of_seed.values()])),
        _mean_distance([(source, words) for source, _, words in said], distance),
        counts[commonest] / len(said),
        commonest,
    )


def _effective(counts: Sequence[int]) -> float:
    shares = np.array(counts) / sum(counts)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _mean_distance(said: Sequence[tuple[str, Words]], distance: Distance) -> float:
    """Equal captions are compared once: late rounds have few different ones and many chains."""
    captions = {words: i for i, words in enumerate(dict.fromkeys(words for _, words in said))}
    sources = {source: i for i, source in enumerate(dict.fromkeys(source for source, _ in said))}
    table = np.zeros((len(sources), len(captions)))
    for source, words in said:
        table[sources[source], captions[words]] += 1
    counts = table.sum(0)
    pairs = np.outer(counts, counts) - table.T @ table
    if not pairs.any():
        return float("nan")
    names = list(captions)
    first, second = np.nonzero(np.triu(pairs, 1))
    apart = distance([names[i] for i in first], [names[j] for j in second]) if len(first) else np.zeros(0)
    return float(2 * (pairs[first, second] * apart).sum() / pairs.sum())
