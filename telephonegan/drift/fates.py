"""The fates of words: how long each lasts, whether it comes back, what takes its place, and what that depends on.

A word here is a content word of a game's first caption, followed through the rounds. Kinds of word differ in how
frequent they are, so what looks like the fate of colours may be that of rare words: `fate_model` tells them apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from telephonegan.drift.statistics import Estimate, Resamples
from telephonegan.drift.tracks import Track, check_enough
from telephonegan.drift.words import content_words, kind_of
from telephonegan.errors import DataError

_BASE = "object"  # the commonest kind, which the others are compared with
_LEAST_OF_A_KIND = 10
_STEPS = 25


@dataclass(frozen=True)
class Fate:
    """One content word of one chain's first caption; `said` has a value for each round from 1 on."""

    chain: str
    source: str
    word: str
    kind: str
    said: tuple[bool, ...]

    @property
    def lost(self) -> int | None:
        """The first round without the word; None if there is none."""
        return next((t for t, is_said in enumerate(self.said, 1) if not is_said), None)


def fates(
    tracks: Sequence[Track], *, kind: Callable[[str], str] = kind_of, form: Callable[[str], str] = str
) -> list[Fate]:
    """The fate of every content word of every chain's first caption; words are the same where their `form` is.

    >>> from telephonegan.drift.tracks import Turn
    >>> track = Track("x", "x", 0, (Turn(0, ("red", "dog")), Turn(1, ("a", "dog")), Turn(2, ("red", "sea"))))
    >>> [(fate.word, fate.said, fate.lost) for fate in fates([track])]
    [('red', (False, True), 1), ('dog', (True, False), 2)]
    """
    found = []
    for track in tracks:
        later = [set(map(form, turn.words)) for turn in track.turns[1:]]
        starts = {form(word): word for word in reversed(content_words(track.turns[0].words))}
        for shape, word in reversed(starts.items()):
            said = tuple(shape in words for words in later)
            found.append(Fate(track.chain, track.source, shape, kind(word), said))
    return found


@dataclass(frozen=True, eq=False)
class Survival:
    """How words last, round by round from 1 on; every `Estimate` holds arrays (T,).

    - `unbroken`: the share that has been said in every round so far (Kaplan and Meier 1958; words of chains that end
      early are censored), and `hazard`: of these, the share lost in this round.
    - `said`: the share that is said in this round, whether or not it was ever lost.
    - `back`: of the words not said in the round before, the share said in this one; unknown in round 1.
    - `by_chance`: how often chains of other sources say the same words in this round.
    - `returned`: the share of the words ever lost that were said again.
    """

    words: int
    sources: int
    rounds: np.ndarray
    unbroken: Estimate
    hazard: Estimate
    said: Estimate
    back: Estimate
    by_chance: np.ndarray
    returned: Estimate


def word_survival(
    found: Sequence[Fate], tracks: Sequence[Track], *, form: Callable[[str], str] = str, resamples: int = 2000
) -> Survival:
    """Kaplan–Meier survival, hazards and return rates of `fates` of these tracks; intervals resample the sources.

    `form` is the one the fates were found with.
    Raises DataError without words or rounds. Kaplan and Meier, "Nonparametric Estimation from Incomplete
    Observations", 1958.

    >>> from telephonegan.drift.tracks import Turn
    >>> tracks = [Track("x", "x", 0, (Turn(0, ("red", "dog")), Turn(1, ("dog",)), Turn(2, ("red",))))]
    >>> told = word_survival(fates(tracks), tracks, resamples=10)
    >>> told.unbroken.value.tolist(), told.said.value.tolist(), told.back.value.tolist()
    ([0.5, 0.0], [0.5, 0.5], [nan, 1.0])
    """
    check_enough(tracks, "Survival of words", rounds=1)
    if not found:
        raise DataError("Survival of words needs a word; the first captions of these chains have no word of meaning.")
    said = _table(found)
    before = np.concatenate([np.ones((len(found), 1)), said[:, :-1]], axis=1)
    unbroken = np.cumprod(np.nan_to_num(before), axis=1) == 1
    lost = np.where(np.isnan(said), np.nan, 1 - said)
    drawn = Resamples([fate.source for fate in found], resamples)
    hazards = drawn.means(np.where(unbroken, lost, np.nan))
    ever_lost = np.array([fate.lost is not None for fate in found])
    again = np.array([fate.lost is not None and any(fate.said[fate.lost :]) for fate in found], dtype=float)
    return Survival(
        words=len(found),
        sources=len(drawn.sources),
        rounds=np.arange(1, said.shape[1] + 1),
        unbroken=drawn.estimate(np.cumprod(1 - np.where(np.isnan(hazards), 0, hazards), axis=1)),
        hazard=drawn.estimate(hazards),
        said=drawn.estimate(drawn.means(said)),
        back=drawn.estimate(drawn.means(np.where(before == 0, said, np.nan))),
        by_chance=_by_chance(found, tracks, said.shape[1], form),
        returned=drawn.estimate(drawn.means(np.where(ever_lost, again, np.nan))),
    )


@dataclass(frozen=True)
class Replacement:
    """How often `gained` came in a round in which `lost` went, and how often it would if the two were independent."""

    lost: str
    gained: str
    kind: str
    count: float
    expected: float


def replacements(tracks: Sequence[Track], *, form: Callable[[str], str] = str, least: float = 5) -> list[Replacement]:
    """Who replaces whom: words that went in one round, and words of the same kind that came in it, commonest first.

    Where k words of a kind came in, each counts as 1/k of a replacement. Pairs of fewer than `least` are left out.

    >>> from telephonegan.drift.tracks import Turn
    >>> tracks = [Track("x", "x", 0, (Turn(0, ("red", "dog")), Turn(1, ("blue", "dog"))))]
    >>> [(each.lost, each.gained, each.count) for each in replacements(tracks, least=1)]
    [('red', 'blue', 1.0)]
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for track in tracks:
        said = [{form(word): kind_of(word) for word in content_words(turn.words)} for turn in track.turns]
        for before, after in pairwise(said):
            came: dict[str, list[str]] = defaultdict(list)
            for word in after.keys() - before.keys():
                came[after[word]].append(word)
            for word in before.keys() - after.keys():
                for other in came[before[word]]:
                    counts[before[word], word, other] += 1 / len(came[before[word]])
    totals: dict[str, list[Counter[str]]] = defaultdict(lambda: [Counter(), Counter()])
    for (kind, lost, gained), count in counts.items():
        totals[kind][0][lost] += count
        totals[kind][1][gained] += count
    found = [
        Replacement(
            lost, gained, kind, count, totals[kind][0][lost] * totals[kind][1][gained] / totals[kind][0].total()
        )
        for (kind, lost, gained), count in counts.items()
        if count >= least
    ]
    return sorted(found, key=lambda each: (-each.count, each.lost, each.gained))


@dataclass(frozen=True, eq=False)
class FateModel:
    """What the odds depend on that a word is still said in `round`: an odds ratio for each of `names`.

    "twice as frequent" compares a word with one half as frequent; a kind is compared with objects. `odds` (P,) are of
    the model with all of these, `alone` (P,) those of models with frequency only and with kinds only.
    """

    round: int
    words: int
    names: tuple[str, ...]
    odds: Estimate
    alone: Estimate


def fate_model(
    found: Sequence[Fate],
    frequency: Mapping[str, float],
    *,
    round: int | None = None,
    resamples: int = 500,
) -> FateModel:
    """Logistic regression of whether a word is said in `round` (default: the last) on its frequency and its kind.

    `frequency` counts words in captions that the model is not fitted to, such as those of the training split; a word it
    lacks counts once. Kinds with fewer than ten words are left out. Intervals resample the sources, since the words of
    one caption are not independent. Raises DataError for fewer than ten words lost and ten kept.

    >>> fate_model(fates(tracks, form=lemma), {"dog": 900, "sled": 7}).odds.value  # doctest: +SKIP
    """
    said = _table(found)
    last = said.shape[1] if round is None else round
    if not 1 <= last <= said.shape[1]:
        raise DataError(f"Round {last} was asked for. There are rounds 1 to {said.shape[1]}.")
    counts = Counter(fate.kind for fate in found)
    kinds = [kind for kind in sorted(counts) if counts[kind] >= _LEAST_OF_A_KIND]
    used = [i for i, fate in enumerate(found) if fate.kind in kinds and not np.isnan(said[i, last - 1])]
    kept = said[used, last - 1]
    if min(kept.sum(), (1 - kept).sum()) < _LEAST_OF_A_KIND:
        raise DataError(
            f"A model of fates needs {_LEAST_OF_A_KIND} words that are said in round {last} and as many that are not; "
            f"there are {int(kept.sum())} and {int((1 - kept).sum())}. Play more chains."
        )
    words = [found[i] for i in used]
    base = _BASE if _BASE in kinds else kinds[0]
    others = [kind for kind in kinds if kind != base]
    frequent = np.log2([max(frequency.get(fate.word, 1), 1) for fate in words])
    is_kind = np.array([[fate.kind == kind for kind in others] for fate in words], dtype=float)
    ones = np.ones((len(words), 1))
    whole = np.concatenate([ones, frequent[:, None] - frequent.mean(), is_kind], axis=1)
    drawn = Resamples([fate.source for fate in words], resamples)
    weights = drawn.weights[:, drawn.of_chain]
    columns = [[*range(whole.shape[1])], [0, 1], [0, *range(2, whole.shape[1])]]
    full, by_frequency, by_kind = (_logistic(whole[:, part], kept, weights) for part in columns)
    return FateModel(
        round=last,
        words=len(words),
        names=("twice as frequent", *(f"{kind} rather than {base}" for kind in others)),
        odds=drawn.estimate(np.exp(full[:, 1:])),
        alone=drawn.estimate(np.exp(np.concatenate([by_frequency[:, 1:], by_kind[:, 1:]], axis=1))),
    )


def _table(found: Sequence[Fate]) -> np.ndarray:
    """Whether each word is said in each round, (N,T): 1, 0, or NaN after the end of its chain."""
    table = np.full((len(found), max((len(fate.said) for fate in found), default=0)), np.nan)
    for i, fate in enumerate(found):
        table[i, : len(fate.said)] = fate.said
    return table


def _by_chance(found: Sequence[Fate], tracks: Sequence[Track], rounds: int, form: Callable[[str], str]) -> np.ndarray:
    """The mean share of chains of other sources that say the words in each round."""
    wanted = {fate.word for fate in found}
    said: list[Counter[str]] = [Counter() for _ in range(rounds)]
    own: dict[str, list[Counter[str]]] = defaultdict(lambda: [Counter() for _ in range(rounds)])
    chains = np.zeros(rounds)
    own_chains: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(rounds))
    for track in tracks:
        for turn in track.turns[1:]:
            here = wanted.intersection(map(form, turn.words))
            said[turn.round - 1].update(here)
            own[track.source][turn.round - 1].update(here)
            chains[turn.round - 1] += 1
            own_chains[track.source][turn.round - 1] += 1
    shares = np.array(
        [[said[t][fate.word] - own[fate.source][t][fate.word] for t in range(rounds)] for fate in found], dtype=float
    )
    others = np.array([chains - own_chains[fate.source] for fate in found])
    return np.divide(shares, others, out=np.full_like(shares, np.nan), where=others > 0).mean(axis=0)


def _logistic(design: np.ndarray, kept: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients (1 + R,P) by Newton's method, one row for each row of `weights`; equal words are put together.

    A ridge of 1e-3 keeps a resample finite in which a kind is always kept or always lost.
    """
    patterns, which = np.unique(design, axis=0, return_inverse=True)
    group = np.zeros((len(design), len(patterns)))
    group[np.arange(len(design)), which.ravel()] = 1
    totals, successes = weights @ group, (weights * kept) @ group
    found = np.zeros((len(weights), design.shape[1]))
    ridge = 1e-3 * np.eye(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(found @ patterns.T, -30, 30)))
        slope = (successes - totals * chance) @ patterns - found @ ridge
        bend = np.einsum("rg,gp,gq->rpq", totals * chance * (1 - chance), patterns, patterns, optimize=True) + ridge
        step = np.linalg.solve(bend, slope[..., None])[..., 0]
        found += np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-8:
            break
    return found
