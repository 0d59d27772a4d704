"""Half-lives and laws of curves whose law is known."""

from __future__ import annotations

import numpy as np
import pytest

from telephonegan.drift.decay import MOST_CHANGE, half_life
from telephonegan.drift.statistics import Resamples
from telephonegan.errors import DataError

ROUNDS = np.arange(1, 11)


def exponential(half_life: float, plateau: float = 0.0, fall: float = 0.6) -> np.ndarray:
    return plateau + fall * 2 ** (-ROUNDS / half_life)


def resampled(curve: np.ndarray, *, noise: float, chains: int = 200, resamples: int = 200) -> np.ndarray:
    """The mean of chains that scatter about a curve, and its resamples."""
    values = curve + np.random.default_rng(0).normal(0, noise, (chains, len(curve)))
    return Resamples([f"s{i}" for i in range(chains)], resamples).means(values)


@pytest.mark.parametrize("plateau", [0.0, 0.2])
@pytest.mark.parametrize("truth", [0.4, 1.0, 3.7, 40.0])
def test_a_planted_exponential_is_accepted_and_its_half_life_and_plateau_recovered(truth, plateau):
    found = half_life(ROUNDS, exponential(truth, plateau))
    assert found.reason == "" and found.best == "exponential"
    assert found.rounds.value == pytest.approx(truth, rel=1e-3)
    assert found.plateau.value == pytest.approx(plateau, abs=1e-3)
    assert [value for *_, value in found.windows] == pytest.approx([truth] * 4, rel=1e-2)


def test_intervals_of_half_life_and_plateau_cover_the_truth_and_refused_resamples_are_counted():
    found = half_life(ROUNDS, resampled(exponential(1.5, 0.2, fall=1.0), noise=0.02))
    assert found.reason == "" and found.resamples == 200 and found.refused <= 20
    assert found.rounds.low <= 1.5 <= found.rounds.high < 1.6
    assert found.plateau.low <= 0.2 <= found.plateau.high < 0.21


def test_more_chains_narrow_the_interval():
    few, many = (
        half_life(ROUNDS, resampled(exponential(1.5, 0.2, fall=1.0), noise=0.02, chains=n)).rounds for n in (60, 600)
    )
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize("exponent", [0.1, 0.4, 1.0, 2.0])
@pytest.mark.parametrize("plateau", [0.0, 0.3])
def test_a_planted_power_law_has_no_half_life_though_an_exponential_explains_nearly_all_of_it(exponent, plateau):
    found = half_life(ROUNDS, plateau + (1 - plateau) * ROUNDS**-exponent)
    assert found.rounds is None and found.plateau is None
    assert found.best == "power law" and "power law" in found.reason
    assert found.laws[0].r2 > 0.99
    assert found.exponent.value == pytest.approx(exponent, rel=0.02)


def test_a_power_law_with_noise_is_refused_too_and_its_exponent_recovered():
    found = half_life(ROUNDS, resampled(0.6 * ROUNDS**-0.4, noise=0.03))
    assert found.rounds is None and found.best == "power law"
    assert found.exponent.low <= 0.4 <= found.exponent.high
    assert found.agree > 0.9 * found.resamples


def test_the_fits_of_a_power_law_move_with_the_window_and_those_of_an_exponential_do_not():
    def change(curve):
        values = [value for *_, value in half_life(ROUNDS, curve).windows]
        return max(values) / min(values)

    assert change(ROUNDS**-0.4) > MOST_CHANGE > 1.05 > change(exponential(1.6, 0.2))


def test_windows_that_disagree_are_told():
    found = half_life(ROUNDS, 0.9 - 0.08 * ROUNDS)  # a straight line halves ever faster
    assert found.rounds is None and "depends on the rounds fitted" in found.reason
    assert [(first, last) for first, last, _ in found.windows] == [(1, 5), (1, 7), (3, 10), (1, 10)]
    for first, last, value in found.windows:
        assert f"{value:.1f} over rounds {first}–{last}" in found.reason


def test_held_out_errors_are_of_the_last_rounds_by_a_fit_to_those_before():
    bent = exponential(2, 0.1)
    straight, wrong = half_life(ROUNDS, bent), half_life(ROUNDS, np.where(ROUNDS > 7, bent + 0.05, bent))
    assert straight.laws[0].held_out == pytest.approx(0, abs=1e-5)
    assert wrong.laws[0].held_out == pytest.approx(0.05, rel=0.01)


def test_aicc_is_that_of_least_squares_with_the_variance_as_a_parameter():
    curve = 0.5 * ROUNDS**-0.5 + np.where(ROUNDS % 2, 0.01, -0.01)
    law = half_life(ROUNDS, curve).laws[1]
    squares = ((curve - 1) ** 2).sum()
    for b in np.linspace(law.shape - 0.02, law.shape + 0.02, 401):
        basis = ROUNDS**-b
        squares = min(squares, ((curve - basis * (basis @ curve) / (basis @ basis)) ** 2).sum())
    assert law.aicc == pytest.approx(10 * np.log(squares / 10) + 6 + 24 / 6, abs=1e-3)


@pytest.mark.parametrize(
    ("curve", "reason"),
    [
        (np.full(10, 0.3), "does not fall significantly"),
        (0.1 + 0.05 * ROUNDS, "does not fall significantly"),
        (np.zeros(10), "not significantly above chance"),
        (np.full(10, -0.01), "not significantly above chance"),
        (np.where(ROUNDS == 1, 0.5, 0.1), "too fast"),
        (np.where(ROUNDS % 2, 0.6, 0.1) * 0.95**ROUNDS, "explains"),
        (np.where(ROUNDS < 6, 0.5, np.nan), "values in 5 of the rounds; 6 are needed"),
    ],
)
def test_no_half_life_is_an_answer(curve, reason):
    found = half_life(ROUNDS, curve)
    assert found.rounds is None and reason in found.reason


def test_a_curve_that_is_all_noise_has_no_law():
    found = half_life(ROUNDS, resampled(np.full(10, 0.3), noise=0.3))
    assert found.rounds is None and found.best is None


def test_a_law_that_leads_in_few_resamples_is_none():
    falling, flat = 0.5 * ROUNDS**-0.4, np.full(10, 0.3)
    sure, unsure = (half_life(ROUNDS, np.stack([falling] * n + [flat - 1e-3 * ROUNDS] * (9 - n))) for n in (7, 4))
    assert (sure.best, sure.agree) == ("power law", 6) and (unsure.best, unsure.agree) == (None, 0)
    assert unsure.exponent is None


def test_a_fall_that_resampling_may_turn_around_is_refused():
    found = half_life(ROUNDS, resampled(exponential(2, 0.3, fall=0.01), noise=0.3))
    assert found.rounds is None and found.reason == "the curve does not fall significantly"


@pytest.mark.parametrize("room", [1e-12, 1e-6, 1e-3])
def test_little_room_above_chance_gives_the_same_half_life_or_none_and_never_a_wild_one(room):
    clean = half_life(ROUNDS, room * exponential(3, 0.2))
    assert clean.rounds.value == pytest.approx(3, rel=1e-3)
    noisy = half_life(ROUNDS, resampled(room * exponential(3, 0.2), noise=1.0))
    assert noisy.rounds is None and "above chance" in noisy.reason


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_no_law_explains_more_than_all(offset):
    curves = offset + resampled(exponential(2, 0.2), noise=1e-9, resamples=20)
    for curve in curves:
        assert all(law.r2 <= 1 for law in half_life(ROUNDS, curve).laws)


def test_unknown_rounds_are_left_out():
    curve = exponential(3, 0.1)
    curve[[4, 7]] = np.nan
    assert half_life(ROUNDS, curve).rounds.value == pytest.approx(3, rel=1e-3)


def test_resamples_without_a_value_count_as_refused():
    curves = np.tile(exponential(3, 0.1), (5, 1))
    curves[2, 3] = np.nan
    found = half_life(ROUNDS, curves)
    assert (found.refused, found.resamples) == (1, 4) and found.rounds.low == pytest.approx(3, rel=1e-3)


def test_a_half_life_that_most_resamples_lack_is_refused():
    flat, falling = np.full(10, 0.3), exponential(3, 0.1)
    found = half_life(ROUNDS, np.stack([falling, falling, *[flat - 1e-3 * ROUNDS] * 3]))
    assert found.rounds is None and found.reason == "3 of 4 resamples have no half-life" and found.refused == 3


def test_one_curve_gives_no_interval():
    found = half_life(ROUNDS, exponential(3, 0.1))
    assert np.isnan([found.rounds.low, found.rounds.high, found.plateau.low, found.plateau.high]).all()


@pytest.mark.parametrize(("rounds", "curves"), [([1, 2], np.ones(3)), ([2, 1, 3], np.ones((8, 3)))])
def test_rounds_must_rise_and_fit_the_curves(rounds, curves):
    with pytest.raises(DataError, match="curves × rounds"):
        half_life(rounds, curves)
