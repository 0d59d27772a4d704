import numpy as np
import pytest

from telephonegan.drift.statistics import bootstrap, mean_of_known, percentile_interval, resample
from telephonegan.errors import DataError, SettingsError


def names(count, seeds=1):
    return [f"s{i}" for i in range(count) for _ in range(seeds)]


def test_equal_chains_leave_no_doubt():
    found = bootstrap(mean_of_known, np.full((4, 3), 0.3), sources=names(4), resamples=50)
    for part in (found.value, found.low, found.high):
        assert part == pytest.approx([0.3] * 3)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = bootstrap(np.mean, values, sources=names(400))
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(found.value - half, abs=0.03)
    assert found.high == pytest.approx(found.value + half, abs=0.03)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    hits = 0
    for seed in range(100):
        found = bootstrap(np.mean, rng.normal(0, 1, 40), sources=names(40), resamples=200, level=0.9, seed=seed)
        hits += found.low <= 0 <= found.high
    assert 80 <= hits <= 97


def test_seeds_of_one_source_do_not_narrow_the_interval():
    values = np.random.default_rng(3).normal(0, 1, 50)
    alone = bootstrap(np.mean, values, sources=names(50), resamples=200)
    copies = bootstrap(np.mean, values.repeat(4), sources=names(50, seeds=4), resamples=200)
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high))


def test_all_seeds_of_a_drawn_source_come_along():
    which = np.repeat(np.arange(3), 2)
    counts = resample(lambda rows: np.bincount(rows, minlength=3), which, sources=names(3, seeds=2), resamples=30)
    assert (counts % 2 == 0).all() and (counts.sum(1) == 6).all() and counts.max() > 2


def test_arrays_are_drawn_together():
    values = np.random.default_rng(4).normal(0, 1, 20)
    difference = resample(lambda a, b: (a - b).max(), values, values + 1, sources=names(20), resamples=20)
    assert difference == pytest.approx(-1)


def test_the_interval_hangs_on_the_seed_and_not_on_the_order_of_chains():
    values, order = np.random.default_rng(5).normal(0, 1, 30), np.random.default_rng(6).permutation(30)
    sources = np.array(names(30))
    first = bootstrap(np.mean, values, sources=sources, resamples=99)
    shuffled = bootstrap(np.mean, values[order], sources=sources[order], resamples=99)
    other = bootstrap(np.mean, values, sources=sources, resamples=99, seed=1)
    assert shuffled.low == pytest.approx(first.low) and other.low != first.low


def test_one_source_says_nothing_of_others():
    found = bootstrap(mean_of_known, np.array([[1.0, 2.0], [3.0, 4.0]]), sources=["s", "s"], resamples=9)
    assert found.value.tolist() == [2, 3] and np.isnan(found.low).all() and np.isnan(found.high).all()


def test_percentiles_are_values_that_were_drawn_and_leave_unknown_ones_out():
    draws = np.append(np.arange(1.0, 101), [np.nan] * 50)
    assert percentile_interval(draws, 0.9) == (5, 95)
    assert percentile_interval(np.array([1.0, 2.0, np.inf, np.inf]), 0.5) == (1, np.inf)


def test_nothing_known_in_any_draw_is_nan():
    assert np.isnan(percentile_interval(np.full(5, np.nan))).all()


@pytest.mark.parametrize(("values", "sources"), [(np.ones(3), ["a", "b"]), (np.ones(0), [])])
def test_arrays_must_hold_the_same_chains(values, sources):
    with pytest.raises(DataError, match="same chains"):
        bootstrap(np.mean, values, sources=sources)


@pytest.mark.parametrize("option", [{"resamples": 0}, {"level": 95}, {"level": 0}])
def test_settings_out_of_range_are_told(option):
    with pytest.raises(SettingsError, match="Allowed"):
        bootstrap(np.mean, np.ones(2), sources=["a", "b"], **({"resamples": 3} | option))
