"""Figures of the drift lab: drawn from planted chains, at column width, and told apart in grey."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import rgb_to_hsv, to_rgb

from telephonegan import figures
from telephonegan.drift.coverage import compared_diversity, round_samples
from telephonegan.drift.fates import fates, replacements, word_survival
from telephonegan.drift.information import bits_left
from telephonegan.drift.law_race import law_race
from telephonegan.drift.ledger import Entry, Ledger
from telephonegan.drift.markov import TransitionGraph, scenes
from telephonegan.drift.statistics import Estimate
from telephonegan.errors import DataError, SettingsError
from telephonegan.experiment.lab import analyse
from telephonegan.experiment.study import SHOWN_AGAIN, Dose
from telephonegan.figures import lab
from tests.experiment.test_experiment_lab import wandering

TRACKS = wandering()
ROUNDS = np.arange(1, 21.0)
KEPT = {
    "the same photograph": 1.0,
    "mirrored": 0.8,
    "small": 0.77,
    "retrieved by people": 0.63,
    "retrieved by the judge": 0.56,
    "painted": 0.52,
    "best of 8": 0.56,
}


def ledger() -> Ledger:
    entries = tuple(Entry(n, "", Estimate(v, v - 0.03, v + 0.03), np.array([v])) for n, v in KEPT.items())
    return Ledger(entries, 200, 1000)


def survival():
    return word_survival(fates(TRACKS), TRACKS, resamples=20)


DRAWN = {
    "loss_waterfall": lambda axes=None: figures.loss_waterfall(ledger(), axes),
    "bits_curves": lambda axes=None: figures.bits_curves({"new noise": bits_left(TRACKS, resamples=20)}, axes),
    "kaplan_meier": lambda axes=None: figures.kaplan_meier({"all": survival()}, axes),
    "return_rates": lambda axes=None: figures.return_rates(survival(), axes),
    "coverage_curves": lambda axes=None: figures.coverage_curves(
        compared_diversity(round_samples(TRACKS, [0, 10])), axes
    ),
    "dose_response": lambda axes=None: figures.dose_response(
        [1, 4, 16],
        {name: Estimate(np.array([0.3, 0.4, 0.5]), np.zeros(3), np.ones(3)) for name in ("flowers", "birds")},
        axes,
        setting="candidates",
    ),
    "transition_graph": lambda axes=None: figures.transition_graph(
        TransitionGraph.of([[turn.words for turn in track.turns] for track in TRACKS]), axes
    ),
    "word_river": lambda axes=None: figures.word_river(TRACKS, scenes(TRACKS, 8), axes, rounds=[0, 1, 10]),
    "replacement_graph": lambda axes=None: figures.replacement_graph(replacements(TRACKS), axes),
}


@pytest.mark.parametrize("name", DRAWN)
def test_it_is_a_column_wide_and_fits_its_figure(name, tmp_path):
    with figures.style(column=3.25):
        axes = DRAWN[name]()
    assert isinstance(axes, Axes)
    assert axes.figure.get_figwidth() == pytest.approx(3.25)
    box = axes.get_tightbbox()
    width, height = axes.figure.bbox.width, axes.figure.bbox.height
    assert box.x0 >= -2 and box.x1 <= width + 2 and box.y0 >= -2 and box.y1 <= height + 2
    figures.save(axes.figure, tmp_path / "figure.pdf")


@pytest.mark.parametrize("name", DRAWN)
def test_it_takes_axes_and_gives_them_back(name):
    from matplotlib.figure import Figure

    given = Figure(figsize=(6, 4), layout="constrained").add_subplot()
    assert DRAWN[name](given) is given


def test_the_waterfall_loses_what_the_ledger_says():
    axes = figures.loss_waterfall(ledger())
    lost = {round(bar.get_x(), 2): round(bar.get_width(), 2) for bar in axes.patches if bar.get_hatch()}
    assert lost == {0.8: 0.2, 0.77: 0.03, 0.63: 0.14, 0.52: 0.11}
    assert [label.get_text() for label in axes.get_yticklabels()] == list(KEPT)


def test_the_race_shows_every_law_and_what_it_foretells():
    race = law_race(ROUNDS, 0.8 * ROUNDS**-0.5)
    figure = figures.race_of_laws(race)
    above, below = figure.axes
    labels = [line.get_label() for line in above.lines]
    assert labels == [*(law.name for law in race.laws), "observed"]
    np.testing.assert_allclose(below.lines[0].get_ydata(), race.laws[0].windows)
    assert len({(line.get_linestyle(), str(line._dash_pattern)) for line in above.lines[:-1]}) == 5


def test_kaplan_meier_begins_with_all_words():
    axes = figures.kaplan_meier({"all": survival()})
    assert axes.lines[0].get_ydata()[0] == 1 and axes.lines[0].get_drawstyle() == "steps-post"


def test_the_river_keeps_every_game():
    axes = figures.word_river(TRACKS, scenes(TRACKS, 8), rounds=[0, 1, 10])
    by_round: dict[float, float] = {}
    for bar in axes.patches:
        middle = round(bar.get_x() + bar.get_width() / 2, 3)
        by_round[middle] = by_round.get(middle, 0) + bar.get_height()
    assert by_round == pytest.approx({0.0: 1, 1.0: 1, 2.0: 1})


def test_shades_of_the_river_differ_in_grey():
    axes = figures.word_river(TRACKS, scenes(TRACKS, 8), rounds=[0, 10])
    greys = sorted({round(float(rgb_to_hsv(to_rgb(bar.get_facecolor()))[2]), 3) for bar in axes.patches})
    assert len(greys) >= 6


def test_all_figures_of_a_lab_are_written(tmp_path):
    lab = analyse(TRACKS, prior=[["dog"]] * 600, resamples=20, permutations=20, sentences=False)
    with figures.style(column=3.25):
        folder = figures.draw_lab(lab, TRACKS, tmp_path / "figures", suffix="png")
    names = {path.stem for path in folder.iterdir()}
    assert names >= {"bits-left", "laws-words", "truth", "kaplan-meier", "return-rates", "river", "coverage"}


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(SettingsError):
        figures.bits_curves({})
    with pytest.raises(SettingsError, match="2 to 24"):
        figures.transition_graph(TransitionGraph.of([[0, 1, 0]]), most=99)
    with pytest.raises(DataError, match="Play more rounds"):
        figures.replacement_graph([])
    with pytest.raises(DataError, match="needs chains"):
        figures.word_river(TRACKS, scenes(TRACKS), rounds=[0, 99])
    with pytest.raises(SettingsError, match="two doses"):
        figures.dose_response([1], {}, setting="candidates")


def test_where_the_photograph_is_shown_again_the_mean_over_rounds_is_drawn(tmp_path, monkeypatch):
    """In the last round it may have just been shown, and everything is kept."""
    half, whole = Estimate(0.5, 0.4, 0.6), Estimate(1.0, 1.0, 1.0)
    rows = [
        Dose("birds", setting, value, 10, (half, whole), half, None, None)
        for setting in (SHOWN_AGAIN, "candidates")
        for value in (2, 5)
    ]
    drawn, draw = {}, lab.dose_response
    monkeypatch.setattr(
        lab,
        "dose_response",
        lambda doses, told, **labels: (
            drawn.update({labels["setting"]: (told["birds"].value.tolist(), labels["ylabel"])}),
            draw(doses, told, **labels),
        )[1],
    )
    lab.draw_doses(rows, tmp_path / "figures")
    assert drawn == {
        SHOWN_AGAIN: ([0.5, 0.5], "words kept, mean over rounds"),
        "candidates": ([1.0, 1.0], "words kept, last round"),
    }
