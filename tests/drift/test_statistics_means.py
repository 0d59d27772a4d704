import numpy as np
import pytest

from telephonegan.drift.curves import pivot
from telephonegan.drift.statistics import gc_at_t, mean_of_known, mean_similarity, rank_correlation
from telephonegan.errors import DataError


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
