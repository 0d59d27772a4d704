import numpy as np
import pytest

from telephonegan.drift.statistics import (
    between,
    bootstrap,
    fraction,
    gc_at_t,
    half_life,
    mean_of_known,
    mean_similarity,
    percentile_interval,
    pivot,
    rank_correlation,
    resample,
)
from telephonegan.errors import DataError, SettingsError


def row(chain, number, value, *, measure="bleu", to="start", source=None):
    return {
        "chain": chain,
        "source": source or chain,
        "seed": 0,
        "round": number,
        "measure": measure,
        "to": to,
        "value": value,
    }


def test_rows_in_any_order_become_chains_by_rounds():
    rows = [row("b", 2, 0.4, source="s"), row("a", 1, 0.1), row("b", 1, 0.3, source="s"), row("a", 1, 9, to="previous")]
    curves = pivot(rows, "bleu")
    assert curves.chains == ("a", "b") and curves.sources == ("a", "s") and curves.rounds.tolist() == [1, 2]
    np.testing.assert_array_equal(curves.values, [[0.1, np.nan], [0.3, 0.4]])


def test_a_floor_stands_in_the_order_of_the_curves_it_belongs_to():
    curves = pivot([row("b", 1, 0.3), row("a", 1, 0.1)], "bleu")
    floor = pivot([row("b", 1, 0.02), row("other", 1, 0.5)], "bleu", like=curves)
    assert floor.chains == curves.chains
    np.testing.assert_array_equal(floor.values, [[np.nan], [0.02]])


def test_what_is_compared_with_start_and_with_the_round_before_has_one_shape():
    rows = [row("a", 2, 0.2), row("a", 1, 0.1, to="previous"), row("b", 3, 0.3, to="previous")]
    start, previous = (pivot(rows, "bleu", to=to) for to in ("start", "previous"))
    assert start.chains == previous.chains == ("a", "b") and start.rounds.tolist() == [1, 2, 3]
    nan = np.nan
    np.testing.assert_array_equal(start.values, [[nan, 0.2, nan], [nan] * 3])
    np.testing.assert_array_equal(previous.values, [[0.1, nan, nan], [nan, nan, 0.3]])


def test_rounds_can_be_given():
    curves = pivot([row("a", 2, 0.2), row("a", 5, 0.5)], "bleu", rounds=[1, 2, 3])
    assert curves.rounds.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(curves.values, [[np.nan, 0.2, np.nan]])


def test_a_measure_without_rows_is_an_error_that_names_those_there_are():
    with pytest.raises(DataError, match=r"no row of rouge.*bleu"):
        pivot([row("a", 1, 0.1)], "rouge")


def test_means_leave_out_what_is_unknown():
    values = np.array([[1.0, np.nan, 2.0], [3.0, np.nan, np.nan]])
    np.testing.assert_array_equal(mean_of_known(values), [2, np.nan, 2])
    assert mean_of_known(values, axis=None) == 2


def test_gc_at_t_weighs_rounds_by_their_number():
    values = np.array([[1, 0.8, 0.5, 0.2], [1, 1, 1, 1]])
    assert gc_at_t(range(4), values) == pytest.approx([(0.8 + 2 * 0.5 + 3 * 0.2) / 6, 1])


def test_mean_similarity_leaves_the_start_out():
    assert mean_similarity(range(4), np.array([1, 0.8, 0.5, 0.2])) == pytest.approx(0.5)


@pytest.mark.parametrize("summary", [gc_at_t, mean_similarity])
def test_an_unknown_start_does_not_matter_to_summaries_and_a_missing_round_does(summary):
    assert summary(range(3), np.array([np.nan, 0.5, 0.5])) == 0.5
    assert np.isnan(summary(range(3), np.array([1, 0.5, np.nan])))


@pytest.mark.parametrize("rounds", [[0], [], [-1, 1, 2], [1, 2]])
def test_summaries_refuse_rounds_that_do_not_fit(rounds):
    with pytest.raises(DataError, match="round numbers"):
        gc_at_t(rounds, np.ones((2, 3))[:, : max(1, len(rounds))] if rounds != [1, 2] else np.ones(3))


def test_rank_correlation_sees_order_alone():
    x = np.array([0.1, 0.5, 0.2, 0.9])
    assert rank_correlation(x, np.exp(9 * x)) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)


def test_rank_correlation_shares_ranks_among_equals():
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
    assert rank_correlation(np.array([1.0, 2, 2, 3]), np.array([1.0, 2, 3, 4])) == pytest.approx(4.5 / np.sqrt(22.5))


def test_rank_correlation_leaves_out_pairs_with_gaps_and_knows_nothing_of_constants():
    assert rank_correlation(np.array([1.0, 2, np.nan, 3]), np.array([2.0, 3, 1, 4])) == pytest.approx(1)
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0)))


def test_the_floor_is_zero_and_the_ceiling_one():
    assert between(np.array([0.1, 0.3, 0.5, 0.6, 0.0]), 0.1, 0.5) == pytest.approx([0, 0.5, 1, 1.25, -0.25])


def test_floors_and_ceilings_may_differ_by_round():
    assert between(np.array([0.5, 0.5]), np.array([0.0, 0.25]), np.array([1.0, 0.75])) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("ceiling", [0.2, 0.1])
def test_a_ceiling_not_above_the_floor_tells_nothing(ceiling):
    assert np.isnan(between(0.3, 0.2, ceiling))


def test_fractions_are_of_means_and_doubt_of_the_ceiling_widens_them():
    values, floor = np.full((4, 2), 0.3), np.full((4, 2), 0.1)
    sure = fraction(values, floor, np.full(4, 0.5), sources=list("abcd"), resamples=100)
    unsure = fraction(values, floor, np.array([0.3, 0.7, np.nan, 0.5]), sources=list("abcd"), resamples=100)
    assert sure.value == pytest.approx([0.5, 0.5]) and sure.high == pytest.approx(sure.low)
    assert unsure.value == pytest.approx([0.5, 0.5]) and (unsure.high - unsure.low > 0.2).all()


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


ROUNDS = np.arange(1, 11)
SOURCES = list("abcdefgh")


def chains(curve):
    return np.tile(curve, (len(SOURCES), 1))


def fit(curve, **options):
    return half_life(ROUNDS, chains(curve), **({"sources": SOURCES, "resamples": 30} | options))


@pytest.mark.parametrize("truth", [0.4, 1.0, 3.7, 40.0])
def test_a_known_exponential_gives_its_half_life(truth):
    found = fit(0.8 * 2 ** (-ROUNDS / truth))
    assert found.rounds.value == pytest.approx(truth, rel=1e-4)
    assert (found.start, found.plateau, found.r2) == (pytest.approx(0.8, rel=1e-3), 0, pytest.approx(1))
    assert found.rounds.low == pytest.approx(found.rounds.high)


@pytest.mark.parametrize("truth", [0.8, 3.0])
def test_what_stays_is_fitted_as_well(truth):
    found = fit(0.2 + 0.6 * 2 ** (-ROUNDS / truth), plateau=True)
    assert found.rounds.value == pytest.approx(truth, rel=1e-3)
    assert (found.start, found.plateau) == (pytest.approx(0.8, rel=1e-3), pytest.approx(0.2, rel=1e-3))


def test_a_plateau_is_never_below_the_floor():
    found = fit(0.9 - 0.08 * ROUNDS, plateau=True)
    assert found.plateau == 0


def test_raw_values_are_put_between_floor_and_ceiling_first():
    raw = 0.1 + 0.4 * 2 ** (-ROUNDS / 3)
    found = fit(raw, floor=np.full((8, 10), 0.1), ceiling=np.full(8, 0.5))
    assert found.rounds.value == pytest.approx(3, rel=1e-4) and found.start == pytest.approx(1, rel=1e-3)


def test_gaps_do_not_bend_the_fit():
    values = chains(2 ** (-ROUNDS / 3))
    values[::2, 4] = np.nan
    values[:, 7] = np.nan
    assert half_life(ROUNDS, values, sources=SOURCES, resamples=9).rounds.value == pytest.approx(3, rel=1e-4)


@pytest.mark.parametrize("plateau", [False, True])
@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        (np.full(10, 0.3), "does not fall"),
        (0.1 + 0.05 * ROUNDS, "does not fall"),
        (np.zeros(10), "does not fall"),
        (0.9 - 0.001 * ROUNDS, "too slowly"),
        (np.where(ROUNDS == 1, 0.5, 0.0), "by the first round"),
        (np.where(ROUNDS % 2, 0.6, 0.1) * 0.95**ROUNDS, "no exponential"),
        (np.where(ROUNDS < 3, 0.5, np.nan), "values in 2 of the rounds"),
    ],
)
def test_no_fit_is_an_answer(curve, reason, plateau):
    found = fit(curve, plateau=plateau)
    assert found.rounds is None and reason in found.reason


def test_the_interval_covers_the_truth_and_narrows_with_more_chains():
    rng = np.random.default_rng(0)

    def width(count):
        values = 2 ** (-ROUNDS / 3) * rng.uniform(0.6, 1.4, (count, 1)) + rng.normal(0, 0.1, (count, 10))
        found = half_life(ROUNDS, values, sources=[f"s{i}" for i in range(count)], resamples=200).rounds
        assert found.low <= 3 <= found.high
        return found.high - found.low

    assert width(400) < width(25) < np.inf


def test_an_interval_reaches_infinity_where_some_chains_lose_nothing():
    values = np.array([2 ** (-ROUNDS / 4.0)] + [np.full(10, 0.6)] * 1)
    found = half_life(ROUNDS, values, sources=["a", "b"], resamples=100)
    assert found.rounds is not None and found.rounds.high == np.inf and found.rounds.low == pytest.approx(4, rel=1e-3)


def test_one_source_gives_no_interval():
    found = fit(2 ** (-ROUNDS / 3), sources=["a"] * 8)
    assert found.rounds.value == pytest.approx(3, rel=1e-4) and np.isnan(found.rounds.low)


@pytest.mark.parametrize(("rounds", "values"), [([1, 2], np.ones((8, 3))), ([2, 1, 3], np.ones((8, 3))), ([1], [1.0])])
def test_rounds_must_rise_and_fit_the_values(rounds, values):
    with pytest.raises(DataError, match="chains × rounds"):
        half_life(rounds, values, sources=SOURCES)
