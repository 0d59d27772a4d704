"""Figures of the drift lab: loss ledger, bits left, race of laws, Kaplan–Meier, coverage, dose and response."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from telephonegan.drift.coverage import ORDERS, Diversity
from telephonegan.drift.fates import Survival
from telephonegan.drift.information import BitsLeft
from telephonegan.drift.law_race import LAWS, LawRace
from telephonegan.drift.ledger import Ledger
from telephonegan.drift.markov import scenes
from telephonegan.drift.statistics import Estimate
from telephonegan.drift.tracks import Track
from telephonegan.errors import SettingsError
from telephonegan.experiment.lab import SCENES, Lab
from telephonegan.experiment.study import SHOWN_AGAIN, Dose
from telephonegan.figures.curves import similarity_curves
from telephonegan.figures.flows import replacement_graph, transition_graph, word_river
from telephonegan.figures.style import FAINT, INK, LINES, column_width, legend_above, new_axes, new_figure, save, styled
from telephonegan.files import expanded, new_folder

_ON_THE_WAY = ("the same photograph", "mirrored", "small", "retrieved by people", "painted")
_HEIGHT = 0.72  # of the width
_PARTS = ("value", "low", "high")
_ROW = 0.2  # inches for each control of a ledger


@styled
def loss_waterfall(ledger: Ledger, axes: Axes | None = None) -> Axes:
    """One bar for each control: the share of words kept, and hatched what this step loses against the one above it.

    Controls beside the way (another painter, another listener) have an outlined bar and no loss. Whiskers are the 95 %
    intervals.

    >>> loss_waterfall(loss_ledger(…))  # doctest: +SKIP
    """
    entries = ledger.entries
    axes = new_axes(0.7 + _ROW * len(entries), axes)
    before = None
    for row, entry in enumerate(entries):
        kept = float(entry.kept.value)
        on_the_way = entry.name in _ON_THE_WAY
        face = {"color": "#9db8cc"} if on_the_way else {"facecolor": "white", "edgecolor": FAINT, "linewidth": 0.7}
        axes.barh(row, kept, height=0.62, **face)
        if on_the_way:
            if before is not None and before > kept:
                lost = {"facecolor": "white", "edgecolor": "#444444", "hatch": "////", "linewidth": 0.5}
                axes.barh(row, before - kept, left=kept, height=0.62, **lost)
            before = kept
        if np.isfinite(entry.kept.low) and entry.kept.high > entry.kept.low:
            axes.plot([entry.kept.low, entry.kept.high], [row, row], color=INK, linewidth=0.9)
        axes.text(0.015, row, f"{100 * kept:.0f} %", va="center", fontsize="small")
    axes.set_yticks(range(len(entries)), [entry.name for entry in entries])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.02), xlabel="share of the first caption's words kept")
    axes.tick_params(axis="y", length=0)
    return axes


@styled
def bits_curves(found: Mapping[str, BitsLeft], axes: Axes | None = None) -> Axes:
    """One line per label: the bits that captions still hold about their photograph, below all there were.

    >>> bits_curves({"new noise": bits_left(tracks)})  # doctest: +SKIP
    """
    if not found:
        raise SettingsError("No bits were given. Give at least one result of bits_left.")
    first = next(iter(found.values()))
    axes = similarity_curves(
        first.rounds,
        {label: each.bits for label, each in found.items()},
        axes,
        levels={f"log2 of {first.sources} photographs": first.most},
        ylabel="bits left (lower bound)",
    )
    axes.set_ylim(0, 1.05 * first.most)
    return axes


@styled
def race_of_laws(race: LawRace, figure: Figure | None = None) -> Figure:
    """Above, the observed curve and the five laws fitted to all rounds; below, what they foretell for the last round.

    They foretell it from the rounds up to the one on the axis. A law that holds is level, and on the observed line.

    >>> race_of_laws(law_race(rounds, curves))  # doctest: +SKIP
    """
    figure = figure or new_figure(1.35 * column_width(), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(1.2, 1))
    ends = np.array(race.windows)
    for law in race.laws:
        line = LINES[LAWS.index(law.name)]
        above.plot(race.rounds, law.curve, label=law.name, color=line["color"], linestyle=line["linestyle"])
        below.plot(ends, law.windows, **line, markeredgewidth=0)
    above.plot(race.rounds, race.observed, "o", color=INK, markersize=2.2, label="observed", zorder=3)
    above.set(ylabel="similarity above chance", xlabel="round")
    above.set_ylim(bottom=min(0, float(race.observed.min())))
    below.axhline(race.observed[-1], color=FAINT, linewidth=0.9, linestyle=(0, (1, 1.5)))
    below.set(xlabel="last round fitted", ylabel=f"foretold for round {race.rounds[-1]:.0f}")
    for axes in (above, below):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(above)
    return figure


@styled
def kaplan_meier(survival: Mapping[str, Survival], axes: Axes | None = None) -> Axes:
    """One staircase per kind of word: the share said in every round so far, with its 95 % band; "(n)" counts words.

    >>> kaplan_meier({"all": word_survival(fates(tracks), tracks)})  # doctest: +SKIP
    """
    if not 1 <= len(survival) <= len(LINES):
        raise SettingsError(f"{len(survival)} kinds were given. Allowed: 1 to {len(LINES)}.")
    axes = new_axes(_HEIGHT * column_width(), axes)
    for (kind, told), line in zip(survival.items(), LINES, strict=False):
        rounds = np.concatenate([[0], told.rounds])
        value, low, high = (
            np.concatenate([[1.0], part]) for part in (told.unbroken.value, told.unbroken.low, told.unbroken.high)
        )
        label = f"{kind} ({told.words:,})"
        axes.step(rounds, value, where="post", label=label, color=line["color"], linestyle=line["linestyle"])
        if len(survival) < 3:
            axes.fill_between(rounds, low, high, step="post", color=line["color"], alpha=0.2, linewidth=0)
    axes.set(xlabel="round", ylabel="said in every round so far", ylim=(0, 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(axes)
    return axes


@styled
def coverage_curves(diversity: Diversity, axes: Axes | None = None, *, order: int = 1) -> Axes:
    """One line per sample: its effective number of kinds against coverage; dotted, where they are compared.

    >>> coverage_curves(compared_diversity(round_samples(tracks, [0, 10])))  # doctest: +SKIP
    """
    if order not in ORDERS:
        raise SettingsError(f"order was {order}. Allowed: 0, 1 or 2.")
    axes = new_axes(_HEIGHT * column_width(), axes)
    for (name, curve), line in zip(diversity.curves.items(), LINES, strict=False):
        style = {"color": line["color"], "linestyle": line["linestyle"]}
        axes.plot(curve[:, 0], curve[:, 1 + order], label=name, **style)
        axes.plot(curve[-1, 0], curve[-1, 1 + order], line["marker"], color=line["color"], markeredgewidth=0)
    axes.axvline(diversity.coverage, color=FAINT, linewidth=0.9, linestyle=(0, (1, 1.5)))
    axes.set(xlabel="share of what there is that was met", ylabel=f"effective number of words (order {order})")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    legend_above(axes)
    return axes


@styled
def dose_response(
    doses: Sequence[object],
    responses: Mapping[str, Estimate],
    axes: Axes | None = None,
    *,
    setting: str,
    ylabel: str = "share of words kept",
) -> Axes:
    """One line per pair of models: the response to each dose of a setting, with whiskers of its 95 % interval.

    >>> dose_response([1, 4, 16], {"flickr8k": kept}, setting="candidates")  # doctest: +SKIP
    """
    if not responses or len(doses) < 2:
        raise SettingsError("A dose–response figure needs a pair of models and two doses or more.")
    axes = new_axes(_HEIGHT * column_width(), axes)
    for i, ((label, told), line) in enumerate(zip(responses.items(), LINES, strict=False)):
        if np.shape(told.value) != (len(doses),):
            raise SettingsError(f"{label!r} has {np.size(told.value)} responses for {len(doses)} doses.")
        places = np.arange(len(doses)) + 0.08 * (i - (len(responses) - 1) / 2)
        axes.plot(places, told.value, label=label, **line, markeredgewidth=0)
        axes.vlines(places, told.low, told.high, color=line["color"], linewidth=0.9)
    axes.set_xticks(range(len(doses)), [str(dose) for dose in doses])
    axes.set(xlabel=setting, ylabel=ylabel)
    axes.set_ylim(bottom=0)
    if len(responses) > 1:
        legend_above(axes)
    return axes


@styled
def return_rates(survival: Survival, axes: Axes | None = None) -> Axes:
    """How many lost words come back in a round, beside how many of those still there are lost in it.

    >>> return_rates(word_survival(fates(tracks), tracks))  # doctest: +SKIP
    """
    axes = new_axes(_HEIGHT * column_width(), axes)
    for label, told, line in zip(("lost", "back"), (survival.hazard, survival.back), LINES, strict=False):
        axes.plot(survival.rounds, told.value, label=label, **line, markeredgewidth=0)
        axes.fill_between(survival.rounds, told.low, told.high, color=line["color"], alpha=0.2, linewidth=0)
    level = (0, (1, 1.5))
    axes.plot(survival.rounds, survival.by_chance, color=FAINT, linestyle=level, linewidth=0.9, label="said by chance")
    axes.set(xlabel="round", ylabel="share of words", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(axes)
    return axes


def draw_lab(lab: Lab, tracks: Sequence[Track], out: str | os.PathLike[str], *, suffix: str = "pdf") -> Path:
    """Draw every figure that a lab allows into the new folder `out`, and return it. Use within `figures.style`.

    `tracks` are the chains it is of, and `suffix` is pdf, svg or png. Raises OutputError.

    >>> draw_lab(analyse(tracks), tracks, "out/figures")  # doctest: +SKIP
    """
    folder = new_folder(expanded(out))
    for name, drawn in _of_lab(lab, tracks):
        save(drawn.figure if isinstance(drawn, Axes) else drawn, folder / f"{name}.{suffix}")
    return folder


def draw_doses(found: Sequence[Dose], out: str | os.PathLike[str], *, suffix: str = "pdf") -> Path:
    """Draw a figure for each setting of `study.dose_response` into the new folder `out`. Raises OutputError.

    It has the words kept in the last round, or the mean over rounds where the photograph is shown again, which would
    otherwise depend on whether it is shown in the last round.

    >>> draw_doses(dose_response("out/study"), "out/figures")  # doctest: +SKIP
    """
    folder = new_folder(expanded(out))
    settings = dict.fromkeys(each.setting for each in found if each.value != "")
    for setting in settings:
        rows = [each for each in found if each.setting == setting]
        doses = list(dict.fromkeys(each.value for each in rows))
        told, is_shown = {}, setting == SHOWN_AGAIN
        for run in dict.fromkeys(each.run for each in rows):
            kept = {each.value: each.mean if is_shown else each.kept[1] for each in rows if each.run == run}
            if len(kept) == len(doses):
                told[run] = Estimate(*(np.array([vars(kept[dose])[part] for dose in doses]) for part in _PARTS))
        if told and len(doses) > 1:
            ylabel = "words kept, mean over rounds" if is_shown else "words kept, last round"
            axes = dose_response(doses, told, setting=setting.replace("_", " "), ylabel=ylabel)
            save(axes.figure, folder / f"{setting.replace('_', '-').replace(' ', '-')}.{suffix}")
    return folder


def _of_lab(lab: Lab, tracks: Sequence[Track]) -> Iterator[tuple[str, Axes | Figure]]:
    if lab.bits:
        yield "bits-left", bits_curves(lab.bits)
    for name, race in lab.laws.items():
        yield f"laws-{name}", race_of_laws(race)
    if lab.truth is not None:
        near, people = lab.truth.near, lab.truth.people
        levels = {"a person": people.value, "unrelated chains": lab.truth.by_chance.value}
        ylabel = "similarity to people's captions"
        yield "truth", similarity_curves(lab.truth.rounds, {"captions": near}, levels=levels, ylabel=ylabel)
    if lab.survival:
        yield "kaplan-meier", kaplan_meier(lab.survival)
        yield "return-rates", return_rates(lab.survival["all"])
    if lab.replacements:
        yield "replacements", replacement_graph(lab.replacements)
    for name, graph in lab.graphs.items():
        yield f"transitions-{name}", transition_graph(graph, sets=lab.sets.get(name, ()))
    if lab.rounds:
        yield "river", word_river(tracks, scenes(tracks, SCENES))
    if lab.diversity is not None:
        yield "coverage", coverage_curves(lab.diversity)
