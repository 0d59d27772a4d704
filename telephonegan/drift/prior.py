"""Do games drift to what the captioner learned? The prior test of iterated learning.

Learners who sample from their posterior make a chain that converges to their prior; learners who take the most probable
answer leave it behind and exaggerate what is common. Here the prior is what people wrote about the photographs that the
captioner was trained on. Griffiths and Kalish, "Language Evolution by Iterated Learning with Bayesian Agents", 2007.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from telephonegan.drift.coverage import lemmas
from telephonegan.drift.statistics import Estimate, Resamples
from telephonegan.drift.tracks import Track, Words, check_enough
from telephonegan.errors import DataError

LEAST_PRIOR = 500
_DRAWS = 200


@dataclass(frozen=True, eq=False)
class PriorTest:
    """How far the words of each round are from the prior: Jensen–Shannon divergence in bits, 0 (the same) to 1.

    - `distance` (T,) in `rounds`; `floor`: what as many captions of the prior itself have, with the middle 95 % of 200
      samples. A chain that has converged lies on the floor.
    - `change`: the last round less round 0; below 0 the game comes nearer to the prior, above 0 it moves away.
    - `verdict`: "towards the prior", "away from the prior", or "neither" where the interval of the change holds 0.
    - `gained`, `lost`: the words whose share differs most from the prior in the last round, as (word, share, prior).
    """

    rounds: np.ndarray
    distance: Estimate
    floor: Estimate
    change: Estimate
    verdict: str
    gained: tuple[tuple[str, float, float], ...]
    lost: tuple[tuple[str, float, float], ...]


def prior_test(
    tracks: Sequence[Track], prior: Sequence[Words], *, resamples: int = 500, seed: int = 0, shown: int = 8
) -> PriorTest:
    """Compare the words of meaning of every round with those of `prior`, captions that the captioner learned from.

    Forms of a word are one. Divergences of small samples are too large, and alike in all rounds: compare them with the
    floor. Resampled photographs repeat words, so the bounds of `distance` are pulled back by what that adds.
    Lin, "Divergence measures based on the Shannon entropy", 1991. Raises DataError for fewer than 20 sources, two
    rounds, or 500 captions of the prior.

    >>> prior_test(tracks, open_data("flickr8k").split("train").captions)  # doctest: +SKIP
    """
    check_enough(tracks, "The prior test", sources=20, rounds=2)
    if len(prior) < LEAST_PRIOR:
        raise DataError(
            f"A prior needs {LEAST_PRIOR} captions; {len(prior)} were given. Give those of the training split."
        )
    bags = [lemmas(tuple(words)) for words in prior]
    column = {word: i for i, word in enumerate(dict.fromkeys(word for bag in bags for word in bag))}
    rounds = sorted({turn.round for track in tracks for turn in track.turns})
    for track in tracks:
        for turn in track.turns:
            for word in lemmas(turn.words):
                column.setdefault(word, len(column))
    drawn = Resamples([track.source for track in tracks], resamples)
    wanted = _shares(_bag_counts(bags, column)[None])[0]
    rows, counted = [], []
    for number in rounds:
        counts = np.zeros((len(drawn.sources), len(column)))
        for i, track in enumerate(tracks):
            for turn in track.turns:
                if turn.round == number:
                    for word in lemmas(turn.words):
                        counts[drawn.of_chain[i], column[word]] += 1
        rows.append(_divergence(_shares(drawn.weights @ counts), wanted))
        counted.append(counts.sum(axis=0))
    distances = np.stack(rows, axis=1)
    distances[1:] -= distances[1:].mean(axis=0) - distances[0]
    changes = distances[:, -1] - distances[:, 0]
    distance, change = drawn.estimate(np.maximum(distances, 0)), drawn.estimate(changes)
    verdict = "towards the prior" if change.high < 0 else "away from the prior" if change.low > 0 else "neither"
    last = _shares(counted[-1][None])[0]
    names = list(column)
    order = np.argsort(last - wanted)
    told = [(names[i], float(last[i]), float(wanted[i])) for i in order]
    return PriorTest(
        np.array(rounds),
        distance,
        _floor(bags, column, wanted, len(tracks), seed),
        change,
        verdict,
        tuple(each for each in told[::-1][:shown] if each[1] > each[2]),
        tuple(each for each in told[:shown] if each[1] < each[2]),
    )


def _floor(bags: Sequence[list], column: dict, wanted: np.ndarray, size: int, seed: int) -> Estimate:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(_DRAWS):
        drawn = [bags[i] for i in rng.integers(0, len(bags), size)]
        found.append(_divergence(_shares(_bag_counts(drawn, column)[None]), wanted)[0])
    return Estimate(float(np.mean(found)), float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975)))


def _bag_counts(bags: Sequence[list], column: dict) -> np.ndarray:
    counts = np.zeros(len(column))
    for word, number in Counter(word for bag in bags for word in bag).items():
        counts[column[word]] = number
    return counts


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _divergence(shares: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Jensen–Shannon divergence in bits of each row (R,V) from one distribution (V,)."""
    middle = (shares + wanted) / 2

    def gain(p: np.ndarray) -> np.ndarray:
        return np.where(p > 0, p * np.log2(np.where(p > 0, p, 1) / np.where(middle > 0, middle, 1)), 0).sum(axis=1)

    return (gain(shares) + gain(np.broadcast_to(wanted, shares.shape))) / 2
