"""How meaning drifts in an experiment: every measure by round, between floor and ceiling, with intervals."""

from __future__ import annotations

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
from telephonegan.drift.diversity import caption_diversity, picture_diversity
from telephonegan.drift.floor_and_ceiling import other_captions, repaintings, unrelated
from telephonegan.drift.measures import MEASURES, Measure, Row, compared
from telephonegan.drift.statistics import (
    Curves,
    Estimate,
    bootstrap,
    fraction,
    gc_at_t,
    half_life,
    mean_of_known,
    mean_similarity,
    pivot,
)
from telephonegan.drift.text_measures import content_f1
from telephonegan.drift.tracks import Material, Track, Words
from telephonegan.drift.words import survival
from telephonegan.errors import DataError, OutputError
from telephonegan.experiment.reading import Experiment
from telephonegan.records import read_json

SUMMARY = "summary.json"
_FORMAT = 1
_CHAINS, _FLOOR, _WORDS, _PAINTINGS = "chains", "unrelated", "other captions", "other paintings"
_LACKING = {_WORDS: "human captions for a ceiling", _PAINTINGS: "other seeds for a ceiling"}
_PICTURES = "lite2_cosine"  # pictures are as far apart as they are unlike by this measure
_COMMONEST, _DIGITS = 10, 6


def summarise(
    tracks: Sequence[Track],
    measures: Sequence[str] | None = None,
    *,
    observers: drift.Observers | None = None,
    resamples: int = 2000,
    seed: int = 0,
    device: str = "cpu",
) -> dict[str, Any]:
    """All that can be said of many chains together, as JSON holds it; intervals are of 95 %, resampled over sources.

    - `measures`, by name: direction and range; `rounds`; similarity to the `start` and to the `previous` round, round
      by round; the `floor` (unrelated chains) round by round and the `ceiling` (other human captions of the photograph,
      or another seed's painting of the caption); the `fraction` between them; `half_life`, or null and the `reason`,
      where all fades to the floor in the end, and `half_life_to_plateau`, where some of it stays;
      `gc_at_t` (arXiv 2402.14973) and `mean_similarity` (arXiv 2509.04438).
    - `survival`: by kind of word, the share of the content words of round 0 that are still said, round by round.
    - `diversity` of the captions, round by round: `unique` ones, `distance` (mean of 1 - content F1 over pairs of
      chains of different sources; 0, all alike, to 1) and the `share` of the `commonest`; `picture_diversity`, where
      lite2_cosine is among the measures, of the rounds that have `pictures`: `distance` (mean of 1 - Lite2 cosine over
      such pairs; 0, all alike, to 1).
    - `repetition`: how chains end; `attractors`: in what.
    - `chains`: each one's source, seed, last round, fixed point, period, and similarity of its last round to its start.

    What is not known is null, and what has no bound "Infinity" or "-Infinity". `measures`, `observers` and `device`:
    see `drift.similarities`.
    Raises DataError for no chain of two rounds, and the errors of `drift.similarities`.

    >>> summarise(Experiment.open("out/drift").tracks())["measures"]["tfidf_cosine"]["start"]  # doctest: +SKIP
    """
    tracks = list(tracks)
    if not any(len(track.turns) > 1 for track in tracks):
        raise DataError("No chain has two rounds yet, so there is nothing to compare. Play on first.")
    inference.check_whole(resamples, "resamples", 1, 1_000_000)
    material = _material(tracks, observers, device)
    rows = _rows(material, measures)
    found = {row["measure"] for row in rows[_CHAINS]}
    rounds = range(1, max(track.turns[-1].round for track in tracks) + 1)
    statistics = partial(_of_measure, rows=rows, rounds=rounds, resamples=resamples, seed=seed)
    return {
        "format": _FORMAT,
        "resamples": resamples,
        "seed": seed,
        "measures": {name: statistics(measure) for name, measure in MEASURES.items() if name in found},
        "survival": _survival(tracks, resamples, seed),
        "diversity": [_told(vars(each)) for each in caption_diversity(tracks, _distance)],
        "picture_diversity": _of_pictures(tracks, material) if _PICTURES in found else None,
        **_endings(tracks),
        "chains": _chains(tracks, rows[_CHAINS]),
    }


def write_summary(
    folder: str | Path, measures: Sequence[str] | None = None, *, resamples: int = 2000, device: str = "auto"
) -> dict[str, Any]:
    """Summarise an experiment, and put the result into its folder as summary.json, in place of an older one.

    Raises the errors of `Experiment.open` and `summarise`, and OutputError where the older one holds more.
    """
    played = Experiment.open(folder)
    observers = drift.Observers(captioner=played.plan.captioner)
    where = str(inference.resolve_device(device))
    told = summarise(played.tracks(), measures, observers=observers, resamples=resamples, device=where)
    counts = {
        "complete": played.is_complete,
        "sources": len(played.manifest["sources"]),
        "skipped": len(played.manifest["skipped"]),
        "chains_wanted": played.manifest["chains"],
        "rounds_wanted": played.plan.rounds,
    }
    summary = {"experiment": counts, **told}
    _check_richer(summary, played.folder)
    files.replace(played.folder / SUMMARY, files.json_bytes(summary))
    return summary


def _check_richer(summary: dict[str, Any], folder: Path) -> None:
    """An older summary may have been made where there were pictures, or took measures that nobody named this time."""
    try:
        older = read_summary(folder)
    except DataError:
        return
    lost = [name for name, told in older["measures"].items() if _holds_less(summary["measures"].get(name), told)]
    if lost:
        raise OutputError(
            f"{folder / SUMMARY} holds more than a new summary would: {', '.join(lost)}. Bring back the pictures and "
            "human captions, and name all measures with --measures; or move the file away to make a new one."
        )


def _holds_less(told: dict[str, Any] | None, older: dict[str, Any]) -> bool:
    return told is None or any(older[part] is not None and told[part] is None for part in ("floor", "ceiling"))


def read_summary(folder: Path) -> dict[str, Any]:
    """summary.json of an experiment. Raises DataError."""
    remedy = f"Make it with: telephonegan experiment summary {folder}"
    summary = read_json(folder / SUMMARY, remedy=remedy)
    if not isinstance(summary, dict) or summary.get("format") != _FORMAT:
        raise DataError(f"{folder / SUMMARY} is of another version. {remedy}")
    return summary


def estimate(told: dict[str, Any]) -> Estimate:
    """An estimate from the summary, where null is NaN."""
    return Estimate(*(np.array(told[part], dtype=float)[()] for part in ("value", "low", "high")))


def in_words(summary: dict[str, Any]) -> str:
    """The summary for a terminal."""
    counts = summary["experiment"]
    lines = [
        f"{len(summary['chains'])} chains of {counts['sources']} sources, {counts['rounds_wanted']} rounds; "
        f"{counts['skipped']} sources were skipped." + ("" if counts["complete"] else " Not all is played yet."),
        "",
        "{:26} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7}  {}".format(
            "similarity to round 0", "first", "last", "floor", "ceiling", "mean", "GC@T", "half-life in rounds"
        ),
    ]
    lines += [_measure_in_words(name, each) for name, each in summary["measures"].items()]
    if any(name.startswith("damsm") for name in summary["measures"]):
        lines.append("damsm is the teacher's own opinion: the generator was trained to please it.")
    lines += ["", "share of the words of round 0 still said in the last round:"]
    for kind, each in summary["survival"].items():
        lines.append(f"  {kind:8} {_number(each['share']['value'][-1])} {_interval(each['share'], -1)}")
    first, last = summary["diversity"][0], summary["diversity"][-1]
    lines.append(
        f"different captions among the chains of a seed: {first['unique_per_seed']:.0f} in round {first['round']}, "
        f"{last['unique_per_seed']:.0f} in round {last['round']}; effective number: {first['effective']:.0f} and "
        f"{last['effective']:.0f}; mean distance of two captions, 1 - content F1: "
        f"{_number(first['distance'])} → {_number(last['distance'])}"
    )
    lines += _pictures_in_words(summary["picture_diversity"] or [])
    ends, common = summary["repetition"], summary["attractors"][0]
    lengths = ", ".join(f"{count} of length {period}" for period, count in ends["periods"].items()) or "none"
    lines.append(f"chains that end in a cycle: {lengths}; different ends: {ends['different_ends']}")
    lines.append(f"commonest end, of {common['chains']} chains: {' → '.join(common['captions'])}")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------------- similarities


def _material(tracks: list[Track], observers: drift.Observers | None, device: str) -> Material:
    """The chains, and what makes floor and ceiling, together: a network sees each picture once."""
    groups = {
        _CHAINS: tracks,
        _FLOOR: unrelated(tracks) if len({track.source for track in tracks}) > 1 else [],
        _WORDS: other_captions(tracks),
        _PAINTINGS: repaintings(tracks),
    }
    named = [replace(track, chain=f"{group}/{track.chain}") for group, those in groups.items() for track in those]
    return Material(named, drift.document_frequency(tracks), observers=observers, device=device)


def _rows(material: Material, measures: Sequence[str] | None) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {group: [] for group in (_CHAINS, _FLOOR, _WORDS, _PAINTINGS)}
    for row in compared(material, measures):
        group, _, chain = row["chain"].partition("/")
        rows[group].append({**row, "chain": chain})
    return rows


def _of_measure(
    measure: Measure, *, rows: dict[str, list[Row]], rounds: range, resamples: int, seed: int
) -> dict[str, Any]:
    curves, steps = (pivot(rows[_CHAINS], measure.name, to=to, rounds=rounds) for to in ("start", "previous"))
    draw = {"sources": curves.sources, "resamples": resamples, "seed": seed}
    return {
        "direction": measure.direction,
        "lowest": _told(measure.lowest),
        "highest": _told(measure.highest),
        "rounds": curves.rounds.tolist(),
        "start": _told(bootstrap(mean_of_known, curves.values, **draw)),
        "previous": _told(bootstrap(mean_of_known, steps.values, **draw)),
        "gc_at_t": _told(bootstrap(mean_of_known, gc_at_t(curves.rounds, curves.values), **draw)),
        "mean_similarity": _told(bootstrap(mean_of_known, mean_similarity(curves.rounds, curves.values), **draw)),
        **_between(measure, curves, rows, draw),
    }


def _between(measure: Measure, curves: Curves, rows: dict[str, list[Row]], draw: dict[str, Any]) -> dict[str, Any]:
    """Floor, ceiling, fraction and half-life, as far as they are known."""
    floor = _beside(rows[_FLOOR], measure, curves, curves.rounds)
    kind = _PAINTINGS if measure.direction.endswith("image") else _WORDS
    ceilings = _beside(rows[kind], measure, curves)
    ceiling = None if ceilings is None else mean_of_known(ceilings.values, axis=1)
    told: dict[str, Any] = {
        "floor": None if floor is None else _told(mean_of_known(floor.values)),
        "ceiling": None if ceiling is None else _told(mean_of_known(ceiling)),
        "ceiling_of": None if ceiling is None else kind,
    }
    objection = _objection(curves, floor, ceiling, kind, draw)
    if objection:
        none = {"rounds": None, "reason": objection}
        return {**told, "fraction": None, "half_life": none, "half_life_to_plateau": none}
    given = (curves.rounds, curves.values, floor.values, ceiling)
    return {
        **told,
        "fraction": _told(fraction(*given[1:], **draw)),
        "half_life": _told(vars(half_life(*given, **draw))),
        "half_life_to_plateau": _told(vars(half_life(*given, **draw, plateau=True))),
    }


def _beside(rows: list[Row], measure: Measure, curves: Curves, rounds: np.ndarray | None = None) -> Curves | None:
    """The values of other tracks in the order of the chains they belong to; None where there are none."""
    found = [row for row in rows if (row["measure"], row["to"]) == (measure.name, "start")]
    return pivot(found, measure.name, like=curves, rounds=rounds) if found else None


def _objection(
    curves: Curves, floor: Curves | None, ceiling: np.ndarray | None, kind: str, draw: dict[str, Any]
) -> str:
    """Why there is no fraction between floor and ceiling, if so."""
    if np.isnan(curves.values).all():
        return "there are no pictures to begin with"
    if floor is None:
        return "there are no other sources for a floor"
    if ceiling is None:
        return f"there are no {_LACKING[kind]}"
    room = bootstrap(mean_of_known, ceiling - mean_of_known(floor.values, axis=1), **draw)
    return "the ceiling is not surely above the floor" if room.value <= 0 or room.low <= 0 else ""


# ----------------------------------------------------------------------------------------------------------- words


def _survival(tracks: Sequence[Track], resamples: int, seed: int) -> dict[str, Any]:
    """By kind, and of all content words together."""
    by_kind = survival(tracks, lambda word: drift.kind_of(word) if drift.content_words([word]) else None)
    together = survival(tracks, lambda word: "all" if drift.content_words([word]) else None)
    return {
        kind: {
            "rounds": curves.rounds.tolist(),
            "chains": int((~np.isnan(curves.values[:, 0])).sum()),
            "share": _told(
                bootstrap(mean_of_known, curves.values, sources=curves.sources, resamples=resamples, seed=seed)
            ),
        }
        for kind, curves in (together | by_kind).items()
    }


def _distance(captions: Sequence[Words], others: Sequence[Words]) -> np.ndarray:
    return 1 - content_f1(captions, others)


def _of_pictures(tracks: Sequence[Track], material: Material) -> list[dict[str, Any]]:
    """By the features that the measure has computed already."""

    def features_of(pictures: Sequence[Image.Image]) -> np.ndarray:
        return material.lite2_features[[material.picture_rows[id(picture)] for picture in pictures]]

    return [_told(vars(each)) for each in picture_diversity(tracks, features_of)]


def _endings(tracks: Sequence[Track]) -> dict[str, Any]:
    ends = [drift.Repetition.of([turn.words for turn in track.turns]) for track in tracks]
    attractors = Counter(tuple(map(" ".join, each.attractor)) for each in ends)
    commonest = sorted(attractors.items(), key=lambda item: (-item[1], item[0]))[:_COMMONEST]
    periods = Counter(each.period for each in ends if each.period is not None)
    return {
        "repetition": {
            "chains": len(ends),
            "with_a_fixed_point": sum(each.first_fixed_point is not None for each in ends),
            "periods": {str(period): count for period, count in sorted(periods.items())},
            "different_ends": len(attractors),
        },
        "attractors": [{"captions": list(captions), "chains": count} for captions, count in commonest],
    }


def _chains(tracks: Sequence[Track], rows: Sequence[Row]) -> list[dict[str, Any]]:
    last: dict[str, dict[str, float]] = {}
    for row in rows:  # later rounds come later
        if row["to"] == "start":
            last.setdefault(row["chain"], {})[row["measure"]] = row["value"]
    return [
        {
            "chain": track.chain,
            "source": track.source,
            "seed": track.seed,
            "last_round": track.turns[-1].round,
            "first_fixed_point": (
                ending := drift.Repetition.of([turn.words for turn in track.turns])
            ).first_fixed_point,
            "period": ending.period,
            "last_to_start": _told(last.get(track.chain, {})),
        }
        for track in tracks
    ]


# ----------------------------------------------------------------------------------------------------------- telling


def _told(value: Any) -> Any:
    """Estimates, arrays and numbers as JSON holds them; `float` reads the text of an infinite one."""
    if isinstance(value, Estimate):
        return _told(vars(value))
    if isinstance(value, dict):
        return {name: _told(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_told(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return _told(value.tolist())
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, _DIGITS)
    return value


def _measure_in_words(name: str, told: dict[str, Any]) -> str:
    floor = told["floor"] or [None]
    cells = (
        told["start"]["value"][0],
        told["start"]["value"][-1],
        floor[-1],
        told["ceiling"],
        told["mean_similarity"]["value"],
        told["gc_at_t"]["value"],
    )
    end, stays = _halving_in_words(told["half_life"]), _halving_in_words(told["half_life_to_plateau"])
    end += "" if end == stays else f"; to a plateau: {stays}"
    return "{:26} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7}  {}".format(name, *map(_number, cells), end)


def _halving_in_words(told: dict[str, Any]) -> str:
    if told["rounds"] is None:
        return told["reason"]
    return f"{_number(told['rounds']['value'])} {_interval(told['rounds'])}"


def _pictures_in_words(told: list[dict[str, Any]]) -> list[str]:
    """Of the first two rounds and the last: paintings are more alike than photographs from the start."""
    known = [each for each in told if each["distance"] is not None]
    if not known:
        return []
    shown = {each["round"]: each["distance"] for each in (*known[:2], known[-1])}
    distances = ", ".join(f"{_number(distance)} in round {number}" for number, distance in shown.items())
    return [f"mean distance of two pictures, 1 - Lite2 cosine: {distances}"]


def _number(value: float | str | None) -> str:
    return "–" if value is None else f"{float(value):.2f}".replace("inf", "∞")


def _interval(told: dict[str, Any], place: int | None = None) -> str:
    low, high = (told[end] if place is None else told[end][place] for end in ("low", "high"))
    return f"[{_number(low)}, {_number(high)}]"
