import numpy as np
import pytest

from telephonegan.drift.half_life import half_life
from telephonegan.errors import DataError

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
