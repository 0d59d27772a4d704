import numpy as np
import pytest

from telephonegan.drift.law_race import LAWS, law_race
from telephonegan.errors import DataError

ROUNDS = np.arange(1, 41.0)
PLANTED = {
    "exponential": 0.8 * 2 ** (-ROUNDS / 6),
    "exponential to a plateau": 0.2 + 0.6 * 2 ** (-ROUNDS / 4),
    "power law": 0.8 * ROUNDS**-0.4,
    "power law to a plateau": 0.1 + 0.6 * ROUNDS**-0.9,
    "two exponentials": 0.5 * 2 ** (-ROUNDS / 2) + 0.4 * 2 ** (-ROUNDS / 20),
}
SHAPES = {"exponential": 6, "exponential to a plateau": 4, "power law": 0.4, "two exponentials": 2}


@pytest.mark.parametrize("name", LAWS)
def test_a_planted_law_wins_among_noise_and_is_fitted(name):
    rng = np.random.default_rng(0)
    curves = PLANTED[name] + 0.003 * rng.normal(size=(21, 40))
    race = law_race(ROUNDS, curves)
    assert (race.best, race.reason) == (name, "")
    assert race.laws[0].weight == max(law.weight for law in race.laws)
    if name in SHAPES:
        assert race.laws[0].shape == pytest.approx(SHAPES[name], rel=0.1)


@pytest.mark.parametrize("name", LAWS)
def test_only_the_planted_law_foretells_the_last_round_from_every_window(name):
    race = law_race(ROUNDS, PLANTED[name])
    foretold = {law.name: np.abs(law.windows - PLANTED[name][-1]).max() for law in race.laws}
    assert race.windows == (10, 16, 22, 28, 34, 40)
    assert foretold[name] < 1e-3
    assert foretold["power law" if name == "exponential" else "exponential"] > 0.005


def test_no_law_is_an_answer():
    rng = np.random.default_rng(0)
    race = law_race(ROUNDS, 0.4 + 0.1 * rng.normal(size=40))
    assert race.best is None and "explains" in race.reason
    steps = np.where(ROUNDS < 20, 0.8, 0.2) + 0.01 * rng.normal(size=40)
    assert law_race(ROUNDS, steps).best is None


def test_a_law_that_leads_in_few_resamples_is_not_the_law():
    race = law_race(ROUNDS, np.stack([PLANTED["power law"], *[PLANTED["exponential"]] * 3]))
    assert race.best is None and "leads in 0% of the resamples" in race.reason


def test_no_fit_lies_below_zero_or_rises():
    race = law_race(ROUNDS, 0.1 - 0.01 * ROUNDS)
    for law in race.laws:
        assert law.curve.min() >= 0 and np.diff(law.curve).max() <= 1e-12


def test_too_few_rounds_are_refused_with_the_number_needed():
    with pytest.raises(DataError, match="needs values in 8 rounds; 5 were given"):
        law_race([1, 2, 3, 4, 5], np.ones(5))
    with pytest.raises(DataError, match="from 1 on that rise"):
        law_race([0, 1, 2], np.ones(3))
