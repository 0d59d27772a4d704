"""A summary of the drift in an experiment: every measure by round, with intervals, chance and named references."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from telephonegan import drift, files, inference
from telephonegan.drift.decay import HalfLife, half_life
from telephonegan.drift.diversity import caption_diversity, caption_pairs, picture_pairs, same_caption
from telephonegan.drift.measures import MEASURES, Measure, Row, compared
from telephonegan.drift.references import REFERENCES, all_pairs, strangers, unrelated
from telephonegan.drift.statistics import Curves, Estimate, Resamples, above_chance, gc_at_t, mean_similarity, pivot
from telephonegan.drift.text_measures import content_f1
from telephonegan.drift.tracks import Material, Track, Words
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

Told = dict[str, Any]


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

    Unknown values are null, unbounded ones "Infinity" or "-Infinity". `measures`, `observers` and `device`:
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
    told, rows = _summarise(played.tracks(), measures, same_noise, observers, resamples, 0, where)
    counts = {
        "complete": played.is_complete,
        "sources": len(played.manifest["sources"]),
        "skipped": len(played.manifest["skipped"]),
        "chains_wanted": played.manifest["chains"],
        "rounds_wanted": played.plan.rounds,
    }
    summary = {"experiment": counts, **told}
    _check_richer(summary, played.folder)
    files.replace(played.folder / SIMILARITIES, _table(rows, [*told["measures"]]))
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
) -> tuple[Told, list[Row]]:
    tracks = list(tracks)
    if not any(len(track.turns) > 1 for track in tracks):
        raise DataError("No chain has two rounds yet, so there is nothing to compare. Play more rounds first.")
    resamples = inference.check_whole(resamples, "resamples", 1, 1_000_000)
    material = _material(tracks, observers, device)
    rows = _rows(material, measures)
    found = {row["measure"] for row in rows[_CHAINS]}
    drawn = Resamples([track.source for track in tracks], resamples, seed)
    rounds = np.arange(1, max(track.turns[-1].round for track in tracks) + 1)
    of_measure = partial(_of_measure, tracks=tracks, material=material, rows=rows, rounds=rounds, drawn=drawn)
    told = {
        "format": FORMAT,
        "resamples": resamples,
        "seed": seed,
        "measures": {name: of_measure(measure) for name, measure in MEASURES.items() if name in found},
        "survival": _survival(tracks, drawn, str),
        "survival_of_lemmas": _survival(tracks, drawn, lemma),
        "diversity": [jsonable(vars(each)) for each in caption_diversity(tracks)],
        "distances": _distances(tracks, drawn, material if _PICTURES in found else None),
        "repetition": _repetition(tracks, same_noise),
        "ends": _ends(tracks),
        "chains": _chains(tracks, rows[_CHAINS], same_noise),
    }
    return told, rows[_CHAINS]


# ---------------------------------------------------------------------------------------------------- similarities


def _material(tracks: list[Track], observers: drift.Observers | None, device: str) -> Material:
    """The chains together with what they are compared with, so that each picture passes a network once."""
    groups = {_CHAINS: tracks, _STRANGERS: unrelated(tracks) if len({track.source for track in tracks}) > 1 else []}
    groups |= {reference.name: reference.tracks(tracks) for reference in REFERENCES}
    named = [replace(track, chain=f"{group}/{track.chain}") for group, those in groups.items() for track in those]
    return Material(named, drift.document_frequency(tracks), observers=observers, device=device)


def _rows(material: Material, measures: Sequence[str] | None) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {group: [] for group in (_CHAINS, _STRANGERS, *(each.name for each in REFERENCES))}
    for row in compared(material, measures):
        group, _, chain = row["chain"].partition("/")
        rows[group].append({**row, "chain": chain})
    return rows


def _of_measure(
    measure: Measure,
    *,
    tracks: Sequence[Track],
    material: Material,
    rows: dict[str, list[Row]],
    rounds: np.ndarray,
    drawn: Resamples,
) -> Told:
    names = tuple(track.chain for track in tracks)
    chains = Curves(names, tuple(track.source for track in tracks), rounds, np.empty(0))
    start, previous = (
        pivot(rows[_CHAINS], measure.name, to=to, rounds=rounds, like=chains).values for to in ("start", "previous")
    )
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
            reference.name: _of_reference(rows[reference.name], measure, start, drawn)
            for reference in REFERENCES
            if measure.direction in reference.directions
            and any(row["measure"] == measure.name for row in rows[reference.name])
        },
    }
    objection = "there are no pictures to begin with" if np.isnan(start).all() else ""
    pairs = None if len(drawn.sources) < 2 else _chance(measure, chains, tracks, material, rows[_STRANGERS])
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
    measure: Measure, chains: Curves, tracks: Sequence[Track], material: Material, rows: Sequence[Row]
) -> np.ndarray | None:
    """Similarity of the start of source i to the rounds of source j, (S,S,T), for all pairs or one per source."""
    if measure.direction == "text→text" and _distinct_pairs(tracks) <= _MOST_PAIRS:

        def compare(first: Sequence[Words], later: Sequence[Words]) -> np.ndarray:
            places = ([material.caption_rows[words] for words in side] for side in (first, later))
            return measure.compute(material, *places)

        return all_pairs(tracks, compare, rounds=chains.rounds)
    found = [row for row in rows if row["measure"] == measure.name]
    if not found:
        return None
    values = pivot(found, measure.name, like=chains, rounds=chains.rounds).values
    sources = sorted(set(chains.sources))
    place, partner = {source: i for i, source in enumerate(sources)}, strangers(sources)
    pairs = np.full((len(sources), len(sources), len(chains.rounds)), np.nan)
    for source in sources:
        mine = values[[name == source for name in chains.sources]]
        known = ~np.isnan(mine)
        means = np.where(known, mine, 0).sum(0) / np.maximum(known.sum(0), 1)
        pairs[place[source], place[partner[source]]] = np.where(known.any(0), means, np.nan)
    return pairs


def _distinct_pairs(tracks: Sequence[Track]) -> int:
    later = {turn.words for track in tracks for turn in track.turns[1:]}
    return len({track.turns[0].words for track in tracks}) * len(later)


def _of_reference(rows: Sequence[Row], measure: Measure, start: np.ndarray, drawn: Resamples) -> Told:
    """Average within each source first, so that all sources have the same weight."""
    by_source = {source: [] for source in drawn.sources.tolist()}
    for row in rows:
        if (row["measure"], row["to"]) == (measure.name, "start"):
            by_source[row["source"]].append(row["value"])
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


def _survival(tracks: Sequence[Track], drawn: Resamples, form: Any) -> Told:
    """Survival by kind, and of all content words together."""

    def kind_of(word: str) -> str | None:
        return drift.kind_of(word) if drift.content_words([word]) else None

    def together(word: str) -> str | None:
        return "all" if drift.content_words([word]) else None

    told: Told = {}
    for kinds in (together, kind_of):
        found = survival(tracks, kinds, form=form)
        rounds = next(iter(found.values())).rounds if found else []
        by_chance = chance_survival(tracks, kinds, form=form, rounds=rounds)
        for kind, curves in found.items():
            shares = drawn.means(curves.values)
            chance = drawn.pair_means(by_chance[kind])
            has = ~np.isnan(curves.values[:, 0])
            told[kind] = {
                "rounds": curves.rounds.tolist(),
                "sources": len({source for source, here in zip(curves.sources, has, strict=True) if here}),
                "chains": int(has.sum()),
                "share": jsonable(drawn.estimate(shares)),
                "chance": jsonable(drawn.estimate(chance)),
                "excess": jsonable(drawn.estimate(shares - chance)),
            }
    return told


# ------------------------------------------------------------------------------------------------------- diversity


def _distances(tracks: Sequence[Track], drawn: Resamples, material: Material | None) -> Told:
    """Distances; those of pictures use features that the measure has computed already."""
    rounds = sorted({turn.round for track in tracks for turn in track.turns})

    def features_of(pictures: Sequence[Image.Image]) -> np.ndarray:
        return material.lite2_features[[material.picture_rows[id(picture)] for picture in pictures]]

    same = drawn.pair_means(caption_pairs(tracks, same_caption, rounds=rounds))
    apart = drawn.pair_means(caption_pairs(tracks, _distance, rounds=rounds))
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


def _chains(tracks: Sequence[Track], rows: Sequence[Row], same_noise: bool) -> list[Told]:
    last: dict[str, dict[str, float]] = {}
    for row in rows:  # in the order of rounds
        if row["to"] == "start":
            last.setdefault(row["chain"], {})[row["measure"]] = row["value"]
    return [
        {
            "chain": track.chain,
            "source": track.source,
            "seed": track.seed,
            "last_round": track.turns[-1].round,
            "first_repetition": (found := drift.Repetition.of(_said(track), same_noise=same_noise)).first,
            "left": found.left,
            "period": found.period,
            "last_to_start": jsonable(last.get(track.chain, {})),
        }
        for track in tracks
    ]


# ----------------------------------------------------------------------------------------------------------- files


def _table(rows: Sequence[Row], measures: Sequence[str]) -> bytes:
    cells: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        if row["to"] == "start":
            line = {name: row[name] for name in ("chain", "source", "seed", "round")}
            cells.setdefault((row["chain"], row["round"]), line)[row["measure"]] = round(row["value"], _TABLE_DIGITS)
    text = io.StringIO()
    table = csv.DictWriter(text, ["chain", "source", "seed", "round", *measures], lineterminator="\n")
    table.writeheader()
    table.writerows(cells.values())
    return text.getvalue().encode()


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
