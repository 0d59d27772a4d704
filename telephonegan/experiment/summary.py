"""A summary of the drift in an experiment: every measure by round, with intervals, chance and named references."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from telephonegan import drift, files, inference
from telephonegan.drift.decay import HalfLife, half_life
from telephonegan.drift.diversity import caption_diversity, caption_pairs, picture_pairs, same_caption
from telephonegan.drift.measures import MEASURES, Measure, curves
from telephonegan.drift.references import REFERENCES, all_pairs, strangers, unrelated
from telephonegan.drift.statistics import Estimate, Resamples, above_chance, gc_at_t, mean_similarity
from telephonegan.drift.text_measures import content_f1
from telephonegan.drift.tracks import Material, To, Track, Words
from telephonegan.drift.words import chance_survival, lemma, survival
from telephonegan.errors import DataError, OutputError
from telephonegan.experiment.old_summaries import FORMAT, OLD_FORMAT, OLD_REPAINTING, upgraded
from telephonegan.experiment.reading import Experiment
from telephonegan.experiment.summary_record import check_summary
from telephonegan.records import read_json

SUMMARY, SIMILARITIES = "summary.json", "similarities.csv"
_CHAINS, _STRANGERS = "chains", "unrelated"
_PICTURES = "lite2_cosine"  # the measure for distances between pictures
_COMMONEST, _DIGITS, _TABLE_DIGITS = 10, 6, 4
_SETTLED = 3  # consecutive rounds
_MOST_PAIRS = 1_000_000  # of distinct captions; above it, chance comes from one unrelated source for each
_MOST_PAIRED = 2_000  # chains, but at least one of each source

Told = dict[str, Any]
Found = dict[str, dict[To, np.ndarray]]  # similarities (N,T) of chains in rounds 1 to T, by measure


def summarise(
    tracks: Sequence[Track],
    measures: Sequence[str] | None = None,
    *,
    same_noise: bool = False,
    observers: drift.Observers | None = None,
    resamples: int = 2000,
    seed: int = 0,
    device: str = "cpu",
) -> Told:
    """A summary of many chains as JSON values.

    The 95 % intervals are from resampling the sources (see `Resamples`): they cover other photographs like these, but
    not other weights. `unknown`, if present, counts resamples without a value.

    - `measures`, by name: direction and range; `rounds`; similarity to the `start` and to the `previous` round, by
      round; `chance`, the similarity of unrelated chains, with the number of ordered `pairs` of sources; `references`
      by name (see `drift.references`), with the number of `sources` and the `difference` of the start curve from them;
      `above_chance`, for measures that give 1 for equal things; `half_life` (see `drift.decay`); `gc_at_t` (arXiv
      2402.14973) and `mean_similarity` (arXiv 2509.04438).
    - `survival`, by kind of word: the number of `sources`, the `share` of the content words of round 0 that are still
      said, by round, the share by `chance`, and the `excess` over it; `survival_of_lemmas` counts "dog" and "dogs" as
      one word.
    - `diversity` of the captions, by round, see `CaptionDiversity`; `distances`: means over pairs of sources of
      `same_caption` (the probability that both say the same), of 1 - content F1 of `captions` and, if lite2_cosine is
      among the measures, of 1 - Lite2 cosine of `pictures`; `…_change` is the last round minus round 0, or minus the
      first painted round.
    - `repetition`: how many chains repeat a caption, and how many say something else later; with the `same_noise` in
      every round, how many are caught in `cycles`, by length. `ends`: the most common last captions, with the number of
      chains, and of those that are `settled`, which means that they said it in the last three rounds.
    - `chains`: the source, seed, last round and repetition of each, and the similarity of its last round to its start.

    Of more than 2,000 chains, each source's first are what is compared with all others, for chance and distances of
    captions. Unknown values are null, unbounded ones "Infinity" or "-Infinity". `measures`, `observers` and `device`:
    see `drift.similarities`.
    Raises DataError if no chain has two rounds, and the errors of `drift.similarities`.

    >>> summarise(Experiment.open("out/drift").tracks())["measures"]["tfidf_cosine"]["start"]  # doctest: +SKIP
    """
    return _summarise(tracks, measures, same_noise, observers, resamples, seed, device)[0]


def write_summary(
    folder: str | Path, measures: Sequence[str] | None = None, *, resamples: int = 2000, device: str = "auto"
) -> Told:
    """Summarise an experiment, and write summary.json and similarities.csv to its folder, replacing older ones.

    The table has a row for every round from 1 on of every chain, with its similarity to round 0 by each measure.
    Raises the errors of `Experiment.open` and `summarise`, and OutputError if the older summary contains more.
    """
    played = Experiment.open(folder)
    observers = drift.Observers(captioner=played.plan.captioner)
    where, same_noise = str(inference.resolve_device(device)), played.plan.seed_policy == "fixed"
    tracks = played.tracks()
    told, found = _summarise(tracks, measures, same_noise, observers, resamples, 0, where)
    counts = {
        "complete": played.is_complete,
        "sources": len(played.manifest["sources"]),
        "skipped": len(played.manifest["skipped"]),
        "chains_wanted": played.manifest["chains"],
        "rounds_wanted": played.plan.rounds,
    }
    summary = {"experiment": counts, **told}
    _check_richer(summary, played.folder)
    _write_table(played.folder / SIMILARITIES, tracks, {name: found[name] for name in told["measures"]})
    files.replace(played.folder / SUMMARY, files.json_bytes(summary))
    return summary


def read_summary(folder: Path) -> Told:
    """The contents of an experiment's summary.json, also if an older version wrote it. Raises DataError."""
    remedy = f"Make it with: telephonegan experiment summary {folder}"
    summary = read_json(folder / SUMMARY, remedy=remedy)
    if not isinstance(summary, dict) or summary.get("format") not in (FORMAT, OLD_FORMAT):
        raise DataError(f"{folder / SUMMARY} is of another version. {remedy}")
    try:
        summary = summary if summary["format"] == FORMAT else upgraded(summary)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise DataError(f"{folder / SUMMARY} is damaged. {remedy}") from error
    check_summary(summary, str(folder / SUMMARY), remedy)
    return summary


def estimate(told: Told) -> Estimate:
    """An estimate from the summary, where null is NaN."""
    return Estimate(*(np.array(told[part], dtype=float)[()] for part in ("value", "low", "high")))


def _summarise(
    tracks: Sequence[Track],
    measures: Sequence[str] | None,
    same_noise: bool,
    observers: drift.Observers | None,
    resamples: int,
    seed: int,
    device: str,
) -> tuple[Told, Found]:
    tracks = list(tracks)
    if not any(len(track.turns) > 1 for track in tracks):
        raise DataError("No chain has two rounds yet, so there is nothing to compare. Play more rounds first.")
    resamples = inference.check_whole(resamples, "resamples", 1, 1_000_000)
    rounds = np.arange(1, max(track.turns[-1].round for track in tracks) + 1)
    groups = _groups(tracks)
    # All in one, so that each picture passes a network once.
    together = [track for group in groups.values() for track in group]
    material = Material(together, drift.document_frequency(tracks), observers=observers, device=device)
    found = {
        name: curves(material, group, measures, rounds=rounds if name == _STRANGERS else None, to=("start",))
        for name, group in groups.items()
        if name != _CHAINS
    }
    found[_CHAINS] = curves(material, tracks, measures, rounds=rounds)
    drawn, few = Resamples([track.source for track in tracks], resamples, seed), _few(tracks)
    of_measure = partial(
        _of_measure, few=few, material=material, groups=groups, found=found, rounds=rounds, drawn=drawn
    )
    told = {
        "format": FORMAT,
        "resamples": resamples,
        "seed": seed,
        "measures": {name: of_measure(measure) for name, measure in MEASURES.items() if name in found[_CHAINS]},
        "survival": _survival(tracks, few, drawn, str),
        "survival_of_lemmas": _survival(tracks, few, drawn, lemma),
        "diversity": [jsonable(vars(each)) for each in caption_diversity(tracks)],
        "distances": _distances(tracks, few, drawn, material if _PICTURES in found[_CHAINS] else None),
        "repetition": _repetition(tracks, same_noise),
        "ends": _ends(tracks),
        "chains": _chains(tracks, found[_CHAINS], same_noise),
    }
    return told, found[_CHAINS]


def _few(tracks: list[Track]) -> list[Track]:
    """As many chains of each source, from its first, as can be compared with one another."""
    most = max(1, _MOST_PAIRED // len({track.source for track in tracks}))
    taken: Counter[str] = Counter()
    few = []
    for track in tracks:
        taken[track.source] += 1
        if taken[track.source] <= most:
            few.append(track)
    return few


# ---------------------------------------------------------------------------------------------------- similarities


def _groups(tracks: list[Track]) -> dict[str, list[Track]]:
    """The chains, and what they are compared with, by name."""
    groups = {_CHAINS: tracks, _STRANGERS: unrelated(tracks) if len({track.source for track in tracks}) > 1 else []}
    return groups | {reference.name: reference.tracks(tracks) for reference in REFERENCES}


def _of_measure(
    measure: Measure,
    *,
    few: Sequence[Track],
    material: Material,
    groups: dict[str, list[Track]],
    found: dict[str, Found],
    rounds: np.ndarray,
    drawn: Resamples,
) -> Told:
    start, previous = (found[_CHAINS][measure.name][to] for to in ("start", "previous"))
    told = {
        "direction": measure.direction,
        "lowest": jsonable(measure.lowest),
        "highest": jsonable(measure.highest),
        "rounds": rounds.tolist(),
        "start": jsonable(drawn.estimate(drawn.means(start))),
        "previous": jsonable(drawn.estimate(drawn.means(previous))),
        "gc_at_t": jsonable(drawn.estimate(drawn.means(gc_at_t(rounds, start)))),
        "mean_similarity": jsonable(drawn.estimate(drawn.means(mean_similarity(rounds, start)))),
        "references": {
            reference.name: _of_reference(
                groups[reference.name], found[reference.name][measure.name]["start"], start, drawn
            )
            for reference in REFERENCES
            if measure.direction in reference.directions and measure.name in found[reference.name]
        },
    }
    objection = "there are no pictures to begin with" if np.isnan(start).all() else ""
    apart = found[_STRANGERS].get(measure.name)
    pairs = None if len(drawn.sources) < 2 else _chance(measure, few, material, rounds, apart, drawn)
    if pairs is None or np.isnan(pairs).all():
        objection = objection or "there are no other sources to estimate chance from"
    if objection:
        refused = _halving(HalfLife(None, None, reason=objection))
        return {**told, "chance": None, "pairs": 0, "above_chance": None, "half_life": refused}
    values, chance = drawn.means(start), drawn.pair_means(pairs)
    is_one_with_itself = measure.highest == 1 and len(set(measure.direction.split("→"))) == 1
    return {
        **told,
        "chance": jsonable(drawn.estimate(chance)),
        "pairs": _off_diagonal(pairs[..., -1]),
        "above_chance": jsonable(drawn.estimate(above_chance(values, chance))) if is_one_with_itself else None,
        "half_life": _halving(half_life(rounds, values - chance)),
    }


def _chance(
    measure: Measure,
    few: Sequence[Track],
    material: Material,
    rounds: np.ndarray,
    apart: dict[To, np.ndarray] | None,
    drawn: Resamples,
) -> np.ndarray | None:
    """Similarity of the start of source i to the rounds of source j, (S,S,T), for all pairs or one per source."""
    if measure.direction == "text→text" and _distinct_pairs(few) <= _MOST_PAIRS:

        def compare(first: Sequence[Words], later: Sequence[Words]) -> np.ndarray:
            places = ([material.caption_rows[words] for words in side] for side in (first, later))
            return measure.compute(material, *places)

        return all_pairs(few, compare, rounds=rounds)
    if apart is None:
        return None
    sources = drawn.sources.tolist()
    place, partner = {source: i for i, source in enumerate(sources)}, strangers(sources)
    pairs = np.full((len(sources), len(sources), len(rounds)), np.nan)
    for i, source in enumerate(sources):
        mine = apart["start"][drawn.of_chain == i]
        known = ~np.isnan(mine)
        means = np.where(known, mine, 0).sum(0) / np.maximum(known.sum(0), 1)
        pairs[i, place[partner[source]]] = np.where(known.any(0), means, np.nan)
    return pairs


def _distinct_pairs(tracks: Sequence[Track]) -> int:
    later = {turn.words for track in tracks for turn in track.turns[1:]}
    return len({track.turns[0].words for track in tracks}) * len(later)


def _of_reference(tracks: Sequence[Track], values: np.ndarray, start: np.ndarray, drawn: Resamples) -> Told:
    """Average within each source first, so that all sources have the same weight."""
    by_source: dict[str, list[float]] = {source: [] for source in drawn.sources.tolist()}
    for track, row in zip(tracks, values, strict=True):
        by_source[track.source] += row[~np.isnan(row)].tolist()
    means = np.array([np.mean(values) if values else np.nan for values in by_source.values()])
    of_chains = means[drawn.of_chain]
    return {
        **jsonable(drawn.estimate(drawn.means(of_chains))),
        "sources": int((~np.isnan(means)).sum()),
        "difference": jsonable(drawn.estimate(drawn.means(start - of_chains[:, None]))),
    }


def _halving(found: HalfLife) -> Told:
    return jsonable({**vars(found), "laws": [vars(law) for law in found.laws]})


# ----------------------------------------------------------------------------------------------------------- words


def _survival(tracks: Sequence[Track], few: Sequence[Track], drawn: Resamples, form: Any) -> Told:
    """Survival by kind, and of all content words together."""

    def kind_of(word: str) -> str | None:
        return drift.kind_of(word) if drift.content_words([word]) else None

    def together(word: str) -> str | None:
        return "all" if drift.content_words([word]) else None

    told: Told = {}
    for kinds in (together, kind_of):
        found = survival(tracks, kinds, form=form)
        rounds = next(iter(found.values())).rounds if found else []
        by_chance = chance_survival(few, kinds, form=form, rounds=rounds)
        for kind, kept in found.items():
            shares = drawn.means(kept.values)
            chance = drawn.pair_means(by_chance[kind]) if kind in by_chance else np.full_like(shares, np.nan)
            has = ~np.isnan(kept.values[:, 0])
            told[kind] = {
                "rounds": kept.rounds.tolist(),
                "sources": len({source for source, here in zip(kept.sources, has, strict=True) if here}),
                "chains": int(has.sum()),
                "share": jsonable(drawn.estimate(shares)),
                "chance": jsonable(drawn.estimate(chance)),
                "excess": jsonable(drawn.estimate(shares - chance)),
            }
    return told


# ------------------------------------------------------------------------------------------------------- diversity


def _distances(tracks: Sequence[Track], few: Sequence[Track], drawn: Resamples, material: Material | None) -> Told:
    """Distances; those of pictures use features that the measure has computed already."""
    rounds = sorted({turn.round for track in tracks for turn in track.turns})

    def features_of(pictures: Sequence[Image.Image]) -> np.ndarray:
        return material.lite2_features[[material.picture_rows[id(picture)] for picture in pictures]]

    same = drawn.pair_means(caption_pairs(few, same_caption, rounds=rounds))
    apart = drawn.pair_means(caption_pairs(few, _distance, rounds=rounds))
    told = {
        "rounds": rounds,
        "same_caption": jsonable(drawn.estimate(same)),
        "captions": jsonable(drawn.estimate(apart)),
        "captions_change": jsonable(drawn.estimate(apart[:, -1] - apart[:, 0])),
    }
    if material is None:
        return {**told, "pictures": None, "pictures_change": None}
    looks = drawn.pair_means(picture_pairs(tracks, features_of, rounds=rounds))
    painted = [t for t in np.flatnonzero(~np.isnan(looks[0])) if rounds[t] > 0]
    change = looks[:, painted[-1]] - looks[:, painted[0]] if painted else np.full(len(looks), np.nan)
    return {**told, "pictures": jsonable(drawn.estimate(looks)), "pictures_change": jsonable(drawn.estimate(change))}


def _distance(captions: Sequence[Words], others: Sequence[Words]) -> np.ndarray:
    return 1 - content_f1(captions, others)


# ------------------------------------------------------------------------------------------------------ repetition


def _said(track: Track) -> list[Words]:
    return [turn.words for turn in track.turns]


def _repetition(tracks: Sequence[Track], same_noise: bool) -> Told:
    every = [_said(track) for track in tracks]
    found = [drift.Repetition.of(said, same_noise=same_noise) for said in every]
    first = [(each, len(said) - 1) for each, said in zip(found, every, strict=True) if each.first is not None]
    again = [(said, t) for said in every for t in range(1, len(said)) if said[t] == said[t - 1]]
    followed = [(said, t) for said, t in again if t + 1 < len(said)]
    cycles = Counter(each.period for each in found if each.period is not None)
    return {
        "chains": len(found),
        "same_noise": same_noise,
        "repeat": len(first),
        "repeat_before_last": sum(each.first < last for each, last in first),
        "left": sum(each.left is not None for each, _ in first),
        "repeat_at_end": sum(t == len(said) - 1 for said, t in again),
        "repeated_rounds": len(followed),
        "repeated_rounds_left": sum(said[t + 1] != said[t] for said, t in followed),
        "cycles": {str(length): count for length, count in sorted(cycles.items())} if same_noise else None,
        "in_a_cycle": sum(cycles.values()) if same_noise else None,
        "different_ends": len({said[-1] for said in every}),
    }


def _ends(tracks: Sequence[Track]) -> list[Told]:
    last = Counter(" ".join(track.turns[-1].words) for track in tracks)
    settled = Counter(" ".join(track.turns[-1].words) for track in tracks if _is_settled(_said(track)))
    commonest = sorted(last.items(), key=lambda item: (-item[1], item[0]))[:_COMMONEST]
    return [{"caption": caption, "chains": count, "settled": settled[caption]} for caption, count in commonest]


def _is_settled(said: Sequence[Words]) -> bool:
    return len(said) >= _SETTLED and len(set(said[-_SETTLED:])) == 1


def _chains(tracks: Sequence[Track], similar: Found, same_noise: bool) -> list[Told]:
    return [
        {
            "chain": track.chain,
            "source": track.source,
            "seed": track.seed,
            "last_round": track.turns[-1].round,
            "first_repetition": (found := drift.Repetition.of(_said(track), same_noise=same_noise)).first,
            "left": found.left,
            "period": found.period,
            "last_to_start": jsonable(_last_known({name: both["start"][i] for name, both in similar.items()})),
        }
        for i, track in enumerate(tracks)
    ]


def _last_known(values: dict[str, np.ndarray]) -> dict[str, float]:
    """The last value of each curve (T,) that has one, in the order in which they begin."""
    known = {name: places for name, each in values.items() if len(places := np.flatnonzero(~np.isnan(each)))}
    return {name: float(values[name][known[name][-1]]) for name in sorted(known, key=lambda name: known[name][0])}


# ----------------------------------------------------------------------------------------------------------- files


def _write_table(path: Path, tracks: Sequence[Track], found: Found) -> None:
    """A row for each round of which something is known, written one by one."""
    with files.replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["chain", "source", "seed", "round", *found])
        for i, track in enumerate(tracks):
            for t, values in enumerate(zip(*(both["start"][i].tolist() for both in found.values()), strict=True), 1):
                if not all(map(math.isnan, values)):
                    cells = ["" if math.isnan(value) else round(value, _TABLE_DIGITS) for value in values]
                    table.writerow([track.chain, track.source, track.seed, t, *cells])


def _check_richer(summary: Told, folder: Path) -> None:
    """Refuse to replace a summary that contains more, because it was made with pictures or other measures."""
    try:
        older = read_summary(folder)
    except DataError:
        return
    lost = [name for name, told in older["measures"].items() if _holds_less(summary["measures"].get(name), told)]
    if lost:
        raise OutputError(
            f"{folder / SUMMARY} has more than a new summary would: {', '.join(lost)}. Restore the pictures and human "
            "captions and give all measures with --measures, or move the file away."
        )


def _holds_less(told: Told | None, older: Told) -> bool:
    if told is None or (older["chance"] is not None and told["chance"] is None):
        return True
    return not set(older["references"]) - {OLD_REPAINTING} <= told["references"].keys()


def _off_diagonal(values: np.ndarray) -> int:
    return int((~np.isnan(values)).sum() - (~np.isnan(values.diagonal())).sum())


def jsonable(value: Any) -> Any:
    """Estimates, arrays and numbers as JSON values; infinite numbers become texts that `float` can read."""
    if isinstance(value, Estimate):
        parts = vars(value) if np.any(value.unknown) else {name: vars(value)[name] for name in ("value", "low", "high")}
        return jsonable(parts)
    if isinstance(value, dict):
        return {name: jsonable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, _DIGITS)
    return value
