"""All figures of an experiment, and its LaTeX table."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from telephonegan import drift, figures, files
from telephonegan.drift import MEASURES
from telephonegan.drift.statistics import Estimate
from telephonegan.errors import DataError, SettingsError
from telephonegan.experiment.reading import Experiment
from telephonegan.experiment.summary import estimate, read_summary

_TEXTS, _LOOKS = ("semantic_cosine", "tfidf_cosine", "content_f1"), ("ssim", "lite2_cosine")
_SCALED = ("tfidf_cosine", "content_f1", "semantic_cosine", "lite2_cosine", "ssim")
_GRID = 8


def draw(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    suffix: str = "pdf",
    chain: str | None = None,
) -> Path:
    """Draw all figures that an experiment's summary and chains allow into a new folder, and return it.

    `out` is by default figures/ in the experiment's folder; `suffix` is pdf, svg or png; `chain` names the chain whose
    words and pictures are drawn (default: the first with more than one round). Use within `figures.style`.
    Raises DataError without an up-to-date summary, SettingsError for an unknown chain, OutputError.

    >>> with figures.style("sans"):
    ...     draw("out/drift", suffix="png")  # doctest: +SKIP
    """
    played = Experiment.open(folder)
    summary, tracks = read_summary(played.folder), played.tracks()
    if played.is_complete and not summary["experiment"]["complete"]:
        raise DataError(
            f"{played.folder} has more rounds than its summary covers. "
            f"Make the summary again: telephonegan experiment summary {played.folder}"
        )
    shown = _chosen(tracks, chain)
    out = files.new_folder(played.folder / "figures" if out is None else files.expanded(out))
    for name, drawn in (*_of_summary(summary), *_of_chains(tracks, shown)):
        figure = drawn.figure if isinstance(drawn, Axes) else drawn
        figures.save(figure, out / f"{name}.{suffix}")
    over = f"{len(summary['chains'])} chains of {summary['experiment']['sources']} sources"
    caption = f"Similarity to round 0, {over}; 95 % intervals are over sources."
    table = figures.latex_table(_table(summary), caption=caption, label="tab:drift")
    files.write_new(out / "summary.tex", table.encode())
    return out


def _chosen(tracks: Sequence[drift.Track], chain: str | None) -> drift.Track:
    if chain is None:
        return next(track for track in tracks if len(track.turns) > 1)
    for track in tracks:
        if track.chain == chain:
            return track
    raise SettingsError(f"There is no chain {chain!r}. There are {len(tracks)}, such as {tracks[0].chain}.")


def _of_summary(summary: dict[str, Any]) -> Iterator[tuple[str, Axes]]:
    measured = {name: told for name, told in summary["measures"].items() if _is_known(told)}
    for name, told in measured.items():
        yield (
            f"similarity-{name.replace('_', '-')}",
            figures.similarity_curves(told["rounds"], {_title(name): estimate(told["start"])}, levels=levels_of(told)),
        )
    scaled = {_title(name): measured[name] for name in _SCALED if measured.get(name, {}).get("above_chance")}
    if scaled:
        alike = {title: estimate(told["above_chance"]) for title, told in scaled.items()}
        rounds = next(iter(scaled.values()))["rounds"]
        scale = {"levels": {"unrelated chains": 0}, "ylabel": "above chance (1: identical)"}
        yield "above-chance", figures.similarity_curves(rounds, alike, **scale)
    kinds = summary["survival"]
    if kinds:
        shares = {_counted(kind, told): estimate(told["share"]) for kind, told in kinds.items()}
        rounds, chance = kinds["all"]["rounds"], kinds["all"]["chance"]
        levels = {"all, by chance": estimate(chance).value} if chance else None
        yield "survival", figures.survival_curves(rounds, shares, levels=levels)
    yield from _scatter(summary["chains"], measured)


def _scatter(chains: Sequence[dict[str, Any]], measured: Container[str]) -> Iterator[tuple[str, Axes]]:
    """One dot for each chain: similarity of its last round to the start, in looks and in meaning."""
    semantic = next((name for name in _TEXTS if name in measured), None)
    for visual in _LOOKS:
        if semantic is None or visual not in measured:
            continue
        ends = [
            (each["source"], each["last_to_start"][visual], each["last_to_start"][semantic])
            for each in chains
            if {visual, semantic} <= each["last_to_start"].keys()
        ]
        sources, looks, meaning = zip(*ends, strict=True)
        yield (
            f"meaning-and-looks-{visual.replace('_', '-')}",
            figures.meaning_and_looks(
                np.array(looks, dtype=float),
                np.array(meaning, dtype=float),
                sources=sources,
                xlabel=f"{_title(visual)} of first and last picture",
                ylabel=f"{_title(semantic)} of the captions",
            ),
        )


def _of_chains(tracks: Sequence[drift.Track], shown: drift.Track) -> Iterator[tuple[str, Axes | Figure]]:
    yield "attractors", figures.attractor_histogram([track.turns[-1].words for track in tracks])
    words = [drift.content_words(turn.words) for turn in shown.turns]
    if any(words):
        yield "caption-changes", figures.caption_changes(words)
    yield "film-strip", figures.film_strip(shown)
    first = {track.source: track for track in reversed(tracks)}
    grid = [first[source] for source in sorted(first) if any(turn.picture for turn in first[source].turns)]
    if grid:
        yield "image-grid", figures.image_grid(grid[:_GRID])


def _table(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "measure": MEASURES[name].title,
            "direction": _direction(name),
            f"round {told['rounds'][0]}": told["start"]["value"][0],
            "last round": _last(estimate(told["start"])),
            "chance": told["chance"]["value"][-1] if told["chance"] else None,
            "mean": told["mean_similarity"]["value"],
            "GC@T": estimate(told["gc_at_t"]),
            "half-life": estimate(told["half_life"]["rounds"]) if told["half_life"]["rounds"] else None,
        }
        for name, told in summary["measures"].items()
        if _is_known(told)
    ]


def _last(found: Estimate) -> Estimate:
    return Estimate(found.value[-1], found.low[-1], found.high[-1])


def _is_known(told: dict[str, Any]) -> bool:
    """Whether round 0 has what the measure compares: a chain from a text starts without a picture."""
    return any(value is not None for value in told["start"]["value"])


def levels_of(told: dict[str, Any]) -> dict[str, Any]:
    """The reference levels for a measure's curve: chance, and its references."""
    chance = {} if told["chance"] is None else {"unrelated chains": estimate(told["chance"]).value}
    return chance | {name: each["value"] for name, each in told["references"].items()}


def _counted(kind: str, told: dict[str, Any]) -> str:
    """A kind of word with its number of sources: few make a rough curve."""
    return kind if told["sources"] is None else f"{kind} ({told['sources']})"


def _title(name: str) -> str:
    """The title of a measure in figures; measures between texts and pictures share one title per pair."""
    across = len(set(MEASURES[name].direction.split("→"))) > 1
    return f"{MEASURES[name].title}, {_direction(name)}" if across else MEASURES[name].title


def _direction(name: str) -> str:
    return MEASURES[name].direction.replace("→", " to ")
