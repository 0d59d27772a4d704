"""The game as a Markov chain: is it memoryless, does it go on in the same way, and where does it settle?

With new noise in every round and a captioner that does not sample, a round is a function of the caption before and of
fresh noise, so captions are memoryless by construction: the tests then check themselves. Two things are not:

- Coarse states. Where captions are memoryless, classes of captions ("snow", "grass") need not be: which caption of the
  class it was still matters for what comes next, and the round before says something about that.
- The same noise in every round. Each game then has a map of its own, and its past tells which.

Results about coarse states, metastable sets among them, describe where games are and not how they remember.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse.csgraph import connected_components

from telephonegan.drift.tracks import Track, Words
from telephonegan.drift.words import content_words, lemma
from telephonegan.errors import DataError, SettingsError

Sequences = Sequence[Sequence[Hashable]]
ELSEWHERE = "elsewhere"
LEAST_REPEATED = 30
_MIXED = 0.25  # total variation distance, Levin and Peres
_MOST_ROUNDS = 10_000


@dataclass(frozen=True)
class MemoryTest:
    """Whether something besides the present state says anything about the next: `excess` bits, and its p-value.

    `bits` is the conditional mutual information in the sample, which is never negative and too high; `by_chance` its
    mean over permutations, and `excess` the difference. `transitions` are those that could tell: from states that
    several chains meet.
    """

    what: str
    bits: float
    by_chance: float
    excess: float
    p: float
    transitions: int


def order_test(sequences: Sequences, order: int = 1, *, permutations: int = 1000, seed: int = 0) -> MemoryTest:
    """Does the state `order` + 1 rounds back say anything about the next one that the last `order` states do not?

    The null hypothesis is a chain of this order that goes on the same in all rounds. The older state is permuted among
    the chains that meet the same last states for the first time, for the second time, and so on. (Among all meetings
    would be wrong: a game that stays where it is meets its state more often, so how often depends on what follows.)
    After van der Heyden et al., "Testing the order of discrete Markov chains using surrogate data", 1998.
    Raises DataError for fewer than 30 transitions that could tell.

    >>> alternating = [([0, 0, 1, 1] * 3)[i % 4 :] for i in range(80)]
    >>> order_test(alternating, 1).p < 0.01, order_test(alternating, 2).p < 0.01
    (True, False)
    """
    if order not in (0, 1, 2, 3):
        raise SettingsError(f"order was {order}. Allowed: 0, 1, 2 or 3.")
    found = [
        (i, tuple(states[t - order : t]), states[t - order - 1], states[t])
        for i, states in enumerate(sequences)
        for t in range(order + 1, len(states))
    ]
    return _dependence(f"order {order}", found, permutations, seed)


def homogeneity_test(
    sequences: Sequences, labels: Sequence[Hashable] | None = None, *, permutations: int = 1000, seed: int = 0
) -> MemoryTest:
    """Does what follows a state depend on a label: on the half of the game (default), or on what `labels` says?

    Without labels the first half of the rounds is compared with the second: a chain that goes on the same in all rounds
    is homogeneous in time. With a label for each sequence, such as its photograph, it asks whether the start still
    matters when the present state is known. Raises DataError as `order_test` does.

    >>> homogeneity_test([[0, 1, 0, 1], [0, 2, 0, 2]] * 20, ["left", "right"] * 20).p < 0.01
    True
    """
    if labels is not None and len(labels) != len(sequences):
        raise DataError(f"{len(labels)} labels were given for {len(sequences)} sequences. Needed: one for each.")
    half = max(map(len, sequences), default=0) / 2
    found = [
        (i, states[t - 1], labels[i] if labels is not None else t > half, states[t])
        for i, states in enumerate(sequences)
        for t in range(1, len(states))
    ]
    return _dependence("time" if labels is None else "label", found, permutations, seed)


def scenes(tracks: Sequence[Track], count: int = 12) -> Callable[[Words], str]:
    """A coarse state for captions: the first of `count` common words of meaning that a caption has.

    The words are chosen one by one, each in most of the captions (all rounds) that have none of those before; words in
    more than a third of the captions tell too little. Forms of a word are one; captions without any are "elsewhere".

    >>> from telephonegan.drift.tracks import Turn
    >>> said = [("snow",), ("sea", "boat"), ("sky",), ("snow", "dog"), ("sea",), ("sky", "kite"), ("snow",)]
    >>> tracks = [Track(str(i), str(i), 0, (Turn(0, words),)) for i, words in enumerate(said)]
    >>> scenes(tracks, 2)(("a", "dog", "in", "the", "sky"))
    'sky'
    """
    counts = Counter(turn.words for track in tracks for turn in track.turns)
    bags = {words: frozenset(map(lemma, content_words(words))) for words in counts}
    total = counts.total()
    in_captions: Counter[str] = Counter()
    for words, number in counts.items():
        in_captions.update(dict.fromkeys(bags[words], number))
    telling = {word for word, number in in_captions.items() if number <= total / 3}
    chosen: list[str] = []
    left = dict(counts)
    while left and len(chosen) < count:
        gains: Counter[str] = Counter()
        for words, number in left.items():
            gains.update(dict.fromkeys(bags[words] & telling, number))
        if not gains:
            break
        best = min(gains, key=lambda word: (-gains[word], word))
        chosen.append(best)
        left = {words: number for words, number in left.items() if best not in bags[words]}

    def scene(words: Words) -> str:
        has = bags[words] if words in bags else frozenset(map(lemma, content_words(words)))
        return next((word for word in chosen if word in has), ELSEWHERE)

    return scene


def sequences_of(tracks: Sequence[Track], state: Callable[[Words], Hashable] = tuple) -> list[list[Hashable]]:
    """The states of each chain by round: its captions, or what `state` makes of them."""
    return [[state(turn.words) for turn in track.turns] for track in tracks]


@dataclass(frozen=True, eq=False)
class TransitionGraph:
    """Transitions between K states, on the largest set of states that can all reach each other.

    - `counts` (K,K) of transitions from row to column, and `probability` (K,K), whose rows sum to 1.
    - `stationary` (K,): the share of time a long game spends in each state.
    - `relaxation`: rounds in which the slowest memory falls to 1/e, −1 / ln |λ₂|; `mixing`: rounds after which,
      wherever a game began, it is within 0.25 of the stationary distribution in total variation (Levin and Peres,
      "Markov Chains and Mixing Times"); None where it never is, because the states are visited in turn.
    - `covered`: the share of all transitions seen that these states hold.
    """

    states: tuple[Hashable, ...]
    counts: np.ndarray
    probability: np.ndarray
    stationary: np.ndarray
    relaxation: float
    mixing: int | None
    covered: float

    @classmethod
    def of(cls, sequences: Sequences, *, most: int = 200) -> TransitionGraph:
        """The graph of the `most` visited states. Raises DataError where no two of these lead to each other and back.

        >>> graph = TransitionGraph.of([[0, 0, 1, 1, 0, 1, 0, 0, 1]])
        >>> graph.states, graph.stationary.round(2).tolist()
        ((0, 1), [0.53, 0.47])
        """
        visits = Counter(state for states in sequences for state in states)
        chosen = [state for state, _ in visits.most_common(most)]
        row = {state: i for i, state in enumerate(chosen)}
        counts = np.zeros((len(chosen), len(chosen)))
        total = 0
        for states in sequences:
            for before, after in pairwise(states):
                total += 1
                if before in row and after in row:
                    counts[row[before], row[after]] += 1
        _, which = connected_components(counts > 0, directed=True, connection="strong")
        held = [counts[np.ix_(which == part, which == part)].sum() for part in range(which.max(initial=-1) + 1)]
        inside = np.flatnonzero(which == int(np.argmax(held))) if held else np.array([], dtype=int)
        if len(inside) < 2:
            raise DataError(
                f"A transition graph needs two states that lead to each other; of {len(visits)} states in "
                f"{len(sequences)} chains no two do. Play more rounds, or use coarser states, see drift.markov.scenes."
            )
        counts = counts[np.ix_(inside, inside)]
        probability = counts / counts.sum(axis=1, keepdims=True)
        stationary = _stationary(probability)
        order = np.argsort(-stationary, kind="stable")
        counts, probability = (each[np.ix_(order, order)] for each in (counts, probability))
        return cls(
            states=tuple(chosen[inside[i]] for i in order),
            counts=counts,
            probability=probability,
            stationary=stationary[order],
            relaxation=_relaxation(probability),
            mixing=_mixing(probability, stationary[order]),
            covered=float(counts.sum() / max(total, 1)),
        )

    def metastable(self, sets: int) -> list[MetastableSet]:
        """Split the states into so many sets that games seldom leave, the one with most time first.

        PCCA+ in its inner-simplex form (Weber and Galliat 2002; Deuflhard and Weber 2005) on the additive
        reversibilisation of the chain, in which every set is left as often as in the chain itself.
        Raises SettingsError for fewer than two sets, or more than there are states.

        >>> graph = TransitionGraph.of([[0, 1] * 9 + [2, 3] * 9 + [0]])
        >>> [sorted(each.states) for each in graph.metastable(2)]
        [[0, 1], [2, 3]]
        """
        if not 2 <= sets <= len(self.states):
            raise SettingsError(f"{sets} sets were asked for. Allowed: 2 to {len(self.states)}, the number of states.")
        flow = self.stationary[:, None] * self.probability
        root = np.sqrt(self.stationary)
        values, vectors = np.linalg.eigh((flow + flow.T) / 2 / np.outer(root, root))
        coordinates = vectors[:, np.argsort(-values)[:sets]] / root[:, None]
        corners = _corners(coordinates)
        membership = coordinates @ np.linalg.inv(coordinates[corners])
        of_state = np.argmax(membership, axis=1)
        found = []
        for number in range(sets):
            inside = of_state == number
            time = self.stationary[inside].sum()
            stays = float(flow[np.ix_(inside, inside)].sum() / time) if time > 0 else float("nan")
            states = tuple(self.states[i] for i in np.flatnonzero(inside))
            found.append(MetastableSet(states, float(time), stays))
        return sorted(found, key=lambda each: -each.time)


@dataclass(frozen=True)
class MetastableSet:
    """Some `states`, the most visited first; the share of `time` spent in them; how probably a round `stays` there."""

    states: tuple[Hashable, ...]
    time: float
    stays: float


@dataclass(frozen=True)
class Settling:
    """How far the distribution over states has moved between two rounds: total variation, 0 to 1, and its p-value.

    The p-value swaps the two rounds of a chain at random, so it takes a settled chain to look the same run backwards.
    """

    earlier: int
    later: int
    distance: float
    by_chance: float
    p: float


def settling_test(
    sequences: Sequences, earlier: int, later: int, *, permutations: int = 1000, seed: int = 0
) -> Settling:
    """Are chains distributed over the states in two rounds alike? Raises DataError where no chain has both rounds.

    >>> settling_test([["a", "a", "b"]] * 40, 0, 2).p < 0.01
    True
    """
    pairs = [(states[earlier], states[later]) for states in sequences if len(states) > max(earlier, later)]
    if not pairs:
        raise DataError(f"No chain has both rounds {earlier} and {later}. Play more rounds.")
    row = {state: i for i, state in enumerate(dict.fromkeys(state for pair in pairs for state in pair))}
    ids = np.array([[row[state] for state in pair] for pair in pairs])

    def distance(first: np.ndarray, second: np.ndarray) -> float:
        counts = [np.bincount(part, minlength=len(row)) for part in (first, second)]
        return float(np.abs(counts[0] - counts[1]).sum() / 2 / len(first))

    seen = distance(ids[:, 0], ids[:, 1])
    rng = np.random.default_rng(seed)
    by_chance = []
    for _ in range(permutations):
        swap = rng.integers(0, 2, len(ids))
        rows = np.arange(len(ids))
        by_chance.append(distance(ids[rows, swap], ids[rows, 1 - swap]))
    p = float((1 + np.sum(np.array(by_chance) >= seen - 1e-12)) / (1 + permutations))
    return Settling(earlier, later, seen, float(np.mean(by_chance)), p)


def _dependence(
    what: str, found: Sequence[tuple[int, Hashable, Hashable, Hashable]], permutations: int, seed: int
) -> MemoryTest:
    """I(next; other | context) of (chain, context, other, next), in the order of rounds.

    A context is a state and the number of times the chain has met it: at such a moment what comes next is still open,
    whereas the number of meetings in all depends on it. The other is permuted within its context.
    """
    met: Counter[tuple[int, Hashable]] = Counter()
    triples = []
    for chain, context, other, then in found:
        met[chain, context] += 1
        triples.append(((context, met[chain, context]), other, then))
    repeated = Counter(context for context, _, _ in triples)
    used = [triple for triple in triples if repeated[triple[0]] > 1]
    if len(used) < LEAST_REPEATED:
        raise DataError(
            f"A test of memory needs {LEAST_REPEATED} transitions from states that several chains meet; there are "
            f"{len(used)} of {len(found)}. Play more chains or rounds, or use coarser states."
        )
    context, other, then = (_numbered([triple[part] for triple in used]) for part in range(3))
    order = np.argsort(context, kind="stable")
    context, other, then = context[order], other[order], then[order]
    future = _numbered(list(zip(context.tolist(), then.tolist(), strict=True)))
    fixed = _sum_log(_counts(context)) - _sum_log(_counts(future))
    width = int(other.max()) + 1

    def information(labels: np.ndarray) -> float:
        past = _sum_log(_counts(context * width + labels))
        joint = _sum_log(_counts(future * width + labels))
        return float((joint + fixed - past) / len(used) / np.log(2))

    seen = information(other)
    rng = np.random.default_rng(seed)
    by_chance = []
    for _ in range(permutations):
        shuffled = np.lexsort((rng.random(len(other)), context))
        by_chance.append(information(other[shuffled]))
    p = float((1 + np.sum(np.array(by_chance) >= seen - 1e-12)) / (1 + permutations))
    mean = float(np.mean(by_chance))
    return MemoryTest(what, seen, mean, seen - mean, p, len(used))


def _numbered(items: Sequence[Hashable]) -> np.ndarray:
    place = {item: i for i, item in enumerate(dict.fromkeys(items))}
    return np.array([place[item] for item in items])


def _counts(keys: np.ndarray) -> np.ndarray:
    return np.unique(keys, return_counts=True)[1]


def _sum_log(counts: np.ndarray) -> float:
    return float((counts * np.log(counts)).sum())


def _stationary(probability: np.ndarray) -> np.ndarray:
    count = len(probability)
    equations = np.vstack([probability.T - np.eye(count), np.ones((1, count))])
    found = np.linalg.lstsq(equations, np.append(np.zeros(count), 1.0), rcond=None)[0]
    found = np.maximum(found, 0)
    return found / found.sum()


def _relaxation(probability: np.ndarray) -> float:
    sizes = np.sort(np.abs(np.linalg.eigvals(probability)))[::-1]
    if sizes[1] >= 1 - 1e-12:
        return float("inf")
    return float(-1 / np.log(sizes[1])) if sizes[1] > 0 else 0.0


def _mixing(probability: np.ndarray, stationary: np.ndarray) -> int | None:
    """By doubling and halving powers: the distance never rises with time."""
    powers = [probability]
    while _far(powers[-1], stationary):
        if 2 ** len(powers) > _MOST_ROUNDS:
            return None
        powers.append(powers[-1] @ powers[-1])
    if len(powers) == 1:
        return 1
    rounds, reached = 2 ** (len(powers) - 2), powers[-2]
    for step in reversed(range(len(powers) - 2)):
        if _far(further := reached @ powers[step], stationary):
            rounds, reached = rounds + 2**step, further
    return rounds + 1


def _far(probability: np.ndarray, stationary: np.ndarray) -> bool:
    return bool((np.abs(probability - stationary).sum(axis=1) / 2).max() > _MIXED)


def _corners(coordinates: np.ndarray) -> list[int]:
    """Rows that span the largest simplex, chosen one by one: each the farthest from the span of those before."""
    points = coordinates - coordinates[np.argmax((coordinates**2).sum(1))]
    corners = [int(np.argmax((coordinates**2).sum(1)))]
    while len(corners) < coordinates.shape[1]:
        corner = int(np.argmax((points**2).sum(1)))
        corners.append(corner)
        direction = points[corner] / max(np.linalg.norm(points[corner]), 1e-300)
        points = points - np.outer(points @ direction, direction)
    return corners
