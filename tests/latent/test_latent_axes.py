"""Vectors: unit length, Gram-Schmidt, projection, regression; and axis sets as files."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephonegan.errors import DataError, SettingsError, UnknownModelError
from telephonegan.latent import AxisSet, Measured, disentangle, gram_schmidt, normalise
from telephonegan.latent.axes import atanh_clipped, regress

# Columns (1,0,0,0), (1,1,0,0), (0,1,1,0).
THREE = np.array([[1.0, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]])
ROOT = np.sqrt(0.5)


def random_axes(seed, d=12, k=5):
    return np.random.default_rng(seed).normal(size=(d, k))


def test_normalised_columns_have_unit_length_and_zero_stays_zero():
    axes = random_axes(0)
    axes[:, 2] = 0
    np.testing.assert_allclose(np.linalg.norm(normalise(axes), axis=0), [1, 1, 0, 1, 1])


def test_one_vector_is_made_orthogonal_to_another():
    axes, disabled = disentangle(np.array([[1.0, 1], [0, 1], [0, 1]])[:, ::-1], [0])
    np.testing.assert_allclose(axes[:, 1], normalise(np.array([[2 / 3], [-1 / 3], [-1 / 3]]))[:, 0])
    assert not disabled.any()


def test_gram_schmidt_works_in_the_order_of_the_columns():
    np.testing.assert_allclose(gram_schmidt(THREE), np.eye(4)[:, :3])
    product = gram_schmidt(random_axes(1)).T @ gram_schmidt(random_axes(1))
    assert np.abs(product - np.diag(np.diag(product))).max() < 1e-6


def test_with_a_base_the_others_lose_their_part_along_it():
    axes, _ = disentangle(THREE, [0])
    np.testing.assert_allclose(axes, np.array([[1.0, 0, 0], [0, 1, ROOT], [0, 0, ROOT], [0, 0, 0]]))


def test_without_a_base_axes_are_only_normalised():
    axes, _ = disentangle(THREE, [])
    np.testing.assert_allclose(axes, np.array([[1.0, ROOT, 0], [0, ROOT, ROOT], [0, 0, ROOT], [0, 0, 0]]))


def test_scores_are_clipped_at_three_before_the_inverse_tanh():
    np.testing.assert_allclose(atanh_clipped(np.array([-1, 1, 0.5])), [-3, 3, 0.5493], atol=1e-4)


@given(st.integers(0, 1000), st.permutations([0, 2, 3]))
def test_targets_are_orthogonal_to_the_locks_in_any_order(seed, order):
    axes = random_axes(seed)
    found, disabled = disentangle(axes, order)
    assert np.abs(axes[:, order].T @ found[:, [1, 4]]).max() < 1e-9
    np.testing.assert_allclose(found[:, [1, 4]], disentangle(axes, sorted(order))[0][:, [1, 4]], atol=1e-9)
    assert not disabled.any()


def test_an_axis_within_the_span_of_the_locks_is_disabled_and_not_amplified():
    axes = random_axes(2)
    axes[:, 4] = axes[:, 0] - 2 * axes[:, 1] + 1e-9 * axes[:, 4]
    found, disabled = disentangle(axes, [0, 1])
    assert disabled.tolist() == [False, False, False, False, True]
    assert not found[:, 4].any()


@pytest.mark.parametrize("method", ["linear", "tanh"])
def test_a_planted_axis_is_recovered(method):
    rng = np.random.default_rng(0)
    codes, planted = rng.normal(size=(2000, 32)), normalise(rng.normal(size=(32, 1)))
    scores = np.tanh(codes @ planted) + 0.1 * rng.normal(size=(2000, 1))
    found = normalise(regress(codes, scores, method=method)[0])
    assert (found * planted).sum() > 0.99


# ------------------------------------------------------------------------------------------- a set of axes


@pytest.fixture
def axes():
    return AxisSet(
        ("age", "sex", "hair"),
        random_axes(3, k=3),
        np.array([1.0, 2.0, 1.0]),
        generator="faces",
        sha256="ab" * 32,
        r2=np.array([0.5, 0.4, 0.01]),
        ends={"age": ("younger", "older")},
        measured={"age": Measured(0.9, 1.0, 0.1, 0.8, 0.01)},
    )


def test_a_step_changes_its_own_coordinate_by_exactly_the_step(axes):
    before = {"noise": np.arange(12.0), "eps": np.ones(3)}
    after = axes.move(before, {"sex": 1.5})
    assert axes.coordinates(after)["sex"] - axes.coordinates(before)["sex"] == pytest.approx(1.5, abs=1e-5)
    assert after["eps"] is not None and np.array_equal(before["noise"], np.arange(12.0))


def test_locked_coordinates_stay_while_another_moves(axes):
    before = {"noise": np.arange(12.0)}
    after = axes.coordinates(axes.move(before, {"age": 3.0}, locked=["sex", "hair"]))
    for name in ("sex", "hair"):
        assert after[name] == pytest.approx(axes.coordinates(before)[name], abs=1e-5)


def test_an_unknown_feature_is_refused_with_those_there_are(axes):
    with pytest.raises(SettingsError, match=r"'agee'.*age.*sex, hair"):
        axes.move({"noise": np.zeros(12)}, {"agee": 1})


def test_locking_all_features_is_refused(axes):
    with pytest.raises(SettingsError, match="All features are locked"):
        axes.disentangled(axes.names)


def test_latents_of_another_size_are_refused(axes):
    with pytest.raises(SettingsError, match=r"12 numbers.*\(8,\)"):
        axes.move({"noise": np.zeros(8)}, {"age": 1})


def test_axes_of_another_model_are_refused(axes):
    axes.check_model("ab" * 32)
    with pytest.raises(SettingsError, match="another version of the generator 'faces'"):
        axes.check_model("cd" * 32)


def test_a_constant_feature_cannot_move_and_says_why(axes):
    flat = AxisSet(axes.names, axes.axes * [1, 0, 1], axes.scale)
    with pytest.raises(SettingsError, match="sex cannot move: its score is constant"):
        flat.move({"noise": np.zeros(12)}, {"sex": 1}, locked=["age"])


def same(one, other):
    np.testing.assert_allclose(one.axes, other.axes, atol=1e-6)
    assert (one.names, one.measured, one.sha256) == (other.names, other.measured, other.sha256)
    assert dict(one.ends) == dict(other.ends) and one.r2.tolist() == other.r2.tolist()


def test_axes_survive_a_file(axes, tmp_path):
    axes.save(tmp_path / "faces")
    same(AxisSet.load(tmp_path / "faces.json"), axes)
    same(AxisSet.load(tmp_path / "faces"), axes)


def test_axes_survive_registration(axes, tiny, tmp_path):
    axes.register("of-a-test", replace=True)
    same(AxisSet.load("of-a-test"), axes)
    with pytest.raises(UnknownModelError, match="of-a-test"):
        AxisSet.load("of-a-tset")


def test_a_file_is_never_overwritten(axes, tmp_path):
    axes.save(tmp_path / "faces")
    before = (tmp_path / "faces.json").read_bytes()
    with pytest.raises(Exception, match="exists"):
        axes.take(["age"]).save(tmp_path / "faces")
    assert (tmp_path / "faces.json").read_bytes() == before


@pytest.mark.parametrize(
    "change", [{"names": ["age"]}, {"names": 3}, {"format": 9}, {"r2": ["x"]}, {"part": None}, {"ends": {"age": ["a"]}}]
)
def test_a_damaged_description_is_refused(axes, tmp_path, change):
    path = axes.save(tmp_path / "faces")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match="faces"):
        AxisSet.load(path)


def test_damaged_arrays_are_refused(axes, tmp_path):
    path = axes.save(tmp_path / "faces")
    path.with_suffix(".safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(DataError, match=r"faces\.safetensors"):
        AxisSet.load(path)


def test_some_axes_can_be_taken(axes):
    some = axes.take(["hair", "age"])
    assert some.names == ("hair", "age") and some.r2.tolist() == [0.01, 0.5] and list(some.measured) == ["age"]
    np.testing.assert_array_equal(some.axes, axes.axes[:, [2, 0]])


# ------------------------------------------------------------------------------------------- TL-GAN's own file


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("names", [["Smiling", "Young"], np.array(["Smiling", "Young"])])
def test_directions_of_tlgan_are_read(tmp_path, protocol, names):
    directions = np.random.default_rng(0).normal(size=(6, 2))
    path = tmp_path / "feature_direction_1.pkl"
    path.write_bytes(pickle.dumps({"direction": directions, "name": names}, protocol=protocol))
    found = AxisSet.from_tlgan(path, "pggan")
    assert found.names == ("Smiling", "Young") and found.method == "tl-gan"
    np.testing.assert_allclose(found.axes, normalise(directions))


class _Evil:
    def __reduce__(self):
        return exec, ("import sys; sys.stderr.write('code of a pickle')",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps(_Evil()), "exec"),
        (pickle.dumps({"direction": np.ones((2, 2))}), "not TL-GAN's table"),
        (pickle.dumps({"direction": np.ones((2, 2)), "name": ["a"]}), "not TL-GAN's table"),
        (pickle.dumps({"direction": np.full((2, 1), np.nan), "name": ["a"]}), "not finite"),
        (pickle.dumps({"direction": np.ones((2, 1)), "name": ["a"]})[:-40], "not a pickle that can be read"),
        (b"", "empty"),
    ],
)
def test_other_pickles_are_refused_and_nothing_in_them_runs(tmp_path, content, said, capsys):
    path = tmp_path / "feature_direction_1.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        AxisSet.from_tlgan(path)
    assert "code of a pickle" not in capsys.readouterr().err


def test_a_move_that_single_precision_cannot_hold_is_refused(axes):
    with pytest.raises(SettingsError, match="So many σ"):
        axes.move({"noise": np.zeros(len(axes.axes))}, {"age": 1e300})
