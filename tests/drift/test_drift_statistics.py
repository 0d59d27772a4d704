import numpy as np
import pytest

from telephonegan.drift.statistics import (
    Resamples,
    above_chance,
    bootstrap,
    gc_at_t,
    mean_of_known,
    mean_similarity,
    percentile_interval,
    pivot,
    rank_correlation,
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


def test_the_same_is_one_and_as_much_as_chance_is_zero():
    assert above_chance(np.array([1, 0.6, 0.2, 0.1]), 0.2) == pytest.approx([1, 0.5, 0, -0.125])
    assert above_chance(np.array([0.5, 0.5]), np.array([0.0, 0.25])) == pytest.approx([0.5, 1 / 3])


@pytest.mark.parametrize("chance", [1.0, 0.995, 1.2])
def test_chance_that_leaves_no_room_tells_nothing(chance):
    assert np.isnan(above_chance(0.999, chance))


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
    which = np.eye(3)[np.repeat(np.arange(3), 2)]
    shares = Resamples(names(3, seeds=2), 30).means(which)
    assert shares[0] == pytest.approx([1 / 3] * 3)
    assert np.isin(np.round(3 * shares, 9), range(4)).all() and shares.max() > 0.5


def test_means_over_resampled_sources_are_those_of_their_chains_taken_together():
    values, sources = np.random.default_rng(4).normal(0, 1, (9, 2)), list("aaabbbbcd")
    values[[1, 5], [0, 1]] = np.nan
    drawn = Resamples(sources, 20)
    by_hand = [
        mean_of_known(np.concatenate([values[[s == drawn.sources[i] for s in sources]] for i in draw]))
        for draw in drawn.draws
    ]
    np.testing.assert_allclose(drawn.means(values)[1:], by_hand)
    np.testing.assert_allclose(drawn.means(values)[0], mean_of_known(values))


def test_rows_of_several_results_are_drawn_together():
    values, drawn = np.random.default_rng(4).normal(0, 1, 20), Resamples(names(20), 20)
    assert drawn.means(values + 1) - drawn.means(values) == pytest.approx(1)


def test_means_over_pairs_leave_each_source_with_itself_out():
    values = np.array([[[9.0], [1.0], [2.0]], [[3.0], [9.0], [np.nan]], [[4.0], [5.0], [9.0]]])
    drawn = Resamples(list("abc"), 50)
    found = drawn.pair_means(values)
    assert found[0] == pytest.approx([(1 + 2 + 3 + 4 + 5) / 5])
    for weights, mean in zip(drawn.weights, found[:, 0], strict=True):
        pairs = [(weights[i] * weights[j], values[i, j, 0]) for i in range(3) for j in range(3) if i != j]
        known = [(weight, value) for weight, value in pairs if not np.isnan(value)]
        total = sum(weight for weight, _ in known)
        expected = sum(weight * value for weight, value in known) / total if total else np.nan
        assert mean == pytest.approx(expected, nan_ok=True)


def test_the_interval_of_a_pair_mean_allows_for_both_sources_of_a_pair():
    effect = np.random.default_rng(0).normal(0, 1, 60)
    pairs = (effect[:, None] + effect)[..., None]  # the mean over pairs varies like twice the mean of the effects
    drawn = Resamples(names(60), 2000)
    found = drawn.estimate(drawn.pair_means(pairs))
    assert found.high - found.low == pytest.approx(2 * 2 * 1.96 * effect.std() / 60**0.5, rel=0.1)


def test_pairs_must_be_of_the_sources():
    with pytest.raises(DataError, match="each pair"):
        Resamples(["a", "b"], 5).pair_means(np.zeros((3, 3, 1)))


def test_resamples_without_a_value_are_left_out_and_counted():
    values = np.full((12, 1), np.nan)
    values[:4] = 1.0  # a resample has none of these in 1 of 130
    drawn = Resamples(names(12), 2000)
    found = drawn.estimate(drawn.means(values))
    has = [int(name[1:]) < 4 for name in drawn.sources]
    without = int((drawn.weights[1:, has].sum(axis=1) == 0).sum())
    assert 0 < without < 50 and found.unknown.tolist() == [without]
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert bootstrap(mean_of_known, values, sources=names(12)).unknown.tolist() == [without]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_pairs_of_few_sources_have_no_interval(count):
    drawn = Resamples(names(count), 400)
    found = drawn.estimate(drawn.pair_means(np.random.default_rng(0).normal(0, 1, (count, count, 1))))
    assert np.isnan([found.low, found.high]).all() and (found.unknown > 20 or count == 1)


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
    with pytest.raises(DataError, match="at least one chain"):
        bootstrap(np.mean, values, sources=sources)


@pytest.mark.parametrize("option", [{"resamples": 0}, {"level": 95}, {"level": 0}])
def test_settings_out_of_range_are_told(option):
    with pytest.raises(SettingsError, match=f"{next(iter(option))} must be"):
        bootstrap(np.mean, np.ones(2), sources=["a", "b"], **({"resamples": 3} | option))
