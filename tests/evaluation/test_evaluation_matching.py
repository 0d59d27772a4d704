import math

import numpy as np
import pytest
import torch

from telephonegan.errors import SettingsError
from telephonegan.evaluation.matching import check_draw, normalised, r_precision, recall_at_k


def normal(seed, n, d=16):
    return np.random.default_rng(seed).normal(size=(n, d))


def test_perfect_codes_score_one():
    codes = normal(0, 150)
    result = r_precision(codes, 3 * codes)
    assert (result.mean, result.std, result.n, result.candidates, result.chance) == (1.0, 0.0, 150, 100, 0.01)


@pytest.mark.parametrize("candidates", [2, 10])
def test_random_codes_score_chance(candidates):
    n = 2000
    result = r_precision(normal(0, n), normal(1, n), candidates=candidates)
    chance = 1 / candidates
    assert abs(result.mean - chance) < 4 * math.sqrt(chance * (1 - chance) / n)


@pytest.mark.parametrize("constant", [np.zeros((300, 16)), np.tile(normal(2, 1), (300, 1))], ids=["zero", "same"])
def test_an_encoder_that_says_the_same_of_everything_scores_no_more_than_chance(constant):
    varied = normal(0, 300)
    assert r_precision(varied, constant).mean == 0
    assert r_precision(constant, constant).mean == 0
    assert r_precision(constant, varied, candidates=20).mean < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 300)


def test_mismatches_are_drawn_without_replacement_from_all_others():
    # With as many candidates as captions every other caption is drawn, so one better caption decides every picture.
    images = np.tile([1.0, 0.0], (20, 1))
    texts = np.stack([np.linspace(0.1, 0.9, 20), np.ones(20)], axis=1)
    assert r_precision(images, texts, candidates=20, folds=1).mean == pytest.approx(1 / 20)


def test_captions_of_the_same_group_are_never_mismatches():
    codes = np.repeat(normal(0, 30), 2, axis=0)
    groups = np.repeat(np.arange(30), 2)
    assert r_precision(codes, codes, candidates=59).mean < 0.1
    assert r_precision(codes, codes, candidates=59, groups=groups).mean == 1
    assert r_precision(codes, codes, candidates=59, groups=torch.from_numpy(groups)).mean == 1
    assert r_precision(codes, codes, candidates=59, groups=[f"photo {i}" for i in groups]).mean == 1


def test_seed_decides_the_draws():
    images = normal(0, 200)
    texts = images + 2 * normal(1, 200)
    first, again, other = (r_precision(images, texts, candidates=10, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_mean_counts_every_picture_once_and_std_is_over_folds():
    images = normal(0, 101)
    texts = images + 2 * normal(1, 101)
    ten, single = (r_precision(images, texts, candidates=10, folds=folds) for folds in (10, 1))
    assert ten.mean == single.mean
    assert (ten.folds, single.folds) == (10, 1)
    assert single.mean * 101 == pytest.approx(round(single.mean * 101))
    assert 0 < ten.std < 0.5
    assert math.isnan(single.std)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"candidates": 1}, "candidates is 1"),
        ({"candidates": 21}, "from 2 to 20"),
        ({"candidates": 20, "groups": [0, 0, *range(18)]}, "only 17"),
        ({"candidates": 5, "groups": [0]}, "1 groups"),
        ({"candidates": 5, "folds": 0}, "0 was given"),
        ({"candidates": 5, "folds": 21}, "21 was given"),
    ],
)
def test_impossible_draws_are_explained(settings, said):
    with pytest.raises(SettingsError, match=said):
        r_precision(normal(0, 20), normal(1, 20), **settings)


def test_a_draw_can_be_checked_before_there_are_codes():
    check_draw([0, 0, 1, 2], candidates=3, folds=4)
    with pytest.raises(SettingsError, match="only 2"):
        check_draw([0, 0, 1, 2], candidates=4, folds=4)
    with pytest.raises(SettingsError, match="5 was given"):
        check_draw([0, 0, 1, 2], candidates=3, folds=5)


def test_unusable_codes_are_explained():
    with pytest.raises(SettingsError, match="rows belong together"):
        r_precision(normal(0, 20), normal(1, 21), candidates=5)
    with pytest.raises(SettingsError, match="text_codes has nan"):
        r_precision(normal(0, 20), np.full((20, 16), np.nan), candidates=5)


def test_normalised_maps_chance_to_zero_and_real_to_one():
    assert normalised(0.01, real=0.8, chance=0.01) == 0
    assert normalised(0.8, real=0.8, chance=0.01) == pytest.approx(1)
    assert normalised(0.0, real=0.8, chance=0.01) < 0


@pytest.mark.parametrize("numbers", [(0.5, 0.1, 0.1), (float("nan"), 1, 0), (0.5, float("inf"), 0)])
def test_normalising_without_a_scale_is_explained(numbers):
    with pytest.raises(SettingsError, match="differ from chance"):
        normalised(*numbers)


def test_recall_counts_ranks_in_both_directions():
    scores = np.array([[0.9, 0.8, 0.7], [0.95, 0.5, 0.6], [0.1, 0.2, 0.3]])
    recall = recall_at_k(scores, ks=(1, 2, 3))
    assert recall.image_to_text == pytest.approx({1: 2 / 3, 2: 2 / 3, 3: 1})
    assert recall.text_to_image == pytest.approx({1: 0, 2: 2 / 3, 3: 1})


def test_recall_of_equal_scores_is_zero():
    recall = recall_at_k(torch.ones(12, 12), ks=[1, 5])
    assert recall.image_to_text == recall.text_to_image == {1: 0, 5: 0}


def test_a_picture_is_solved_by_any_of_its_captions():
    scores = np.array([[0.1, 0.9, 0.5, 0.6], [0.2, 0.3, 0.4, 0.1]])
    recall = recall_at_k(scores, ks=[1, 2], owners=[0, 0, 1, 1])
    assert recall.image_to_text == {1: 1, 2: 1}
    assert recall.text_to_image == {1: 0.25, 2: 1}


@pytest.mark.parametrize(
    ("shape", "settings", "said"),
    [
        ((3, 4), {"ks": [1]}, "Give owners"),
        ((3, 3), {"ks": [4]}, "from 1 to 3"),
        ((3, 3), {"ks": [0]}, "from 1 to 3"),
        ((3, 3), {"ks": []}, "from 1 to 3"),
        ((3, 4), {"ks": [1], "owners": [0, 1, 1, 0]}, "each picture"),
        ((3, 4), {"ks": [1], "owners": [0, 1, 2, 3]}, "no other"),
        ((3, 4), {"ks": [1], "owners": [0, 1, 2]}, "one per caption"),
        ((3, 3), {"ks": [1], "owners": [0.0, 1.0, 2.0]}, "whole numbers"),
    ],
)
def test_impossible_retrieval_is_explained(shape, settings, said):
    with pytest.raises(SettingsError, match=said):
        recall_at_k(np.zeros(shape), **settings)
