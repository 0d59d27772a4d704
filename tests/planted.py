"""Synthetic chains with known answers, for the analyses of drift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from telephonegan.drift.tracks import Track, Turn


def markov(matrix: Sequence[Sequence[float]], chains: int, rounds: int, seed: int = 0) -> list[list[int]]:
    """Chains of states from a transition matrix; starts go round robin."""
    rng, matrix = np.random.default_rng(seed), np.asarray(matrix)
    states = np.arange(chains) % len(matrix)
    found = [states]
    for _ in range(rounds):
        draws = rng.random(chains)[:, None]
        states = (draws > np.cumsum(matrix[states], axis=1)).sum(axis=1)
        found.append(states)
    return np.stack(found, axis=1).tolist()


def tracks(captions: Sequence[Sequence[Sequence[str]]], *, seeds: int = 1, references=()) -> list[Track]:
    """A track for each list of captions; `seeds` neighbours share a source."""
    return [
        Track(
            f"s{i // seeds:04}-seed{i % seeds}",
            f"s{i // seeds:04}",
            i % seeds,
            tuple(Turn(t, tuple(words)) for t, words in enumerate(each)),
            tuple(map(tuple, references[i // seeds])) if references else (),
        )
        for i, each in enumerate(captions)
    ]
