import numpy as np
import pytest
from scipy.stats import CensoredData, ecdf

from telephonegan.drift.fates import fate_model, fates, replacements, word_survival
from telephonegan.drift.words import lemma
from telephonegan.errors import DataError
from tests.planted import tracks


def lasting(hazard: float, back: float, words: int = 400, rounds: int = 12, seed: int = 0):
    """One word in each chain, lost with `hazard` in every round and said again with `back`."""
    rng = np.random.default_rng(seed)
    games = []
    for _ in range(words):
        here, captions = True, [["dog"]]
        for _ in range(rounds):
            here = rng.random() >= hazard if here else rng.random() < back
            captions.append(["dog"] if here else ["sea"])
        games.append(captions)
    return tracks(games)


def test_planted_hazard_and_return_are_found():
    games = lasting(0.3, 0.1)
    found = word_survival(fates(games), games, resamples=200)
    assert found.hazard.value[:3] == pytest.approx([0.3] * 3, abs=0.06)
    assert np.nanmean(found.back.value) == pytest.approx(0.1, abs=0.02)
    assert found.unbroken.value == pytest.approx(0.7 ** np.arange(1, 13), abs=0.05)
    assert found.said.value[-1] == pytest.approx(0.25, abs=0.07)  # where losses and returns balance
    assert found.unbroken.low[0] < 0.7 < found.unbroken.high[0]


def test_it_is_kaplan_and_meiers_estimate_where_chains_end_early():
    rng = np.random.default_rng(0)
    games = lasting(0.2, 0.0, words=60)
    cut = tracks([[turn.words for turn in track.turns][: int(rng.integers(2, 13))] for track in games])
    found = fates(cut)
    theirs = ecdf(
        CensoredData(
            uncensored=[fate.lost for fate in found if fate.lost],
            right=[len(fate.said) for fate in found if not fate.lost],
        )
    ).sf
    ours = word_survival(found, cut, resamples=10)
    assert ours.unbroken.value == pytest.approx(theirs.evaluate(ours.rounds))


def test_words_that_come_back_are_counted_and_chance_is_that_of_other_photographs():
    games = tracks([[["red"], ["sea"], ["red"]], [["dog"], ["dog"], ["red"]]])
    found = word_survival(fates(games), games, resamples=10)
    assert found.returned.value == 0.5  # red was said again, dog was not
    assert found.by_chance.tolist() == [0.0, 0.5]  # the other game says red in round 2, nobody else dog


def test_forms_of_a_word_are_one_where_asked():
    (game,) = tracks([[["dogs", "dog"], ["dog"]]])
    assert [fate.word for fate in fates([game])] == ["dogs", "dog"]
    assert [(fate.word, fate.said) for fate in fates([game], form=lemma)] == [("dog", (True,))]


def test_replacements_are_of_one_kind_and_stand_beside_chance():
    games = tracks([[["boy", "red"], ["girl", "red"], ["girl", "blue"]]] * 6 + [[["dog"], ["cat"]]] * 6)
    found = replacements(games, least=5)
    assert {(each.lost, each.gained, each.count) for each in found} == {
        ("boy", "girl", 6),
        ("red", "blue", 6),
        ("dog", "cat", 6),
    }
    assert next(each.expected for each in found if each.lost == "boy") == 3


def test_frequency_and_kind_are_told_apart():
    """Colours are rarer here and, frequency being equal, no worse off: kinds alone would blame them."""
    rng = np.random.default_rng(0)
    words = {"man": 1000, "dog": 900, "boy": 100, "red": 100, "blue": 90, "green": 1000}
    games = []
    for word, count in words.items():
        for _ in range({"man": 300, "dog": 300, "boy": 60, "red": 300, "blue": 300, "green": 60}[word]):
            keep = 1 / (1 + np.exp(-(0.7 * np.log2(count / 300))))
            games.append([[word], [word] if rng.random() < keep else ["x"]])
    found = fate_model(fates(tracks(games)), words, resamples=100)
    assert found.names == ("twice as frequent", "colour rather than object")
    assert found.odds.value[0] == pytest.approx(np.exp(0.7), rel=0.15)
    assert found.odds.low[1] < 1 < found.odds.high[1]
    assert found.alone.high[1] < 0.5


def test_a_model_needs_words_of_both_fates():
    games = tracks([[["dog"], ["dog"]]] * 40)
    with pytest.raises(DataError, match="needs 10 words that are said in round 1 and as many that are not"):
        fate_model(fates(games), {})
    with pytest.raises(DataError, match="There are rounds 1 to 1"):
        fate_model(fates(games), {}, round=2)


def test_survival_needs_a_word_and_a_round():
    with pytest.raises(DataError, match="needs a word"):
        word_survival([], tracks([[["a"], ["a"]]]))
    with pytest.raises(DataError, match="needs 1 rounds"):
        word_survival([], tracks([[["dog"]]]))
