"""Figures of whole experiments, from the shipped results: panels, several experiments in one, captions, a table."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from telephonegan import figures
from telephonegan.errors import SettingsError
from telephonegan.experiment.summary import read_summary
from telephonegan.figures.curves import KIND_LINES
from telephonegan.figures.experiment import all_measures, captioned, compare, table_of
from telephonegan.figures.style import VENUES

RESULTS = Path(__file__).resolve().parents[2] / "notebooks" / "results"
FRESH, FIXED = RESULTS / "fresh", RESULTS / "fixed"


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("columns", [1, 2])
def test_figures_are_as_wide_as_the_venue_wants(venue, columns):
    with figures.style(**figures.size(venue, columns=columns)):
        axes = figures.similarity_curves([1, 2], {"words": [0.9, 0.4]})
    assert axes.figure.get_figwidth() == VENUES[venue][columns - 1]


@pytest.mark.parametrize(
    ("wish", "told"), [({"venue": "nature"}, "Allowed: acl"), ({"venue": "acl", "columns": 3}, "1 or 2")]
)
def test_other_sizes_are_refused(wish, told):
    with pytest.raises(SettingsError, match=told):
        figures.size(**wish)


def test_a_kind_of_word_has_one_colour_whatever_is_drawn_with_it():
    shares = {"number (n = 34)": [1, 0.2], "object (n = 200)": [1, 0.5]}
    lines = {line.get_label(): line.get_color() for line in figures.survival_curves([0, 1], shares).lines}
    assert lines["object (n = 200)"] == KIND_LINES["object"]["color"]
    assert lines["number (n = 34)"] == KIND_LINES["number"]["color"]


def test_legends_leave_panels_their_width():
    with figures.style("sans", size=8, column=9):
        figure = all_measures(read_summary(FRESH))
    figure.canvas.draw()
    widths = [axes.get_window_extent().width / figure.dpi for axes in figure.axes]
    assert len(widths) == 13 and min(widths) > 0.6 * 9 / 4  # inches of four panels in a row
    right = [axes.get_legend().get_window_extent().x1 for axes in figure.axes]
    assert max(right) <= figure.bbox.width


def test_two_experiments_share_a_figure_with_their_numbers_and_a_caption(tmp_path):
    with figures.style(**figures.size("acl", columns=2)):
        path = compare([FRESH, FIXED], tmp_path / "both.svg", measures=["content_f1", "ssim"])
    assert path.read_bytes().startswith(b"<?xml")
    caption = path.with_suffix(".txt").read_text()
    for part in (
        "fresh: 600 chains of 200 sources, 10 rounds",
        "95 % intervals",
        "generator flickr8k (sha256 e7012cea7cf5)",
    ):
        assert part in caption


@pytest.mark.parametrize(("folders", "wish", "told"), [
    ([FRESH], {}, "2 to 7"),
    ([FRESH, FRESH], {}, "a name of its own"),
    ([FRESH, FIXED], {"measures": ["meteor"]}, "Not measured in all experiments: meteor. Measured: tfidf_cosine"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(folders, wish, told, tmp_path):
    with pytest.raises(SettingsError, match=told):
        compare(folders, tmp_path / "both.pdf", **wish)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["similarity-content-f1", "meaning-and-looks-ssim", "survival", "panels"])
def test_every_figure_says_what_it_shows(name):
    assert re.fullmatch(r"[A-Z].+\.", captioned(name))


needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex here")


@needs_latex
def test_the_table_fits_a_column(tmp_path):
    table = figures.latex_table(table_of(read_summary(FRESH)), caption="Similarity.", label="tab:drift", small=True)
    page = rf"\documentclass[twocolumn]{{article}}\usepackage{{booktabs}}\begin{{document}}{table}\end{{document}}"
    (tmp_path / "page.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "Overfull" not in done.stdout
