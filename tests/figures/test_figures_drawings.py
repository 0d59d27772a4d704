import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from telephonegan import figures
from telephonegan.drift.tracks import Track, Turn
from telephonegan.errors import DataError, SettingsError
from telephonegan.figures.style import BLUE, ORANGE
from tests.figures.conftest import ROUNDS, a_track, estimate, picture


def texts(axes):
    return [text.get_text() for text in axes.texts]


# similarity_curves


def test_curves_show_value_band_and_named_levels():
    found = estimate(2)
    axes = figures.similarity_curves(
        ROUNDS, {"words": found}, levels={"person against person": np.linspace(0.9, 0.8, 6), "chance": 0.1}
    )
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["words"].get_ydata(), found.value)
    (band,) = axes.collections
    edge = band.get_paths()[0].vertices
    assert edge[:, 1].min() == found.low.min() and edge[:, 1].max() == found.high.max()
    assert lines["person against person"].get_ydata() == pytest.approx(np.linspace(0.9, 0.8, 6))
    assert lines["chance"].get_ydata().tolist() == [0.1] * 6
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["words", "person against person", "chance"]
    dashes = {str(lines[name].get_linestyle()) + str(lines[name]._dash_pattern) for name in lines}
    assert len(dashes) == 3


def test_more_levels_than_can_be_told_apart_are_refused():
    with pytest.raises(SettingsError, match="at most 4"):
        figures.similarity_curves([1], {"a": [0.1]}, levels={str(i): 0.1 for i in range(5)})


def test_curves_without_an_interval_have_no_band():
    axes = figures.similarity_curves([1, 2], {"a": [0.4, 0.2], "b": [0.5, 0.3]})
    assert len(axes.lines) == 2 and not axes.collections and not axes.texts


@pytest.mark.parametrize("count", [0, 8])
def test_more_curves_than_can_be_told_apart_are_refused(count):
    with pytest.raises(SettingsError, match="Allowed: 1 to 7"):
        figures.similarity_curves([1], {str(i): [0.1] for i in range(count)})


def test_a_long_legend_leaves_the_curves_their_height():
    few, many = (
        figures.similarity_curves([1, 2], {f"quite a long name of a measure, {i}": [0.4, 0.2] for i in range(count)})
        for count in (1, 5)
    )
    assert many.bbox.height == pytest.approx(few.bbox.height, rel=0.1)
    assert many.figure.get_figheight() > few.figure.get_figheight()
    assert many.bbox.width == pytest.approx(few.bbox.width, rel=0.1)


@pytest.mark.parametrize("count", [3, 5, 7])
def test_a_legend_lies_in_the_figure_and_leaves_the_curves_their_width(count):
    kinds = ("all", "action", "colour", "number", "object", "other", "a longer one")[:count]
    axes = figures.survival_curves(ROUNDS, {kind: estimate(2) for kind in kinds})
    figure, legend = axes.figure.bbox, axes.get_legend().get_window_extent()
    assert figure.x0 <= legend.x0 and legend.x1 <= figure.x1 and legend.y1 <= figure.y1
    assert axes.bbox.width > 0.75 * figure.width


def test_legends_of_neighbours_do_not_crowd_out_their_curves():
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    pair = figure.subplots(1, 2)
    for axes in pair:
        levels = {"unrelated chains": 0.1, "captioner against person": 0.4, "person against person": 0.6}
        figures.similarity_curves(ROUNDS, {f"curve {i}": estimate(i) for i in (1, 2, 3)}, axes, levels=levels)
    left, right = (axes.get_legend().get_window_extent() for axes in pair)
    assert left.x1 < right.x0 and all(axes.bbox.width > 0.35 * figure.bbox.width for axes in pair)


def test_survival_is_shown_from_none_to_all():
    axes = figures.survival_curves(ROUNDS, {"colour": estimate(3), "object": estimate(9)})
    assert axes.get_ylim() == (0, 1.02)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["colour", "object"]


# caption_changes


def test_words_are_kept_new_or_lost():
    axes = figures.caption_changes([["dog", "grass"], ["dog", "snow"], ["snow"], ["grass"]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dog", "grass", "snow"]
    filled = {}
    for cell in axes.patches:
        if cell.get_facecolor()[3]:
            place = (round(cell.get_x() + 0.42), round(cell.get_y() + 0.4))
            filled[place] = next(c for c in (BLUE, ORANGE) if to_rgb(c) == cell.get_facecolor()[:3])
    kept = {place for place, colour in filled.items() if colour == BLUE}
    assert kept == {(0, 0), (0, 1), (1, 0), (2, 2)} and filled.keys() - kept == {(1, 2), (3, 1)}
    marks = {
        marker: {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == marker}
        for marker in "+x"
    }
    assert marks == {"+": {(1, 2), (3, 1)}, "x": {(1, 1), (2, 0), (3, 2)}}


def test_captions_without_words_have_no_matrix():
    with pytest.raises(SettingsError, match="without any word"):
        figures.caption_changes([[], []])


# attractor_histogram


def test_the_commonest_endings_come_first_and_the_rest_is_counted():
    ends = [("a", "man")] * 3 + [("a", "dog")] * 5 + [("red",), ("blue",)]
    axes = figures.attractor_histogram(ends, top=2)
    assert [bar.get_width() for bar in axes.patches] == [5, 3]
    assert texts(axes) == ["a dog", "5", "a man", "3"]
    assert axes.get_xlabel() == "chains, of 10 in all (2 other endings not shown)"


def test_long_endings_are_cut_to_the_width():
    axes = figures.attractor_histogram([["word"] * 60])
    assert axes.texts[0].get_text().endswith("…")
    assert axes.texts[0].get_window_extent().x1 <= axes.figure.bbox.width


@pytest.mark.parametrize(("ends", "top"), [([], 3), ([("a",)], 0)])
def test_a_histogram_needs_endings(ends, top):
    with pytest.raises(SettingsError, match="Needed"):
        figures.attractor_histogram(ends, top=top)


# meaning_and_looks


def test_the_scatter_tells_correlation_interval_and_count():
    x = np.append(np.linspace(0, 1, 20), np.nan)
    axes = figures.meaning_and_looks(x, -(x**3), sources=[str(i) for i in range(21)], resamples=20)
    assert axes.get_title("left") == "ρ = −1.00 [−1.00, −1.00], n = 20"
    assert np.isfinite(axes.lines[0].get_xdata()).sum() == 20


def test_one_source_has_no_interval():
    x = np.linspace(0, 1, 5)
    assert figures.meaning_and_looks(x, x, sources=["a"] * 5).get_title("left") == "ρ = 1.00, n = 5"


def test_a_scatter_needs_pairs():
    with pytest.raises(DataError, match="both similarities"):
        figures.meaning_and_looks([np.nan, 1], [1, np.nan], sources=["a", "b"])


# film_strip and image_grid


def test_a_strip_shows_the_rounds_asked_for():
    (axes,) = figures.film_strip(a_track(9), rounds=[0, 3, 8]).axes
    assert len(axes.images) == 3
    assert [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"] == ["0", "3", "8"]


def test_rows_of_a_strip_are_even():
    (axes,) = figures.film_strip(a_track(6), columns=4).axes
    lefts = sorted({round(image.get_extent()[0]) for image in axes.images})
    assert len(lefts) == 3


def test_a_start_without_picture_shows_its_words():
    (axes,) = figures.film_strip(a_track(2, text_first=True)).axes
    assert len(axes.images) == 1 and len(axes.patches) == 1
    assert any("“a brown" in text for text in texts(axes))


def test_pictures_keep_their_aspect():
    track = Track("x", "x", 0, (Turn(0, ("a",), picture(9, (40, 20))), Turn(1, ("b",), picture(9, (10, 30)))))
    sides = np.abs(np.diff([np.reshape(i.get_extent(), (2, 2)) for i in figures.film_strip(track).axes[0].images]))
    assert [float(width / height) for width, height in sides[..., 0]] == pytest.approx([2, 1 / 3])


def test_large_photographs_are_no_larger_than_print_shows():
    track = Track("x", "x", 0, tuple(Turn(i, ("a",), picture(9, (2000, 2000))) for i in range(4)))
    (axes,) = figures.film_strip(track, columns=4).axes
    assert all(max(image.get_array().shape) <= 3.25 / 4 * 300 for image in axes.images)


@pytest.mark.parametrize("rounds", [[], [0, 99]])
def test_rounds_that_are_not_there_are_refused(rounds):
    with pytest.raises(SettingsError, match="has \\[0, 1"):
        figures.film_strip(a_track(), rounds=rounds)


def test_a_figure_too_low_is_told_how_high_it_must_be():
    with pytest.raises(SettingsError, match=r"0\.50 inches high.* need \d\.\d\d"):
        figures.film_strip(a_track(), Figure(figsize=(3.25, 0.5)))


def test_a_grid_pairs_starts_with_ends():
    tracks = [a_track(3), a_track(4), a_track(5, text_first=True)]
    (axes,) = figures.image_grid(tracks, pairs=2).axes
    assert len(axes.images) == 5
    assert [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"] == ["2", "3", "4"]
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
    assert len(arrows) == 3


def test_a_grid_needs_chains():
    with pytest.raises(SettingsError, match="0 chains"):
        figures.image_grid([])


def test_a_curve_that_is_not_as_long_as_its_rounds_is_refused():
    with pytest.raises(SettingsError, match="2 values for 3 rounds"):
        figures.similarity_curves([1, 2, 3], {"a": [0.5, 0.4]})
