import math

import numpy as np
import pytest
import torch

from telephonegan.errors import SettingsError
from telephonegan.evaluation.pictures import diversity, frechet_distance, kernel_distance


def normal(seed, n, d, scale=1.0):
    return np.random.default_rng(seed).normal(size=(n, d)) * scale


def with_diagonal_covariance(seed, n, standard_deviations, mean):
    """Features whose sample mean and unbiased sample covariance are exactly those given."""
    d = len(standard_deviations)
    centred = normal(seed, n, d)
    centred -= centred.mean(axis=0)
    basis, _ = np.linalg.qr(centred)
    return basis * math.sqrt(n - 1) * np.asarray(standard_deviations) + np.asarray(mean)


@pytest.mark.parametrize(("n", "d"), [(60, 5), (6, 40)], ids=["many", "fewer than features"])
def test_frechet_distance_of_equal_covariances_is_the_squared_shift(n, d):
    x = normal(0, n, d)
    shift = normal(1, 1, d)[0]
    assert frechet_distance(x, x + shift) == pytest.approx(shift @ shift, rel=1e-9)


@pytest.mark.parametrize("n", [4, 50])
def test_frechet_distance_to_itself_vanishes_in_another_order(n):
    x = normal(0, n, 20, scale=100)
    assert 0 <= frechet_distance(x, x[::-1]) < 1e-8


def test_frechet_distance_of_diagonal_gaussians_has_its_closed_form():
    first, second = np.array([1.0, 2.0, 0.5]), np.array([3.0, 1.0, 0.0])
    x = with_diagonal_covariance(0, 40, first, [0, 0, 0])
    y = with_diagonal_covariance(1, 70, second, [1, 2, 3])
    expected = 14 + ((first - second) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected)
    assert frechet_distance(y, x) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m"), [(30, 45), (5, 30), (5, 4)])
def test_frechet_distance_equals_the_definition_by_covariances(n, m):
    x, y = normal(0, n, 8), normal(1, m, 8) @ normal(2, 8, 8) + 1
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    values, vectors = np.linalg.eigh(cov_x)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cov_y @ root).clip(0)).sum()
    shift = x.mean(axis=0) - y.mean(axis=0)
    expected = shift @ shift + np.trace(cov_x) + np.trace(cov_y) - 2 * cross
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)


def test_kernel_distance_equals_the_definition_by_pairs():
    x, y = normal(0, 5, 3), normal(1, 7, 3) + 1

    def kernel(a, b):
        return (a @ b / 3 + 1) ** 3

    within = [np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (x, y[:5])]
    between = np.mean([kernel(a, b) for a in x for b in y[:5]])
    result = kernel_distance(x, y[:5])
    assert result.mean == pytest.approx(sum(within) - 2 * between)
    assert result.n == 5


def test_kernel_distance_is_unbiased():
    estimates = [kernel_distance(normal(seed, 20, 4), normal(seed + 1000, 20, 4)).mean for seed in range(200)]
    assert min(estimates) < 0
    assert abs(np.mean(estimates)) < 4 * np.std(estimates) / math.sqrt(200)


def test_kernel_distance_of_one_distribution_lies_within_its_spread_and_grows_with_a_shift():
    x, y = normal(0, 400, 6), normal(1, 400, 6)
    same, near, far = (kernel_distance(x, y + shift, subset_size=50, subsets=40) for shift in (0, 0.3, 0.6))
    assert abs(same.mean) < same.std
    assert same.mean < near.mean < far.mean
    assert near.mean > 2 * near.std / math.sqrt(400 / 50)


def test_distances_do_not_depend_on_the_order_of_pictures():
    x, y = normal(0, 30, 5), normal(1, 30, 5) + 1
    mixed = np.random.default_rng(2).permutation(30)
    assert frechet_distance(x[mixed], y) == pytest.approx(frechet_distance(x, y))
    assert kernel_distance(x[mixed], y).mean == pytest.approx(kernel_distance(x, y).mean)


def test_all_pictures_at_once_give_one_estimate_without_a_spread():
    x, y = normal(0, 30, 5), normal(1, 30, 5)
    whole = kernel_distance(x, y)
    assert math.isnan(whole.std)
    assert whole.mean == kernel_distance(x, y, seed=1).mean


def test_default_subset_is_as_large_as_the_smaller_set():
    result = kernel_distance(normal(0, 30, 5), normal(1, 40, 5), subsets=5)
    assert result.n == 30
    assert result.std > 0


def test_seed_decides_the_subsets():
    x, y = normal(0, 40, 5), normal(1, 40, 5)
    first, again, other = (kernel_distance(x, y, subset_size=10, subsets=5, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.mean != other.mean


def test_tensors_in_half_precision_are_taken():
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16).requires_grad_()
    plain = x.detach().double().numpy()
    assert frechet_distance(x, x + 1) == pytest.approx(frechet_distance(plain, (x + 1).detach().double().numpy()))


def test_diversity_is_the_mean_over_captions_of_the_distance_within():
    features = np.array([[0, 0], [3, 4], [1, 1], [1, 1], [1, 2], [9, 9]], dtype=float)
    groups = ["dog", "dog", "cat", "cat", "cat", "alone"]
    assert diversity(features, groups) == pytest.approx((5 + 2 / 3) / 2)
    assert diversity(features, torch.tensor([0, 0, 1, 1, 1, 2])) == pytest.approx((5 + 2 / 3) / 2)


def test_absolute_diversity_is_the_mean_difference_of_a_pixel():
    pixels = np.array([[-1, -1], [1, 0], [0, 0], [0, 1]], dtype=float)
    assert diversity(pixels, [0, 0, 1, 1], absolute=True) == pytest.approx((3 / 2 + 1 / 2) / 2)
    assert diversity(pixels[[0, 1]] * 0 + [[-1], [1]], [0, 0], absolute=True) == 2


def test_diversity_of_equal_pictures_is_exactly_zero():
    assert diversity(np.full((4, 3), 0.1), [0, 0, 1, 1]) == 0


GOOD = np.arange(12.0).reshape(4, 3)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (np.zeros((4, 2)), "same network"),
        (np.zeros((1, 3)), "at least two rows"),
        (np.zeros(3), "shape"),
        (np.zeros((4, 0)), "shape"),
        (np.where(GOOD == 5, np.nan, GOOD), "1 of 4 rows"),
        (np.where(GOOD == 5, np.inf, GOOD), "1 of 4 rows"),
        ([["a", "b", "c"]] * 2, "not a matrix"),
    ],
)
def test_unusable_features_are_explained(distance, bad, said):
    with pytest.raises(SettingsError, match=said):
        distance(GOOD, bad)
    with pytest.raises(SettingsError, match=said):
        distance(bad, GOOD)


@pytest.mark.parametrize("settings", [{"subset_size": 5}, {"subset_size": 1}, {"subsets": 0}])
def test_impossible_subsets_are_explained(settings):
    with pytest.raises(SettingsError, match=next(iter(settings))):
        kernel_distance(GOOD, GOOD + 1, **settings)


def test_unusable_groups_are_explained():
    with pytest.raises(SettingsError, match="3 groups were given for 4 rows"):
        diversity(GOOD, [0, 0, 1])
    with pytest.raises(SettingsError, match="single picture"):
        diversity(GOOD, [0, 1, 2, 3])
