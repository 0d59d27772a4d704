import numpy as np
import pytest

from telephonegan.drift.prior import prior_test
from telephonegan.errors import DataError
from tests.planted import tracks

WORDS = ["dog", "man", "boy", "sea", "snow", "car"]
PRIOR = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])


def captions(shares, count: int, seed: int) -> list[list[str]]:
    return [[word] for word in np.random.default_rng(seed).choice(WORDS, count, p=shares)]


def games(last, count: int = 400):
    rounds = [captions(np.full(6, 1 / 6), count, 0), captions((PRIOR + last) / 2, count, 1), captions(last, count, 2)]
    return tracks([list(each) for each in zip(*rounds, strict=True)])


PEOPLE = captions(PRIOR, 3000, 9)


def test_a_chain_that_samples_its_prior_reaches_the_floor():
    found = prior_test(games(PRIOR), PEOPLE, resamples=200)
    assert found.verdict == "towards the prior" and found.change.high < 0
    assert found.distance.value[-1] == pytest.approx(found.floor.value, abs=0.005)
    assert found.distance.value[0] > found.floor.high


def test_a_chain_that_takes_the_commonest_moves_away():
    sharp = PRIOR**6 / (PRIOR**6).sum()
    found = prior_test(games(sharp), PEOPLE, resamples=200)
    assert found.verdict == "away from the prior"
    assert found.gained[0][0] == "dog" and found.lost[0][0] in ("man", "boy")


def test_a_chain_that_stays_does_neither():
    rounds = [captions(PRIOR, 400, seed) for seed in range(3)]
    found = prior_test(tracks([list(each) for each in zip(*rounds, strict=True)]), PEOPLE, resamples=200)
    assert found.verdict == "neither"


def test_too_little_is_refused_with_what_is_needed():
    with pytest.raises(DataError, match="needs 500 captions; 3 were given"):
        prior_test(games(PRIOR), PEOPLE[:3])
    with pytest.raises(DataError, match="needs 20 sources"):
        prior_test(games(PRIOR, 5), PEOPLE)
