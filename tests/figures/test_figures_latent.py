import numpy as np
import pytest
from matplotlib.figure import Figure

from telephonegan import figures
from telephonegan.errors import SettingsError
from telephonegan.latent import AxisSet, Walk


@pytest.fixture
def axes(free):
    columns = np.random.default_rng(0).normal(size=(16, 3))
    correlation = np.array([[1, 0.5, 0], [0.5, 1, -0.9], [0, -0.9, 1]])
    names = ("warmth", "contrast", "age")
    ends = {"age": ("younger", "older")}
    return AxisSet(names, columns, np.ones(3), generator="free", correlation=correlation, ends=ends)


def test_a_grid_has_a_row_per_feature_that_can_move(free, axes):
    walk = Walk(free, axes)
    walk.lock("contrast")
    figure = figures.axis_grid(walk, sigmas=[-2, 0, 2])
    assert isinstance(figure, Figure)
    (drawn,) = figure.axes
    assert len(drawn.images) == 6
    words = " ".join(text.get_text() for text in drawn.texts)
    assert all(word in words for word in ("warmth", "younger", "older", "+2 σ")) and "contrast" not in words


def test_a_grid_of_nothing_is_refused(free, axes):
    with pytest.raises(SettingsError, match="0 features"):
        figures.axis_grid(Walk(free, axes), names=[])


@pytest.mark.parametrize("kind", ["cosine", "correlation"])
def test_matrices_have_symmetric_colours_and_numbers(axes, kind):
    drawn = figures.axis_matrix(axes, kind)
    (image,) = drawn.images
    assert image.get_clim() == (-1, 1)
    expected = axes.cosines() if kind == "cosine" else axes.correlation
    np.testing.assert_allclose(image.get_array(), expected)
    assert len(drawn.texts) == 9 and drawn.texts[0].get_text() == "1.00"


def test_a_matrix_that_is_not_there_is_refused(axes):
    from dataclasses import replace

    with pytest.raises(SettingsError, match="without scores"):
        figures.axis_matrix(replace(axes, correlation=None), "correlation")
    with pytest.raises(SettingsError, match="cosine, correlation"):
        figures.axis_matrix(axes, "covariance")
