"""Whether chains become alike: the number of different captions, and distances between captions and pictures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from telephonegan.drift.tracks import Track, Words
from telephonegan.errors import DataError

Distance = Callable[[Sequence[Words], Sequence[Words]], np.ndarray]

_AT_ONCE = 50_000


@dataclass(frozen=True)
class CaptionDiversity:
    """The diversity of the captions of all `chains` in one round.

    `unique` is the number of different captions, from 1 to `chains`. `share` is the share of chains with the
    `commonest` caption; of equally common ones, the first in alphabetical order.

    Chains of one source begin with the same caption, so rounds are compared by the chains of one seed, of which there
    are `per_seed`. These are means over the seeds:

    - `unique_per_seed`: the number of different captions.
    - `effective`: the effective number of captions, exp(entropy). It cannot exceed the number of chains, so it says
      little if most captions occur once.
    - `chao_shen`: the same with the entropy from `chao_shen_entropy`, which allows for unseen captions; NaN if every
      caption occurs once.
    """

    round: int
    chains: int
    per_seed: float
    unique: int
    unique_per_seed: float
    effective: float
    chao_shen: float
    share: float
    commonest: Words


def caption_diversity(tracks: Sequence[Track]) -> list[CaptionDiversity]:
    """The diversity of captions round by round; for distances see `caption_pairs`.

    >>> from telephonegan.drift.tracks import Turn
    >>> tracks = [Track(name, name, 0, (Turn(0, ("a", "dog")),)) for name in "xy"]
    >>> caption_diversity(tracks)[0].share
    1.0
    """
    rounds = sorted({turn.round for track in tracks for turn in track.turns})
    return [
        _of_round(n, [(track.seed, turn.words) for track in tracks for turn in track.turns if turn.round == n])
        for n in rounds
    ]


def plug_in_entropy(counts: Sequence[int]) -> float:
    """The entropy (nats) of the sample shares, from 0 to the logarithm of the sample size; too low if kinds are rare.

    >>> round(plug_in_entropy([5, 5]), 3)
    0.693
    """
    shares = np.array(counts) / sum(counts)
    return float(-(shares * np.log(shares)).sum())


def chao_shen_entropy(counts: Sequence[int]) -> float:
    """An estimate of the entropy (nats) of the distribution from which `counts` were sampled, with unseen kinds.

    The shares are multiplied by Good's coverage 1 - (kinds seen once)/n, and each term is divided by the probability
    that its kind is seen (Horvitz-Thompson). NaN if every kind was seen once, because then nothing is known of the
    others. Chao and Shen, "Nonparametric estimation of Shannon's index of diversity when there are unseen species in
    sample", 2003.

    >>> round(chao_shen_entropy([50, 50]), 3)
    0.693
    """
    counts = np.array(counts, dtype=float)
    total = counts.sum()
    coverage = 1 - (counts == 1).sum() / total
    if coverage == 0:
        return float("nan")
    shares = coverage * counts / total
    return float(-(shares * np.log(shares) / -np.expm1(total * np.log1p(-np.minimum(shares, 1 - 1e-16)))).sum())


def collision(counts: Sequence[int]) -> float:
    """The probability that two draws without replacement are of one kind, Σ n_i(n_i - 1) / n(n - 1): unbiased, 0 to 1.

    Its inverse is an effective number (Hill number of order 2) that does not saturate at the sample size. NaN for fewer
    than two draws. Simpson, "Measurement of Diversity", 1949.

    >>> collision([2, 2])
    0.3333333333333333
    """
    counts = np.array(counts, dtype=float)
    pairs = counts.sum() * (counts.sum() - 1)
    return float((counts * (counts - 1)).sum() / pairs) if pairs else float("nan")


def caption_pairs(tracks: Sequence[Track], compare: Distance, *, rounds: Sequence[int] | np.ndarray) -> np.ndarray:
    """The mean of `compare` over the chains of source i and those of source j, in each of `rounds`: (S,S,T).

    Sources are in alphabetical order; NaN where one of them lacks the round. `compare` is symmetric, from N and N
    captions to N values. Give the result to `Resamples.pair_means` for means over pairs of different sources.

    >>> from telephonegan.drift.tracks import Turn
    >>> tracks = [Track(name, name, 0, (Turn(0, (name,)),)) for name in "xy"]
    >>> caption_pairs(tracks, same_caption, rounds=[0])[0, 1].tolist()
    [0.0]
    """
    sources = sorted({track.source for track in tracks})
    found = np.full((len(sources), len(sources), len(rounds)), np.nan)
    for t, number in enumerate(np.asarray(rounds).tolist()):
        said = [(track.source, turn.words) for track in tracks for turn in track.turns if turn.round == number]
        if said:
            found[..., t] = _caption_pairs(said, sources, compare)
    return found


def same_caption(captions: Sequence[Words], others: Sequence[Words]) -> np.ndarray:
    """1 for equal captions, 0 for different ones; with it, `caption_pairs` gives the probability of a collision."""
    return np.array([float(a == b) for a, b in zip(captions, others, strict=True)])


def picture_pairs(
    tracks: Sequence[Track],
    features_of: Callable[[Sequence[Image.Image]], np.ndarray],
    *,
    rounds: Sequence[int] | np.ndarray,
) -> np.ndarray:
    """The mean of 1 - cosine of features over the pictures of source i and those of source j: (S,S,T), from 0 to 2.

    `features_of` returns features (N,D) of N pictures. NaN where a source has no picture in that round. Compare only
    painted rounds with each other, because the photographs of round 0 differ more. Raises DataError for features of
    zeros.

    >>> from telephonegan.drift.tracks import Turn
    >>> tracks = [Track(name, name, 0, (Turn(0, (), Image.new("L", (1, 1))),)) for name in "xy"]
    >>> picture_pairs(tracks, lambda pictures: np.eye(len(pictures)), rounds=[0])[0, 1].tolist()
    [1.0]
    """
    sources = sorted({track.source for track in tracks})
    place = {source: i for i, source in enumerate(sources)}
    found = np.full((len(sources), len(sources), len(rounds)), np.nan)
    for t, number in enumerate(np.asarray(rounds).tolist()):
        shown = [
            (place[track.source], turn.picture)
            for track in tracks
            for turn in track.turns
            if turn.round == number and turn.picture is not None
        ]
        if shown:
            rows, pictures = zip(*shown, strict=True)
            found[..., t] = _cosine_distances(features_of(pictures), np.array(rows), len(sources))
    return found


def _of_round(number: int, said: Sequence[tuple[int, Words]]) -> CaptionDiversity:
    counts = Counter(words for _, words in said)
    commonest = min(counts, key=lambda words: (-counts[words], words))
    of_seed: dict[int, Counter[Words]] = defaultdict(Counter)
    for seed, words in said:
        of_seed[seed][words] += 1
    samples = [list(each.values()) for each in of_seed.values()]
    return CaptionDiversity(
        round=number,
        chains=len(said),
        per_seed=float(np.mean([sum(each) for each in samples])),
        unique=len(counts),
        unique_per_seed=float(np.mean([len(each) for each in samples])),
        effective=float(np.mean(np.exp([plug_in_entropy(each) for each in samples]))),
        chao_shen=float(np.mean(np.exp([chao_shen_entropy(each) for each in samples]))),
        share=counts[commonest] / len(said),
        commonest=commonest,
    )


def _caption_pairs(said: Sequence[tuple[str, Words]], sources: Sequence[str], compare: Distance) -> np.ndarray:
    """Compare equal captions only once, because late rounds have few different ones and many chains."""
    captions = list(dict.fromkeys(words for _, words in said))
    place, column = ({key: i for i, key in enumerate(keys)} for keys in (sources, captions))
    counts = np.zeros((len(sources), len(captions)))
    for source, words in said:
        counts[place[source], column[words]] += 1
    first, second = np.triu_indices(len(captions))
    apart = np.zeros((len(captions), len(captions)))
    for start in range(0, len(first), _AT_ONCE):
        i, j = first[start : start + _AT_ONCE], second[start : start + _AT_ONCE]
        apart[i, j] = apart[j, i] = compare([captions[k] for k in i], [captions[k] for k in j])
    chains = counts.sum(axis=1)
    shares = counts / np.maximum(chains, 1)[:, None]
    return np.where(np.outer(chains, chains) > 0, shares @ apart @ shares.T, np.nan)


def _cosine_distances(features: np.ndarray, rows: np.ndarray, sources: int) -> np.ndarray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if len(features) != len(rows) or not (lengths > 0).all():
        raise DataError(
            f"Features of shape {np.shape(features)} were returned for {len(rows)} pictures. Needed: one row for each "
            "picture, not all zeros."
        )
    sums, counts = np.zeros((sources, features.shape[1])), np.bincount(rows, minlength=sources)
    np.add.at(sums, rows, features / lengths)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan)
    return 1 - means @ means.T
