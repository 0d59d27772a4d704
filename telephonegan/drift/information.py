"""Bits left: how much a caption still says about which of the photographs its game began with.

Every photograph is one of S equally likely ones, so a caption can carry at most log2 S bits about it. A critic scores a
caption of round t against the first caption of every photograph; a softmax over these scores is a guess, and its mean
log-probability gives a lower bound on the information that is really there. A better critic can only raise the bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from telephonegan.drift.statistics import Estimate, Resamples
from telephonegan.drift.text_measures import sentence_codes
from telephonegan.drift.tracks import Track, Words, check_enough

LEAST_SOURCES = 4
Critic = Callable[[Sequence[Words], Sequence[Words]], np.ndarray]

_SHARPNESSES = np.concatenate([[0.0], np.geomspace(0.1, 1e4, 101)])


@dataclass(frozen=True, eq=False)
class BitsLeft:
    """What the captions of each round say about where they come from.

    `bits` (T,) is the InfoNCE lower bound, at most `most` = log2 of the number of `sources`; `top1` (T,) the share of
    games whose own photograph the critic finds the likeliest, 1 / `sources` by guessing. Photographs with the same
    first caption share both.
    """

    rounds: np.ndarray
    bits: Estimate
    top1: Estimate
    most: float
    sources: int


def bits_left(tracks: Sequence[Track], critic: Critic | None = None, *, resamples: int = 2000) -> BitsLeft:
    """Which of the photographs was it? The InfoNCE lower bound in bits and the top-1 accuracy of every round.

    `critic` takes Q captions and S first captions and returns scores (Q,S), default `word_critic`. How sharply scores
    are turned into probabilities is chosen, round by round, on the games of half of the photographs and used on those
    of the other half, so no game chooses for itself. Intervals resample the photographs that are asked about; the S
    candidates stay the same. van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018;
    Poole et al., "On Variational Bounds of Mutual Information", 2019.
    Raises DataError for fewer than four photographs.

    >>> from telephonegan.drift.tracks import Turn
    >>> tracks = [Track(name, name, 0, (Turn(0, (name,)), Turn(1, ("a",)))) for name in ("dog", "cat", "man", "sea")]
    >>> bits_left(tracks, resamples=10).bits.value.round(3).tolist()
    [2.0, 0.0]
    """
    check_enough(tracks, "Bits left", sources=LEAST_SOURCES)
    critic = critic or word_critic(tracks)
    starts = {track.source: track.turns[0].words for track in sorted(tracks, key=lambda track: -track.seed)}
    sources = sorted(starts)
    place = {source: i for i, source in enumerate(sources)}
    rounds = sorted({turn.round for track in tracks for turn in track.turns})
    said = list(dict.fromkeys(turn.words for track in tracks for turn in track.turns))
    row = {words: i for i, words in enumerate(said)}
    table = critic(said, [starts[source] for source in sources])
    folds = np.random.default_rng(0).permutation(len(sources)) % 2

    bits, top1 = (np.full((len(tracks), len(rounds)), np.nan) for _ in range(2))
    for t, number in enumerate(rounds):
        asked = [(i, turn.words) for i, track in enumerate(tracks) for turn in track.turns if turn.round == number]
        chains = np.array([i for i, _ in asked])
        scores = table[[row[words] for _, words in asked]]
        own = np.array([place[tracks[i].source] for i in chains])
        gained = _gained(scores, own)
        for fold in (0, 1):
            mine = folds[own] == fold
            others = gained[:, ~mine] if (~mine).any() else gained
            bits[chains[mine], t] = gained[np.argmax(others.mean(axis=1))][mine]
        is_best = scores >= scores.max(axis=1, keepdims=True) - 1e-9
        top1[chains, t] = is_best[np.arange(len(own)), own] / is_best.sum(axis=1)
    drawn = Resamples([track.source for track in tracks], resamples)
    return BitsLeft(
        np.array(rounds),
        *(drawn.estimate(drawn.means(values)) for values in (bits, top1)),
        float(np.log2(len(sources))),
        len(sources),
    )


def word_critic(tracks: Sequence[Track]) -> Critic:
    """Cosine of bags of words, each word weighed by how few photographs' first captions have it (tf-idf).

    >>> from telephonegan.drift.tracks import Turn
    >>> tracks = [Track(name, name, 0, (Turn(0, (name,)),)) for name in ("dog", "cat")]
    >>> word_critic(tracks)([("dog", "sea")], [("dog",), ("cat",)]).round(3).tolist()
    [[0.707, 0.0]]
    """
    return weighed_words(list({track.source: track.turns[0].words for track in tracks}.values()))


def weighed_words(documents: Sequence[Words]) -> Critic:
    """Cosine of bags of words, each word weighed by how few of the `documents` have it."""
    counts = Counter(word for words in documents for word in set(words))

    def bags(captions: Sequence[Words], column: dict[str, int]) -> np.ndarray:
        found = np.zeros((len(captions), len(column)))
        for i, words in enumerate(captions):
            for word in words:
                found[i, column[word]] += np.log((len(documents) + 1) / counts.get(word, 1))
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)

    def score(captions: Sequence[Words], candidates: Sequence[Words]) -> np.ndarray:
        words = dict.fromkeys(word for caption in (*captions, *candidates) for word in caption)
        column = {word: i for i, word in enumerate(words)}
        return bags(captions, column) @ bags(candidates, column).T

    return score


class SentenceCritic:
    """Cosine of sentence embeddings, see `text_measures.semantic_cosine`; every caption is embedded once.

    Called with Q captions and S candidates it returns (Q,S); `pairs` compares N with N. Needs the extra `semantic`.

    >>> bits_left(tracks, SentenceCritic()).bits.value  # doctest: +SKIP
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._codes: dict[Words, np.ndarray] = {}

    def __call__(self, captions: Sequence[Words], candidates: Sequence[Words]) -> np.ndarray:
        return self._embedded(captions) @ self._embedded(candidates).T

    def pairs(self, later: Sequence[Words], earlier: Sequence[Words]) -> np.ndarray:
        """Cosines (N,) of N captions with N others."""
        return np.einsum("nd,nd->n", self._embedded(later), self._embedded(earlier))

    def _embedded(self, captions: Sequence[Words]) -> np.ndarray:
        captions = [tuple(words) for words in captions]
        new = list(dict.fromkeys(words for words in captions if words not in self._codes))
        if new:
            codes = sentence_codes(new, self.device).astype(float)
            codes /= np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
            self._codes.update(zip(new, codes, strict=True))
        return np.stack([self._codes[words] for words in captions])


def _gained(scores: np.ndarray, own: np.ndarray) -> np.ndarray:
    """log2 S + log2 of the probability that each sharpness gives the true photograph: (sharpnesses,Q)."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    true = shifted[np.arange(len(own)), own]
    found = [sharp * true - np.log(np.exp(sharp * shifted).sum(axis=1)) for sharp in _SHARPNESSES]
    return (np.array(found) + np.log(scores.shape[1])) / np.log(2)
