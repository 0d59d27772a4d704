"""All figures of an experiment, each with its caption, its LaTeX table, and several experiments in one figure."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from telephonegan import drift, figures, files
from telephonegan.drift import MEASURES
from telephonegan.drift.statistics import Estimate
from telephonegan.errors import DataError, SettingsError
from telephonegan.experiment.reading import Experiment
from telephonegan.experiment.summary import estimate, read_summary
from telephonegan.figures.style import LINES, column_width, new_figure, styled

_TEXTS, _LOOKS = ("semantic_cosine", "tfidf_cosine", "content_f1"), ("ssim", "lite2_cosine")
_SCALED = ("tfidf_cosine", "content_f1", "semantic_cosine", "lite2_cosine", "ssim")
_GRID = 8
_PREFERRED = ("semantic_cosine", "content_f1", "tfidf_cosine", "lite2_cosine", "ssim")
_LEGEND_LETTERS = 34  # as many as the narrowest panel has room for
_MOST_PANELS, _NARROWEST_PANEL, _PANEL_HEIGHT = 4, 1.9, 0.66  # inches, and a share of the width
UNRELATED = "unrelated chains"  # what the start of one and a round of another photograph's have in common
_CAPTIONS = {
    "table": "Similarity to round 0; T→I compares texts with pictures, I→T pictures with texts.",
    "panels": "Meaning and looks of every round against round 0, and the share of the words of round 0 still said.",
    "above-chance": "Similarity to round 0 on a scale from unrelated chains (0) to the same (1).",
    "survival": "Share of the words of round 0 that round t still says, by kind of word; n: sources with any.",
    "attractors": "The captions that most chains end with.",
    "caption-changes": "Words of meaning of one chain: kept, new and lost in each round.",
    "film-strip": "One chain: each picture was painted from the caption before it.",
    "image-grid": "First and last round of some chains.",
}


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
    about = _about(played, summary)
    for name, drawn in (*_panels(summary), *_of_summary(summary), *_of_chains(tracks, shown)):
        figure = drawn.figure if isinstance(drawn, Axes) else drawn
        figures.save(figure, out / f"{name}.{suffix}")
        files.write_new(out / f"{name}.txt", f"{captioned(name)} {about}\n".encode())
    caption = f"{captioned('table')} {about}"
    table = figures.latex_table(table_of(summary), caption=caption, label="tab:drift", small=True)
    files.write_new(out / "summary.tex", table.encode())
    return out


def compare(
    folders: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    measures: Sequence[str] = (),
    names: Sequence[str] = (),
) -> Path:
    """Draw several experiments in one figure: a panel per measure, a line with its interval per experiment.

    `out` ends in .pdf, .svg or .png; beside it a .txt has the caption. `measures` are names (default: up to four of
    those all experiments have), `names` what the legend calls the experiments (default: their folders' names). Each is
    drawn with its number of chains; grey lines are what unrelated chains have in common, if it is the same in all.
    Use within `figures.style`. Raises DataError without summaries, SettingsError, OutputError.

    >>> with figures.style(**figures.size("acl", columns=2)):
    ...     compare(["out/fresh", "out/fixed"], "fresh-fixed.pdf")  # doctest: +SKIP
    """
    played = [Experiment.open(folder) for folder in folders]
    summaries = [read_summary(each.folder) for each in played]
    names = list(names) or [each.folder.name for each in played]
    if not 2 <= len(played) <= len(LINES) or len(set(names)) != len(played):
        raise SettingsError(
            f"{len(played)} experiments with the names {', '.join(names)} were given. "
            f"Needed: 2 to {len(LINES)}, each with a name of its own (names=, --names)."
        )
    chosen = _common(summaries, measures)
    counted = [f"{name} (n = {len(each['chains'])})" for name, each in zip(names, summaries, strict=True)]

    def panel(measure: str, axes: Axes) -> None:
        told = [summary["measures"][measure] for summary in summaries]
        rounds = min((each["rounds"] for each in told), key=len)
        curves = {name: _cut(estimate(each["start"]), len(rounds)) for name, each in zip(counted, told, strict=True)}
        chance = [each["chance"]["value"][: len(rounds)] for each in told if each["chance"]]
        levels = {UNRELATED: np.mean(np.array(chance, dtype=float), axis=0)} if len(chance) == len(told) else {}
        figures.similarity_curves(rounds, curves, axes, levels=levels, ylabel=_title(measure))

    figure = _in_panels([partial(panel, measure) for measure in chosen], one_legend=True)
    path = figures.save(figure, out)
    each = " ".join(
        f"{name}: {_about(*pair)}" for name, pair in zip(names, zip(played, summaries, strict=True), strict=True)
    )
    text = (
        f"Similarity of every round to round 0 in {len(played)} experiments; dotted: unrelated chains, mean over them."
    )
    files.write_new(path.with_suffix(".txt"), f"{text} {each}\n".encode())
    return path


def captioned(name: str) -> str:
    """What the figure of this name shows, as its caption begins."""
    if name in _CAPTIONS:
        return _CAPTIONS[name]
    kind, _, measure = name.partition("-")
    if kind == "similarity":
        title = _title(measure.replace("-", "_"))
        return f"Similarity of every round to round 0 by {title}; grey: unrelated chains and the references."
    looks = _title(name.rpartition("looks-")[2].replace("-", "_"))
    return f"One dot for each chain: its last round against round 0, in meaning and in looks ({looks})."


def _about(played: Experiment, summary: dict[str, Any]) -> str:
    """How much was measured, what the bands are, and with which weights."""
    models = ", ".join(
        f"{kind} {told['name']} (sha256 {told['sha256'][:12]})"
        for kind, told in sorted(played.manifest["models"].items())
    )
    sources = {each["source"] for each in summary["chains"]}
    return (
        f"{len(summary['chains'])} chains of {len(sources)} sources, {played.plan.rounds} rounds. Bands and brackets: "
        f"95 % intervals of {summary['resamples']:,} resamples of the sources. Weights: {models}."
    )


def _panels(summary: dict[str, Any]) -> Iterator[tuple[str, Figure]]:
    """The measures that matter in one figure: meaning, looks and words, as far as they were measured."""
    measured = {name: told for name, told in summary["measures"].items() if _is_known(told)}
    texts, looks = (next((name for name in group if name in measured), None) for group in (_TEXTS, _LOOKS[::-1]))
    drawn = [partial(_draw_similarity, measured, name) for name in (texts, looks) if name]
    if summary["survival"]:
        drawn.append(partial(_draw_survival, summary["survival"]))
    if len(drawn) > 1:
        yield "panels", _in_panels(drawn)


def all_measures(summary: dict[str, Any]) -> Figure:
    """Every measure of a summary in a panel of its own, with chance and its references. Use within `figures.style`."""
    measured = {name: told for name, told in summary["measures"].items() if _is_known(told)}
    return _in_panels([partial(_draw_similarity, measured, name) for name in measured])


@styled
def _in_panels(draw: Sequence[Callable[[Axes], None]], *, one_legend: bool = False) -> Figure:
    """One figure with a panel for each function: side by side as far as they fit, in rows as even as can be."""
    width = column_width()
    most = max(1, int(width / _NARROWEST_PANEL))
    rows = -(-len(draw) // most)
    columns = -(-len(draw) // rows)
    figure = new_figure(rows * width / columns, layout="constrained")
    panels = [figure.add_subplot(rows, columns, number + 1) for number in range(len(draw))]
    for letter, axes, each in zip(ascii_lowercase, panels, draw, strict=False):
        each(axes)
        axes.annotate(letter, (0, 1), (-30, 4), "axes fraction", "offset points", fontweight="bold")
    legends = [0 if one_legend else _legend_over(axes) for axes in panels]
    if one_legend:
        handles, names = panels[0].get_legend_handles_labels()
        for axes in panels:
            axes.get_legend().remove()
        figure.legend(handles, names, loc="outside upper center", ncols=columns + 1)
        legends = [-(-len(names) // (columns + 1)), *[0] * (len(panels) - 1)]
    tallest = [max(legends[i : i + columns]) for i in range(0, len(panels), columns)]
    lines = matplotlib.rcParams["font.size"] / 72  # inches
    figure.set_figheight(rows * (_PANEL_HEIGHT * width / columns + 3 * lines) + 1.3 * lines * sum(tallest))
    return figure


def _legend_over(axes: Axes) -> int:
    """Draw the legend of a panel in one column that does not make the panel narrower, and return its rows."""
    handles, names = axes.get_legend_handles_labels()
    names = [fill(name, _LEGEND_LETTERS) for name in names]
    place = {"loc": "lower left", "bbox_to_anchor": (-0.12, 1), "handlelength": 1.5, "labelspacing": 0.3}
    axes.legend(handles, names, ncols=1, fontsize="small", **place).set_in_layout(False)
    rows = sum(name.count("\n") + 1 for name in names)
    axes.set_title("\n" * rows, fontsize=axes.get_legend().get_texts()[0].get_fontsize())  # keeps its height free
    return rows


def _draw_similarity(measured: dict[str, Any], name: str, axes: Axes | None = None) -> Axes:
    told = measured[name]
    return figures.similarity_curves(
        told["rounds"], {_title(name): estimate(told["start"])}, axes, levels=levels_of(told)
    )


def _draw_survival(kinds: dict[str, Any], axes: Axes | None = None) -> Axes:
    shares = {_counted(kind, told): estimate(told["share"]) for kind, told in kinds.items()}
    rounds, chance = kinds["all"]["rounds"], kinds["all"]["chance"]
    levels = {"all, by chance": estimate(chance).value} if chance else None
    return figures.survival_curves(rounds, shares, axes, levels=levels)


def _common(summaries: Sequence[dict[str, Any]], wanted: Sequence[str]) -> list[str]:
    shared = [
        name
        for name, told in summaries[0]["measures"].items()
        if all(_is_known(each["measures"].get(name, {"start": {"value": []}})) for each in summaries)
        and _is_known(told)
    ]
    if strange := [name for name in wanted if name not in shared]:
        raise SettingsError(f"Not measured in all experiments: {', '.join(strange)}. Measured: {', '.join(shared)}.")
    chosen = list(wanted) or [name for name in _PREFERRED if name in shared][:_MOST_PANELS] or shared[:_MOST_PANELS]
    if not chosen:
        raise SettingsError("These experiments have no measure in common. Summarise them with the same --measures.")
    return chosen


def _cut(found: Estimate, count: int) -> Estimate:
    return Estimate(found.value[:count], found.low[:count], found.high[:count])


def _chosen(tracks: Sequence[drift.Track], chain: str | None) -> drift.Track:
    if chain is None:
        return next(track for track in tracks if len(track.turns) > 1)
    for track in tracks:
        if track.chain == chain:
            return track
    raise SettingsError(f"There is no chain {chain!r}. There are {len(tracks)}, such as {tracks[0].chain}.")


def _of_summary(summary: dict[str, Any]) -> Iterator[tuple[str, Axes]]:
    measured = {name: told for name, told in summary["measures"].items() if _is_known(told)}
    for name in measured:
        yield f"similarity-{name.replace('_', '-')}", _draw_similarity(measured, name)
    scaled = {_title(name): measured[name] for name in _SCALED if measured.get(name, {}).get("above_chance")}
    if scaled:
        alike = {title: estimate(told["above_chance"]) for title, told in scaled.items()}
        rounds = next(iter(scaled.values()))["rounds"]
        scale = {"levels": {UNRELATED: 0}, "ylabel": "above chance (1: identical)"}
        yield "above-chance", figures.similarity_curves(rounds, alike, **scale)
    if summary["survival"]:
        yield "survival", _draw_survival(summary["survival"])
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


def table_of(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the LaTeX table: similarity in the first and the last round, and by chance."""
    return [
        {
            "measure": _short(name),
            f"t={told['rounds'][0]}": told["start"]["value"][0],
            f"t={told['rounds'][-1]}": _last(estimate(told["start"])),
            "chance": told["chance"]["value"][-1] if told["chance"] else None,
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
    chance = {} if told["chance"] is None else {UNRELATED: estimate(told["chance"]).value}
    return chance | {name: each["value"] for name, each in told["references"].items()}


def _counted(kind: str, told: dict[str, Any]) -> str:
    """A kind of word with its number of sources: few make a rough curve."""
    return kind if told["sources"] is None else f"{kind} (n = {told['sources']})"


def _title(name: str) -> str:
    """The title of a measure in figures; measures between texts and pictures share one title per pair."""
    across = len(set(MEASURES[name].direction.split("→"))) > 1
    return f"{MEASURES[name].title}, {_direction(name)}" if across else MEASURES[name].title


def _short(name: str) -> str:
    """The title of a measure for a narrow table: “DAMSM (judge), T→I” compares texts with pictures."""
    title, (first, last) = MEASURES[name].title, MEASURES[name].direction.split("→")
    return title.replace("teacher's opinion", "teacher") + (
        f", {first[0].upper()}→{last[0].upper()}" if first != last else ""
    )


def _direction(name: str) -> str:
    return MEASURES[name].direction.replace("→", " to ")
