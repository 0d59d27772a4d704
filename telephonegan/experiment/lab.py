"""The drift lab: every analysis of one experiment's chains, from its lines alone.

What needs more than the lines is left out unless it is given: captions of people come from the data folder that the
photographs are from. An analysis that too few chains or rounds allow is left out too, and says what it needs.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from telephonegan import files
from telephonegan.data.layouts import open_data
from telephonegan.drift import coverage, fates, markov
from telephonegan.drift.coverage import Diversity, compared_diversity, round_samples
from telephonegan.drift.fates import FateModel, Replacement, Survival
from telephonegan.drift.information import BitsLeft, Critic, SentenceCritic, bits_left, word_critic
from telephonegan.drift.law_race import LawRace, law_race
from telephonegan.drift.markov import MemoryTest, MetastableSet, Settling, TransitionGraph
from telephonegan.drift.prior import PriorTest, prior_test
from telephonegan.drift.statistics import Estimate, Resamples
from telephonegan.drift.text_measures import content_f1
from telephonegan.drift.tracks import Track, Words, check_enough
from telephonegan.drift.truth import TruthAnchor, truth_anchor
from telephonegan.drift.words import lemma
from telephonegan.errors import DataError, SettingsError, TelephoneganError
from telephonegan.experiment.reading import Experiment
from telephonegan.experiment.summary import jsonable
from telephonegan.records import read_json

LAB = "lab.json"
FORMAT = 1
SCENES, SETS = 12, 4
MULTIPLICITY = (
    "All measures are exploratory but the primary one that the plan of a study names, if there is one. Intervals are "
    "of 95 % each and are not corrected for how many there are, nor are p-values. Intervals resample the photographs: "
    "they cover other photographs like these, and neither other weights of the networks nor other data."
)
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Lab:
    """The analyses of one experiment; None, or nothing, where one was `left_out`, by name with the reason.

    - By tf-idf ("words") and, with the extra `semantic`, by sentence embeddings ("sentences"): `curves` of what is left
      above chance, the `laws` that race for them, and the `bits` left.
    - `truth`: people's captions as the anchor; `survival` by kind of word, "all" first; `replacements` of words;
      `model` of what the fate of a word depends on.
    - `memory` tests and `settling` of captions and scenes, by state; `graphs` with their metastable `sets`.
    - `diversity` at equal coverage, of words; `prior`: the captions that the captioner learned from.
    """

    rounds: int
    chains: int
    sources: int
    curves: dict[str, Estimate] = field(default_factory=dict)
    laws: dict[str, LawRace] = field(default_factory=dict)
    bits: dict[str, BitsLeft] = field(default_factory=dict)
    truth: TruthAnchor | None = None
    survival: dict[str, Survival] = field(default_factory=dict)
    replacements: tuple[Replacement, ...] = ()
    model: FateModel | None = None
    memory: dict[str, list[MemoryTest]] = field(default_factory=dict)
    settling: dict[str, Settling] = field(default_factory=dict)
    graphs: dict[str, TransitionGraph] = field(default_factory=dict)
    sets: dict[str, list[MetastableSet]] = field(default_factory=dict)
    diversity: Diversity | None = None
    prior: PriorTest | None = None
    left_out: dict[str, str] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """All of it as JSON values; states of graphs are texts."""
        told = {name: value for name, value in vars(self).items() if name not in ("graphs", "sets")}
        graphs = {
            name: {**vars(graph), "states": [_text(state) for state in graph.states]}
            for name, graph in self.graphs.items()
        }
        sets = {
            name: [{**vars(each), "states": [_text(state) for state in each.states]} for each in found]
            for name, found in self.sets.items()
        }
        return {"format": FORMAT, "note": MULTIPLICITY, **jsonable(_plain({**told, "graphs": graphs, "sets": sets}))}


def analyse(
    tracks: Sequence[Track],
    *,
    prior: Sequence[Words] = (),
    resamples: int = 2000,
    permutations: int = 1000,
    sentences: bool | None = None,
    device: str = "cpu",
    on_step: Callable[[str], object] | None = None,
) -> Lab:
    """All analyses that these chains allow. Raises DataError for chains without a round, or of one source.

    `prior` holds captions that the captioner learned from; with them the prior is tested and words have frequencies.
    `sentences` says whether sentence embeddings are used (default: where the extra `semantic` is installed). `on_step`
    is called with the name of each analysis before it begins.

    >>> analyse(Experiment.open("out/drift").tracks()).bits["words"].bits.value  # doctest: +SKIP
    """
    check_enough(tracks, "The drift lab", sources=2, rounds=1)
    tell = on_step or (lambda name: None)
    left_out: dict[str, str] = {}

    def attempt(name: str, analysis: Callable[[], T]) -> T | None:
        tell(name)
        try:
            return analysis()
        except DataError as error:
            left_out[name] = str(error)
            return None

    if sentences is None:
        sentences = importlib.util.find_spec("sentence_transformers") is not None
    meaning = SentenceCritic(device) if sentences else None
    critics: dict[str, Critic] = {"words": word_critic(tracks)}
    if meaning is not None:
        critics["sentences"] = meaning
    curves, laws, bits = {}, {}, {}
    for name, critic in critics.items():
        tell(f"similarity of {name}")
        rounds, above = _above_chance(tracks, critic, resamples)
        curves[name] = Resamples([track.source for track in tracks], resamples).estimate(above)
        laws[name] = attempt(f"laws of {name}", lambda rounds=rounds, above=above: law_race(rounds, above))
        bits[name] = attempt(f"bits of {name}", lambda critic=critic: bits_left(tracks, critic, resamples=resamples))

    found = fates.fates(tracks)
    survival = {"all": attempt("survival", lambda: fates.word_survival(found, tracks, resamples=resamples))}
    for kind in sorted({fate.kind for fate in found}):
        part = [fate for fate in found if fate.kind == kind]
        survival[kind] = attempt(
            f"survival of {kind}", lambda part=part: fates.word_survival(part, tracks, resamples=resamples)
        )
    lemmas = fates.fates(tracks, form=lemma)
    frequency = _frequency(prior) if len(prior) else _frequency(list(_first_captions(tracks)))
    model = attempt("model of fates", lambda: fates.fate_model(lemmas, frequency, resamples=min(resamples, 500)))

    memory, settling, graphs, sets = {}, {}, {}, {}
    scene = markov.scenes(tracks, SCENES)
    labels = [track.source for track in tracks]
    for name, state in (("captions", tuple), ("scenes", scene)):
        sequences = markov.sequences_of(tracks, state)
        memory[name] = attempt(
            f"memory of {name}", lambda sequences=sequences: _memory(tracks, sequences, labels, permutations)
        )
        last = max(map(len, sequences)) - 1
        settling[name] = attempt(
            f"settling of {name}",
            lambda sequences=sequences, last=last: markov.settling_test(
                sequences, last // 2, last, permutations=permutations
            ),
        )
        graphs[name] = attempt(f"graph of {name}", lambda sequences=sequences: TransitionGraph.of(sequences))
        if (graph := graphs[name]) is not None:
            sets[name] = graph.metastable(min(SETS, len(graph.states)))

    has_people = any(len(track.references) > 1 for track in tracks)
    compare = content_f1 if meaning is None else meaning.pairs
    truth = attempt("truth anchor", lambda: truth_anchor(tracks, compare, resamples=resamples)) if has_people else None
    if not has_people:
        left_out["truth anchor"] = "It needs people's captions of the photographs. Give their folder, with --data."
    diversity = attempt("diversity", lambda: compared_diversity(round_samples(tracks, _shown_rounds(tracks))))
    told_prior = attempt("prior", lambda: prior_test(tracks, prior, resamples=min(resamples, 500))) if prior else None
    if not prior:
        left_out["prior"] = "It needs captions that the captioner learned from. Give their folder, with --data."
    return Lab(
        rounds=max(turn.round for track in tracks for turn in track.turns),
        chains=len(tracks),
        sources=len(set(labels)),
        curves=curves,
        **{name: _kept(values) for name, values in (("laws", laws), ("bits", bits), ("survival", survival))},
        truth=truth,
        replacements=tuple(fates.replacements(tracks)),
        model=model,
        **{name: _kept(values) for name, values in (("memory", memory), ("settling", settling), ("graphs", graphs))},
        sets=sets,
        diversity=diversity,
        prior=told_prior,
        left_out=left_out,
    )


def analyse_folder(folder: str | Path, *, data: str | Path | None = None, write: bool = True, **options: Any) -> Lab:
    """`analyse` an experiment, and write lab.json to its folder, replacing an older one.

    `data` is the data folder that its photographs are from: people's captions of them become the truth anchor, and the
    captions of its training split the prior. Raises the errors of `Experiment.open`, `open_data` and `analyse`,
    DataError for a folder that has none of the photographs, and SettingsError rather than replace a lab.json with these
    parts by one without.

    >>> analyse_folder("out/drift", data="flickr8k").truth.people  # doctest: +SKIP
    """
    played = Experiment.open(folder)
    if write and data is None:
        _refuse_to_lose(played.folder / LAB)
    tracks, prior = played.tracks(), []
    if data is not None:
        tracks, prior = with_people(played, data)
    lab = analyse(tracks, prior=prior, **options)
    if write:
        files.replace(played.folder / LAB, files.json_bytes(lab.record()))
    return lab


def _refuse_to_lose(path: Path) -> None:
    if path.exists() and read_json(path, dict[str, Any], remedy="Delete it.").get("truth") is not None:
        raise SettingsError(
            f"{path} compares with people's captions, which an analysis without data cannot: give the data folder "
            "(--data), or delete the file first."
        )


def in_words(lab: Lab) -> str:
    """The results in plain sentences, one to a line; those that were left out at the end, with the reason."""
    last = lab.rounds
    told = [f"{lab.chains} chains of {lab.sources} sources, {last} rounds."]
    for name, found in lab.bits.items():
        bits = [f"{_number(found.bits, t)} in round {found.rounds[t]}" for t in _places(found.rounds)]
        told.append(f"Bits left, by {name}, of {found.most:.2f}: {', '.join(bits)}.")
        told.append(f"Right photograph first, by {name}: {_percent(found.top1.value[-1])} in round {last}.")
    for name, race in lab.laws.items():
        verdict = f"best law {race.best}" if race.best else f"no law: {race.reason}"
        laws = ", ".join(f"{law.name} {law.aicc:.1f}" for law in race.laws)
        told.append(f"Similarity above chance, by {name}: {verdict}. AICc: {laws}.")
    if lab.truth is not None:
        near, people = lab.truth.near, lab.truth.people
        told.append(
            f"Nearness to people's captions: {_number(near, 0)} in round 0, {_number(near, -1)} in round {last}; "
            f"a person's {_number(people)}."
        )
    for kind, found in lab.survival.items():
        told.append(
            f"Words, {kind} ({found.words} in {found.sources} sources): {_number(found.unbroken, -1)} said in every "
            f"round to {last}, {_number(found.said, -1)} said in it; {_number(found.returned)} of those lost came back."
        )
    for each in lab.replacements[:3]:
        told.append(f"Replaced: {each.lost} by {each.gained}, {each.count:.0f} times ({each.expected:.0f} by chance).")
    if lab.model is not None:
        odds = lab.model.odds
        told += [
            f"Odds of being said in round {last}, {name}: × {_number(odds, i)} (alone × {_number(lab.model.alone, i)})."
            for i, name in enumerate(lab.model.names)
        ]
    for name, tests in lab.memory.items():
        told += [
            f"Memory of {name}, {test.what}: {test.excess:.3f} bits beyond chance, p = {test.p:.3f} "
            f"({test.transitions} transitions)."
            for test in tests
        ]
    for name, each in lab.settling.items():
        told.append(
            f"Settling of {name}, round {each.earlier} to {each.later}: distance {each.distance:.3f} "
            f"({each.by_chance:.3f} by chance), p = {each.p:.3f}."
        )
    for name, graph in lab.graphs.items():
        mixing = "never" if graph.mixing is None else f"{graph.mixing} rounds"
        told.append(
            f"Graph of {name}: {len(graph.states)} states with {_percent(graph.covered)} of the transitions; "
            f"relaxation {graph.relaxation:.1f} rounds, mixing {mixing}."
        )
    if lab.diversity is not None:
        told.append(
            f"Effective number of words at coverage {lab.diversity.coverage:.2f}: "
            + ", ".join(f"{name} {_number(found, 1, 0)}" for name, found in lab.diversity.numbers.items())
            + "."
        )
    if lab.prior is not None:
        told.append(
            f"Words against the captioner's training captions: {_number(lab.prior.distance, 0, 3)} bits in round 0, "
            f"{_number(lab.prior.distance, -1, 3)} in round {last} ({lab.prior.floor.value:.3f} at the least): "
            f"{lab.prior.verdict}."
        )
    told += [f"Left out: {name}. {reason}" for name, reason in lab.left_out.items()]
    return "\n".join([*told, MULTIPLICITY, ""])


def with_people(played: Experiment, data: str | Path) -> tuple[list[Track], list[Words]]:
    """The chains with what people wrote about their photographs, found by name in a data folder, and the captions of
    its training split. Raises DataError where it has none of the photographs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = open_data(data)
        splits = {split: opened.split(split) for split in ("train", "dev", "test") if _has(opened, split)}
    said = {
        name: tuple(tuple(words) for words in captions)
        for photos in splits.values()
        for name, captions in zip(photos.names, photos.captions, strict=True)
    }
    name_of = {source["id"]: source["name"] for source in played.manifest["sources"]}
    if not any(name in said for name in name_of.values()):
        raise DataError(f"{data} has none of the photographs of {played.folder}. Give the folder they are from.")
    tracks = [replace(track, references=said.get(name_of[track.source], track.references)) for track in played.tracks()]
    train = splits.get("train")
    return tracks, [] if train is None else [tuple(words) for captions in train.captions for words in captions]


def _has(opened: Any, split: str) -> bool:
    try:
        opened.split(split)
    except TelephoneganError:
        return False
    return True


def _above_chance(tracks: Sequence[Track], critic: Critic, resamples: int) -> tuple[np.ndarray, np.ndarray]:
    """Rounds from 1 on, and similarity to round 0 less that of other sources' chains: (T,), (1 + resamples,T)."""
    said = list(dict.fromkeys(turn.words for track in tracks for turn in track.turns))
    starts = list(dict.fromkeys(track.turns[0].words for track in tracks))
    row, column = ({words: i for i, words in enumerate(captions)} for captions in (said, starts))
    table = critic(said, starts)
    sources = sorted({track.source for track in tracks})
    place = {source: i for i, source in enumerate(sources)}
    rounds = sorted({turn.round for track in tracks for turn in track.turns} - {0})
    own = np.full((len(tracks), len(rounds)), np.nan)
    sums, counts = np.zeros((len(sources), len(sources), len(rounds))), np.zeros((len(sources), len(rounds)))
    first = np.zeros(len(sources), dtype=int)
    for track in tracks:
        first[place[track.source]] = column[track.turns[0].words]
    for i, track in enumerate(tracks):
        for turn in track.turns[1:]:
            t = rounds.index(turn.round)
            own[i, t] = table[row[turn.words], column[track.turns[0].words]]
            sums[:, place[track.source], t] += table[row[turn.words], first]
            counts[place[track.source], t] += 1
    drawn = Resamples([track.source for track in tracks], resamples)
    others = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return np.array(rounds), drawn.means(own) - drawn.pair_means(others)


def _memory(tracks: Sequence[Track], sequences: list, labels: Sequence[str], permutations: int) -> list[MemoryTest]:
    check_enough(tracks, "A test of memory", sources=20, rounds=3)
    tests = [markov.order_test(sequences, order, permutations=permutations) for order in (0, 1)]
    tests.append(markov.homogeneity_test(sequences, permutations=permutations))
    tests.append(replace(markov.homogeneity_test(sequences, labels, permutations=permutations), what="photograph"))
    return tests


def _shown_rounds(tracks: Sequence[Track]) -> list[int]:
    last = max(turn.round for track in tracks for turn in track.turns)
    return sorted({0, 1, last // 2, last})


def _first_captions(tracks: Sequence[Track]) -> list[Words]:
    return list({track.source: track.turns[0].words for track in tracks}.values())


def _frequency(captions: Sequence[Words]) -> Counter[str]:
    """How often each word of meaning occurs, forms of a word as one."""
    return Counter(word for words in captions for word in coverage.lemmas(words))


def _kept(values: dict[str, T | None]) -> dict[str, T]:
    return {name: value for name, value in values.items() if value is not None}


def _text(state: Any) -> str:
    return " ".join(state) if isinstance(state, tuple) else str(state)


def _plain(value: Any) -> Any:
    """Results as dictionaries, except estimates, which `jsonable` knows."""
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, Estimate):
        return _plain(vars(value))
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _places(rounds: np.ndarray) -> list[int]:
    return sorted({0, 1, len(rounds) // 2, len(rounds) - 1} & set(range(len(rounds))))


def _number(found: Estimate, place: int | None = None, digits: int = 2) -> str:
    value, low, high = (part if place is None else part[place] for part in (found.value, found.low, found.high))
    interval = f" [{low:.{digits}f}, {high:.{digits}f}]" if np.isfinite(low) else ""
    return f"{value:.{digits}f}{interval}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
