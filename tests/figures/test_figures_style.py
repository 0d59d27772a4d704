import re
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from telephonegan import figures
from telephonegan.errors import OutputError, SettingsError
from telephonegan.figures.style import LINES
from tests.figures.conftest import CURVES, IN_AXES, IN_FIGURES, ROUNDS, drawn, pdf_text


@pytest.mark.parametrize("column", [3.25, 5.5])
def test_figures_are_exactly_a_column_wide(name, column, tmp_path):
    with figures.style(column=column):
        path = figures.save(drawn(name), tmp_path / "figure.pdf")
    width = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", pdf_text(path))
    assert float(width[1]) == pytest.approx(72 * column, abs=0.01)


@pytest.mark.parametrize("family", ["serif", "sans"])
def test_fonts_are_embedded_and_none_is_type_3(name, family, tmp_path):
    with figures.style(family):
        text = pdf_text(figures.save(drawn(name), tmp_path / "figure.pdf"))
    fonts = set(re.findall(rb"/BaseFont /([\w+-]+)", text))
    assert b"/Type3" not in text and b"/FontFile2" in text
    expected = b"STIX" if family == "serif" else b"DejaVuSans"
    assert fonts and all(expected in font for font in fonts)


def test_letters_of_an_svg_are_paths_that_need_no_font(tmp_path):
    text = figures.save(drawn("similarity_curves"), tmp_path / "figure.svg").read_text()
    assert "<text" not in text and 'width="234pt"' in text


@pytest.mark.parametrize("suffix", [".pdf", ".svg", ".png"])
def test_the_same_figure_is_the_same_file(suffix, tmp_path):
    first, second = (figures.save(drawn("film_strip"), tmp_path / f"{i}{suffix}").read_bytes() for i in range(2))
    assert first == second


def test_a_file_that_is_there_stays_as_it_is(tmp_path):
    path = tmp_path / "figure.pdf"
    path.write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        figures.save(drawn("similarity_curves"), path)
    assert path.read_text() == "mine"


def test_other_files_than_figures_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"Allowed: \.pdf, \.svg, \.png"):
        figures.save(drawn("similarity_curves"), tmp_path / "figure.docx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"family": "comic"}, {"size": 0}, {"column": 300}])
def test_a_style_out_of_range_is_told(options):
    with pytest.raises(SettingsError, match="Allowed"), figures.style(**options):
        pass


def test_the_style_ends_with_its_block():
    before = dict(matplotlib.rcParams)
    with figures.style("sans", 12):
        figures.similarity_curves(ROUNDS, CURVES)
    assert dict(matplotlib.rcParams) == before


def test_sizes_are_those_asked_for_even_when_saved_later(tmp_path):
    with figures.style(size=11):
        axes = figures.similarity_curves(ROUNDS, CURVES)
    figures.save(axes.figure, tmp_path / "figure.png")
    assert axes.xaxis.label.get_fontsize() == 11
    assert {label.get_fontsize() for label in axes.get_xticklabels()} == {0.875 * 11}


def test_lines_differ_without_their_colours():
    dashes = {str(line["linestyle"]) for line in LINES}
    assert len(dashes) == len({line["marker"] for line in LINES}) == len(LINES)


def test_the_first_lines_differ_in_grey_for_every_kind_of_eye():
    greys = [np.dot(to_rgb(line["color"]), (0.299, 0.587, 0.114)) for line in LINES[:4]]
    assert min(abs(a - b) for i, a in enumerate(greys) for b in greys[:i]) > 0.08


def test_figures_are_drawn_in_the_axes_given(name):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6))
    if name in IN_AXES:
        axes = figure.add_subplot(2, 2, 2)
        assert IN_AXES[name](axes) is axes
    else:
        assert IN_FIGURES[name](figure) is figure
    assert tuple(figure.get_size_inches()) == (6, 6)


def test_figures_are_drawn_in_a_part_of_a_figure(name):
    from matplotlib.figure import Figure

    left, right = Figure(figsize=(8, 6)).subfigures(1, 2)
    if name in IN_AXES:
        assert IN_AXES[name](left.add_subplot()).figure is left
    else:
        assert IN_FIGURES[name](left) is left
    assert left.axes and not right.axes


def test_no_words_lie_on_others_or_over_the_edge(name):
    for family in ("serif", "sans"):
        with figures.style(family):
            figure = drawn(name)
            axes = figure.axes[0]
            texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]
        # Ticks beyond the limits of an axis exist, but are not drawn.
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_figure() is figure]
        shown = [(text, box) for text, box in boxes if not _beyond(box, axes)]
        assert len(shown) > 3
        for i, (text, box) in enumerate(shown):
            assert box.x0 >= -1 and box.x1 <= figure.bbox.width + 1, text
            assert box.y0 >= -1 and box.y1 <= figure.bbox.height + 1, text
            for other, another in shown[:i]:
                across = min(box.x1, another.x1) - max(box.x0, another.x0)
                along = min(box.y1, another.y1) - max(box.y0, another.y0)
                assert across < 1 or along < 1.5, (text, other)


def _beyond(box, axes):
    middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    below, left = middle[1] < axes.bbox.y0, middle[0] < axes.bbox.x0
    return (below and not axes.bbox.x0 - 1 <= middle[0] <= axes.bbox.x1 + 1) or (
        left and not axes.bbox.y0 - 1 <= middle[1] <= axes.bbox.y1 + 1
    )


def test_dollars_and_signs_of_a_caption_are_drawn_as_they_are(tmp_path):
    words = ("costs", "$5", "or", "$x_{", "100%", r"\frac")
    axes = figures.attractor_histogram([words])
    assert figures.save(axes.figure, tmp_path / "figure.png").is_file()
    assert axes.texts[0].get_text() == " ".join(words)


def test_pyplot_is_left_alone():
    script = "import sys; from telephonegan import figures; figures.similarity_curves([1, 2], {'a': [1, 2]}); "
    script += "sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_a_saved_picture_has_300_dots_to_the_inch(tmp_path):
    with figures.style(column=2):
        path = figures.save(drawn("survival_curves"), tmp_path / "figure.png")
    assert Image.open(path).width == 600
