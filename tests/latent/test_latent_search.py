"""Axes of generators: with scores, with scores from a file, and without any."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import telephonegan as tg
from telephonegan.errors import DataError, SettingsError
from telephonegan.latent import Features, find_axes, ganspace, measure, sefa
from telephonegan.latent.search import axes_of_scores, first_layer, sampled

QUIET = {"progress": False}


def test_a_step_along_an_axis_moves_its_score(free):
    axes = find_axes(free, ["brightness", "warmth"], n=600, **QUIET)
    assert (axes.r2 > 0.9).all() and axes.scale == pytest.approx([1, 1], abs=0.1)
    found = measure(axes, free, n=40, **QUIET).measured
    for each in found.values():
        assert each.slope > 0.8 and each.spearman > 0.99
        assert each.locked_leakage < 0.1 * max(each.leakage, 0.1)


def test_what_one_picture_gets_does_not_depend_on_its_neighbours(free):
    [(codes, images)] = sampled(free, range(5), [""], "noise")
    [(_, alone)] = sampled(free, [3], [""], "noise")
    torch.testing.assert_close(alone[0], images[3], atol=1e-5, rtol=0)
    np.testing.assert_array_equal(codes[3].numpy(), tg.sample("free", seed=3).latents["noise"])


def test_any_function_can_score(free):
    axes = find_axes(free, lambda images: images[:, :1].mean((2, 3)), n=200, names=["red"], **QUIET)
    assert axes.names == ("red",) and axes.r2[0] > 0.8 and axes.extractor == ""
    with pytest.raises(SettingsError, match="came from outside"):
        measure(axes, free, n=4, **QUIET)
    again = Features(["red"], function=lambda images: images[:, :1].mean((2, 3)))
    assert measure(axes, free, again, n=10, **QUIET).measured["red"].slope > 0.5


def test_scores_come_from_a_file_by_seed(free, tmp_path):
    seeds = list(range(50, 250))
    scores = Features(["warmth"])(next(sampled(free, seeds[:64], [""], "noise"))[1])
    rows = [f"{seed},{value:.6f}" for seed, value in zip(seeds, scores[:, 0].tolist(), strict=False)]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["seed,mine", *rows]))
    axes = find_axes(free, path, **QUIET)
    assert axes.names == ("mine",) and axes.samples == 64
    reference = find_axes(free, ["warmth"], n=600, **QUIET)
    assert (axes.axes * reference.axes).sum() > 0.9


@pytest.mark.parametrize("text", ["", "seed,a", "a,b\n1,2", "seed,a\n1,x", "seed,a\n-1,1", "seed,a\n1"])
def test_a_file_that_is_not_scores_is_refused(free, tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises((DataError, SettingsError), match=r"mine.csv|seed"):
        find_axes(free, path, **QUIET)


def test_scores_that_are_not_numbers_are_refused_by_name_and_sample(free):
    def broken(images):
        scores = images.mean((2, 3))[:, :2].clone()
        scores[3, 1] = float("nan")
        return scores

    with pytest.raises(DataError, match="'b' of sample 3 is nan"):
        find_axes(free, broken, n=40, names=["a", "b"], **QUIET)


def test_a_constant_score_has_no_axis_and_all_constant_is_refused(free):
    def scores(images):
        return torch.stack([images.mean((1, 2, 3)), torch.ones(len(images))], 1)

    axes = find_axes(free, scores, n=60, names=["light", "same"], **QUIET)
    assert axes.r2[1] == 0 and not axes.axes[:, 1].any() and "same" in axes.disentangled([])[1]
    with pytest.raises(SettingsError, match="constant"):
        find_axes(free, lambda images: torch.ones(len(images), 1), n=40, names=["same"], **QUIET)


def test_a_function_of_another_shape_is_refused(free):
    with pytest.raises(SettingsError, match=r"\(40, 1\) is needed"):
        find_axes(free, lambda images: torch.ones(len(images), 3), n=40, names=["same"], **QUIET)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"features": ["brightnes"]}, "Did you mean brightness"),
        ({"method": "logistic"}, "linear, tanh, svm"),
        ({"part": "eps"}, "no latents 'eps'.*noise"),
        ({"n": 3}, "n must be"),
    ],
)
def test_bad_settings_are_refused(free, how, said):
    with pytest.raises(SettingsError, match=said):
        find_axes(free, **{"n": 40} | how | QUIET)


@pytest.mark.parametrize("method", ["tanh", "svm"])
def test_other_methods_find_the_same_axis(free, method):
    linear, other = (find_axes(free, ["warmth"], n=600, method=each, **QUIET) for each in ("linear", method))
    assert (linear.axes * other.axes).sum() > 0.9


def test_within_captions_what_they_say_does_not_count():
    rng = np.random.default_rng(0)
    groups = np.arange(400) % 4
    codes = rng.normal(size=(400, 6))
    scores = codes[:, :1] + 100 * groups[:, None]
    found = axes_of_scores(codes, scores, ["a"], groups=groups)
    assert abs(found["axes"][0, 0]) > 0.999 and found["r2"][0] > 0.99


def test_an_axis_between_captions_goes_where_captions_go():
    """One code holds the score and a disturbance, the other a tenth of the disturbance: the score foretold from both
    needs the second one most, although it says nothing of the score."""
    score, disturbance = np.random.default_rng(0).normal(size=(2, 1000))
    codes, groups = np.stack([score + disturbance, disturbance / 10], 1), np.arange(1000)
    found = axes_of_scores(codes, score[:, None], ["a"], groups=groups, within=False)
    assert abs(found["axes"][0, 0]) > 0.99 and found["r2"][0] > 0.99
    assert found["scale"][0] == pytest.approx(2**0.5, abs=0.1)
    alike = axes_of_scores(codes, score[:, None], ["a"], within=True)
    assert abs(alike["axes"][1, 0]) > 0.99


def test_axes_of_the_sentence_need_captions(phone):
    with pytest.raises(SettingsError, match="at least 20 captions; 1 were given"):
        find_axes(phone.generator, ["warmth"], n=40, part="sentence", texts="a dog", **QUIET)


def test_axes_of_the_sentence_move_it(phone):
    words = ["dog", "man", "child", "ball", "beach", "water", "grass", "snow"]
    captions = [f"a {colour} {word}" for word in words for colour in ("red", "blue", "brown")]
    axes = find_axes(phone.generator, ["warmth"], n=96, part="sentence", texts=captions, **QUIET)
    latents = axes.move({}, {"warmth": 2.0})
    plain, moved = phone.generate([captions[0]] * 2, latents=[None, latents])
    assert plain.image.tobytes() != moved.image.tobytes() and moved.latents["sentence"].shape == (8,)


# ------------------------------------------------------------------------------------------- without scores


def test_sefa_finds_the_directions_that_the_first_layer_stretches_most(free):
    axes = sefa(free, 16)
    gains = np.linalg.norm(first_layer(free, "noise").numpy() @ axes.axes, axis=0)
    assert (np.diff(gains) <= 1e-5).all()
    np.testing.assert_allclose(axes.axes.T @ axes.axes, np.eye(16), atol=1e-5)


@pytest.mark.parametrize("part", ["noise", "eps", "condition"])
def test_sefa_takes_the_columns_of_the_part(phone, part):
    assert sefa(phone.generator, 3, part=part).axes.shape == (8, 3)


def test_sefa_of_a_part_that_does_not_enter_the_first_layer_is_refused(phone):
    with pytest.raises(SettingsError, match="does not enter the first layer"):
        sefa(phone.generator, 3, part="sentence")


def test_ganspace_finds_unit_directions_of_noise(free):
    axes = ganspace(free, 4, 300, **QUIET)
    np.testing.assert_allclose(np.linalg.norm(axes.axes, axis=0), 1, atol=1e-6)
    assert np.abs(axes.cosines() - np.eye(4)).max() < 0.5
