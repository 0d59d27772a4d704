import numpy as np
import pytest

from telephonegan.drift.markov import (
    TransitionGraph,
    homogeneity_test,
    order_test,
    scenes,
    sequences_of,
    settling_test,
)
from telephonegan.errors import DataError, SettingsError
from tests.planted import markov, tracks

TWO = [[0.9, 0.1], [0.3, 0.7]]
# Two rooms of three states each: games seldom change rooms.
ROOMS = np.kron(np.eye(2), np.full((3, 3), 0.32)) + np.kron(1 - np.eye(2), np.full((3, 3), 0.04 / 3))
ROOMS /= ROOMS.sum(axis=1, keepdims=True)


def test_a_planted_chain_of_two_states_is_found_again():
    graph = TransitionGraph.of(markov(TWO, 300, 60))
    assert graph.states == (0, 1)
    np.testing.assert_allclose(graph.probability, TWO, atol=0.02)
    np.testing.assert_allclose(graph.stationary, [0.75, 0.25], atol=0.02)
    assert graph.relaxation == pytest.approx(-1 / np.log(0.6), rel=0.05)
    assert graph.mixing == 3  # 0.75 · 0.6^t falls to a quarter in the third round
    assert graph.covered == 1


def test_mixing_time_is_the_first_round_within_a_quarter():
    slow = TransitionGraph.of(markov([[0.98, 0.02], [0.02, 0.98]], 500, 60))
    second = 1 - slow.probability[0, 1] - slow.probability[1, 0]
    worst = slow.stationary.max()
    expected = next(t for t in range(1, 1000) if worst * second**t <= 0.25)
    assert slow.mixing == expected
    assert TransitionGraph.of([[0, 1] * 20]).mixing is None


def test_planted_attractors_are_found_as_metastable_sets():
    sets = TransitionGraph.of(markov(ROOMS, 300, 40)).metastable(2)
    assert sorted(sorted(each.states) for each in sets) == [[0, 1, 2], [3, 4, 5]]
    for each in sets:
        assert each.time == pytest.approx(0.5, abs=0.05) and each.stays == pytest.approx(0.96, abs=0.01)


def test_a_memoryless_chain_passes_and_the_next_order_fails():
    sequences = markov(TWO, 300, 20)
    assert order_test(sequences, 0, permutations=200).p < 0.01
    assert order_test(sequences, 1, permutations=200).p > 0.05
    assert homogeneity_test(sequences, permutations=200).p > 0.05


def test_the_tests_keep_their_level_where_games_stay_long():
    """A game that stays meets its state more often: permuted among all meetings, one test in two would fail."""
    rng = np.random.default_rng(1)
    stay = rng.uniform(0.5, 0.95, 40)
    matrix = np.full((40, 40), 0.0) + ((1 - stay) / 39)[:, None]
    np.fill_diagonal(matrix, stay)
    found = []
    for seed in range(40):
        sequences = markov(matrix, 120, 10, seed)
        labels = [i // 3 for i in range(120)]
        found.append(homogeneity_test(sequences, labels, permutations=99).p)
    assert np.mean(np.array(found) <= 0.05) <= 0.15


def test_a_chain_with_two_rounds_of_memory_is_seen():
    rng = np.random.default_rng(0)
    sequences = []
    for _ in range(200):
        states = [0, int(rng.integers(2))]
        for _ in range(12):
            states.append(states[-2] if rng.random() < 0.8 else int(rng.integers(2)))
        sequences.append(states)
    found = order_test(sequences, 1, permutations=200)
    assert found.p < 0.01 and found.excess > 0.1
    assert order_test(sequences, 2, permutations=200).p > 0.05


def test_coarse_states_of_a_memoryless_chain_remember():
    """States 0 and 1 look alike from outside, but one is left at once and the other hardly ever."""
    matrix = [[0.05, 0.05, 0.9], [0.0, 0.95, 0.05], [0.5, 0.5, 0.0]]
    fine = markov(matrix, 300, 15)
    coarse = [["in" if state < 2 else "out" for state in states] for states in fine]
    assert order_test(fine, 1, permutations=200).p > 0.05
    assert order_test(coarse, 1, permutations=200).p < 0.01


def test_a_chain_that_changes_its_ways_is_not_homogeneous():
    early, late = markov(TWO, 200, 10), markov([[0.1, 0.9], [0.9, 0.1]], 200, 10, seed=1)
    sequences = [a + b for a, b in zip(early, late, strict=True)]
    assert homogeneity_test(sequences, permutations=200).p < 0.01


def test_settling_compares_two_rounds():
    sequences = markov(TWO, 400, 30)
    assert settling_test(sequences, 15, 30, permutations=200).p > 0.05
    moved = settling_test(sequences, 0, 30, permutations=200)
    assert moved.p < 0.01 and moved.distance == pytest.approx(0.25, abs=0.06)


def test_scenes_are_common_words_in_turn():
    said = [["dog", "snow"], ["man", "snow"], ["dog", "sea"], ["boy", "sea"], ["girl", "city"], ["man", "tower"]]
    scene = scenes(tracks([[words] for words in said]), 3)
    assert [scene(tuple(words)) for words in said[:2]] == ["dog", "man"]
    assert scene(("a", "cat")) == "elsewhere"
    assert scenes(tracks([[["snow"]], [["a"]], [["the"]]]), 2)(("snow",)) == "snow"


def test_sequences_are_captions_or_what_a_function_makes_of_them():
    found = tracks([[["a", "dog"], ["dog"]]])
    assert sequences_of(found) == [[("a", "dog"), ("dog",)]]
    assert sequences_of(found, len) == [[2, 1]]


def test_too_little_to_test_is_refused_with_what_is_needed():
    with pytest.raises(DataError, match="needs 30 transitions"):
        order_test([[0, 1, 2, 3]], 1)
    with pytest.raises(DataError, match="no two do"):
        TransitionGraph.of([[0, 1, 2, 3]])
    with pytest.raises(SettingsError, match="2 to 2"):
        TransitionGraph.of([[0, 1, 0]]).metastable(3)
    with pytest.raises(SettingsError, match="0, 1, 2 or 3"):
        order_test([[0, 1]], 7)
    with pytest.raises(DataError, match="both rounds 0 and 9"):
        settling_test([[0, 1]], 0, 9)
