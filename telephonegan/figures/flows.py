"""Figures of movement: the transition graph of captions or scenes, who replaces whom, and the river of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from telephonegan.drift.fates import Replacement
from telephonegan.drift.markov import MetastableSet, TransitionGraph
from telephonegan.drift.tracks import Track, Words
from telephonegan.errors import DataError, SettingsError
from telephonegan.figures.style import INK, column_width, lines_of, new_axes, styled

_FACES = ("#ffffff", "#bfd4e4", "#7f9fb8", "#d9d9d9", "#9a9a9a", "#f3dfb5")
_MARKERS = "osD^vP"
_LEAST = 0.04  # thinner arrows are left out
_STATES = 24


@styled
def transition_graph(
    graph: TransitionGraph, axes: Axes | None = None, *, sets: Sequence[MetastableSet] = (), most: int = 12
) -> Axes:
    """The `most` visited states on a circle, larger the more time is spent there, with arrows to where games go next.

    Width is probability; below 4 % there is no arrow, and staying is not drawn. States of one metastable set are
    neighbours and share marker and shade. Raises SettingsError for fewer than two states or more than 24.

    >>> transition_graph(graph, sets=graph.metastable(4))  # doctest: +SKIP
    """
    if not 2 <= most <= _STATES:
        raise SettingsError(f"most was {most}. Allowed: 2 to {_STATES}.")
    set_of = {state: number for number, each in enumerate(sets) for state in each.states}
    chosen = sorted(range(min(most, len(graph.states))), key=lambda i: (set_of.get(graph.states[i], 0), i))
    axes = new_axes(column_width(), axes)
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(chosen)) / len(chosen)
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    sizes = 30 + 500 * graph.stationary[chosen] / graph.stationary[chosen].max()
    for a, i in enumerate(chosen):
        for b, j in enumerate(chosen):
            probability = graph.probability[i, j]
            if a != b and probability >= _LEAST:
                arrow = FancyArrowPatch(
                    places[a],
                    places[b],
                    connectionstyle="arc3,rad=0.15",
                    arrowstyle="-|>",
                    mutation_scale=5,
                    linewidth=0.3 + 4 * probability,
                    color=str(round(0.75 - 0.6 * min(1, 2 * probability), 2)),
                    shrinkA=np.sqrt(sizes[a]) / 2,
                    shrinkB=np.sqrt(sizes[b]) / 2,
                    zorder=1,
                )
                axes.add_patch(arrow)
    for a, i in enumerate(chosen):
        number = set_of.get(graph.states[i], 0) % len(_FACES)
        look = {"color": _FACES[number], "edgecolors": INK, "linewidths": 0.6, "zorder": 2}
        axes.scatter(*places[a], s=sizes[a], marker=_MARKERS[number], **look)
        side = "left" if places[a, 0] > 0.1 else "right" if places[a, 0] < -0.1 else "center"
        shown = lines_of(_text(graph.states[i]), 72, 6, 3)
        axes.text(*(1.3 * places[a]), "\n".join(shown), ha=side, va="center", fontsize=6)
    axes.set(xlim=(-2.1, 2.1), ylim=(-1.5, 1.5), aspect="equal")
    axes.axis("off")
    return axes


@styled
def word_river(
    tracks: Sequence[Track],
    state: Callable[[Words], Hashable],
    axes: Axes | None = None,
    *,
    rounds: Sequence[int] | None = None,
    most: int = 8,
) -> Axes:
    """How games flow between states: a pillar of shares for each of `rounds`, and bands between neighbouring pillars.

    `state` gives the state of a caption, see `markov.scenes`; the `most` common ones are shown and the rest is "other".
    Raises DataError where no chain has two of the rounds.

    >>> word_river(tracks, scenes(tracks), rounds=[0, 1, 5, 10])  # doctest: +SKIP
    """
    said = [{turn.round: state(turn.words) for turn in track.turns} for track in tracks]
    last = max((max(each) for each in said if each), default=0)
    rounds = sorted({0, 1, 2, last // 2, last}) if rounds is None else list(rounds)
    said = [each for each in said if all(number in each for number in rounds)]
    if not said or len(rounds) < 2:
        raise DataError(f"A river needs chains that have all of the rounds {rounds}, two at least; none has.")
    totals = Counter(each[number] for each in said for number in rounds)
    names: list[Hashable] = [name for name, _ in totals.most_common(most)]
    if len(totals) > most:
        names.append("other")
    index = {name: i for i, name in enumerate(names)}
    where = np.array([[index.get(each[number], len(names) - 1) for number in rounds] for each in said])
    axes = new_axes(0.9 * column_width(), axes)
    shades = colormaps["cividis"](np.linspace(0.12, 0.95, len(names)))
    x = np.arange(len(rounds), dtype=float)
    half, gap = 0.09, 0.012
    tops = []
    for t in range(len(rounds)):
        shares = np.bincount(where[:, t], minlength=len(names)) / len(said)
        bottoms = np.concatenate([[0], np.cumsum(shares + gap)])[:-1]
        tops.append(bottoms)
        for i in range(len(names)):
            axes.bar(x[t], shares[i], 2 * half, bottoms[i], color=shades[i], edgecolor=INK, linewidth=0.3, zorder=2)
    bend = np.linspace(0, 1, 20)
    smooth = bend**2 * (3 - 2 * bend)
    for t in range(len(rounds) - 1):
        left, right = tops[t].copy(), tops[t + 1].copy()
        flow = np.zeros((len(names), len(names)))
        np.add.at(flow, (where[:, t], where[:, t + 1]), 1 / len(said))
        for i in range(len(names)):
            for j in range(len(names)):
                if flow[i, j] > 0:
                    lower = left[i] + (right[j] - left[i]) * smooth
                    across = x[t] + half + (1 - 2 * half) * bend
                    axes.fill_between(across, lower, lower + flow[i, j], color=shades[i], alpha=0.45, linewidth=0)
                    left[i] += flow[i, j]
                    right[j] += flow[i, j]
    _label(axes, names, tops[-1], where[:, -1], x[-1] + half + 0.05, "left")
    axes.set_xticks(x, [str(number) for number in rounds])
    axes.set(xlabel="round", xlim=(-half - 0.05, x[-1] + 1.1))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return axes


@styled
def replacement_graph(found: Sequence[Replacement], axes: Axes | None = None, *, most: int = 14) -> Axes:
    """Who replaces whom: the commonest replacements as bars; a tick says how many there would be by chance.

    >>> replacement_graph(replacements(tracks))  # doctest: +SKIP
    """
    if not found:
        raise DataError("There are no replacements of words to draw. Play more rounds.")
    shown = found[:most]
    axes = new_axes(0.5 + 0.17 * len(shown), axes)
    rows = np.arange(len(shown))
    axes.barh(rows, [each.count for each in shown], color="#9db8cc", height=0.6)
    ticks = [each.expected for each in shown]
    axes.plot(ticks, rows, "|", color=INK, markersize=7, markeredgewidth=1.1, label="if independent")
    axes.set_yticks(rows, [f"{each.lost} → {each.gained}" for each in shown])
    axes.invert_yaxis()
    axes.set(xlabel="times in all rounds")
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower right")
    return axes


def _label(axes: Axes, names: Sequence[Hashable], bottoms: np.ndarray, where: np.ndarray, x: float, side: str) -> None:
    counts: Mapping[int, int] = Counter(where.tolist())
    for i, name in enumerate(names):
        share = counts.get(i, 0) / len(where)
        if share >= 0.015:
            shown = lines_of(_text(name), 60, 6.5, 1)[0]
            label = f"{shown} {100 * share:.0f} %"
            axes.text(x, bottoms[i] + share / 2, label, ha=side, va="center", fontsize=6.5, color=INK)


def _text(state: Hashable) -> str:
    return " ".join(state) if isinstance(state, tuple) else str(state)
