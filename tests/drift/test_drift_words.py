from __future__ import annotations

import numpy as np
import pytest

from telephonegan.drift import (
    WORD_KINDS,
    Changes,
    Track,
    Turn,
    chance_survival,
    content_words,
    kind_of,
    lemma,
    survival,
)
from telephonegan.drift import words as lists
from telephonegan.drift.statistics import Resamples
from telephonegan.errors import SettingsError
from telephonegan.evaluation.word_effects import KINDS


def test_function_words_are_left_out_and_every_content_word_is_told_once():
    assert content_words(["a", "man", "and", "a", "dog", "and", "another", "man", "in", "the", "snow"]) == (
        "man",
        "dog",
        "snow",
    )


def test_equal_captions_keep_everything():
    words = ["two", "brown", "dogs"]
    assert Changes.of(words, words) == Changes(kept=("two", "brown", "dogs"), lost=(), gained=())


def test_disjoint_captions_lose_everything_and_gain_the_rest():
    assert Changes.of(["red", "ball"], ["blue", "car"]) == Changes((), ("red", "ball"), ("blue", "car"))


def test_changes_keep_the_order_of_their_captions():
    changes = Changes.of(["dog", "red", "ball", "snow"], ["snow", "cat", "ball", "hat"])
    assert changes == Changes(kept=("ball", "snow"), lost=("dog", "red"), gained=("cat", "hat"))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("colour", "red grey gray blonde colorful"),
        ("number", "one two several 2"),
        ("object", "dog dogs man men people children building clothing bushes puppies bench benches glass knives"),
        ("action", "runs running sits standing jumped rides skateboarding"),
        ("other", "happy young background unheardof"),
    ],
)
def test_words_have_the_kind_they_mostly_have_in_captions(kind, words):
    assert {word: kind_of(word) for word in words.split()} == dict.fromkeys(words.split(), kind)


def test_words_that_can_be_exchanged_for_one_another_are_colours_or_objects():
    for kind, words in KINDS.items():
        assert {kind_of(word) for word in words} == {"colour" if kind == "colour" else "object"}


def test_no_word_is_listed_in_two_kinds():
    every = [lists.FUNCTION_WORDS, lists.COLOURS, lists.NUMBERS, lists.OBJECTS, lists.ACTIONS]
    assert sum(map(len, every)) == len(frozenset().union(*every))


def test_the_kinds_are_named_once():
    assert WORD_KINDS == ("colour", "number", "object", "action", "other")


def test_a_text_that_is_not_in_words_is_refused():
    with pytest.raises(SettingsError, match="Give a list of words"):
        content_words("a red ball")


KIND = {"red": "colour", "blue": "colour", "dog": "object", "runs": "action"}.get


def test_survival_is_the_share_of_the_first_words_still_said():
    chains = (["a red blue dog runs", "a red dog", "blue", "runs"], ["dog", "cat"])
    tracks = [
        Track(f"{i}", f"s{i}", 0, tuple(Turn(t, tuple(text.split())) for t, text in enumerate(texts)))
        for i, texts in enumerate(chains)
    ]
    found = survival(tracks, KIND)
    assert sorted(found) == ["action", "colour", "object"]
    nan = np.nan
    np.testing.assert_array_equal(found["colour"].values, [[1, 0.5, 0.5, 0], [nan] * 4])
    np.testing.assert_array_equal(found["object"].values, [[1, 1, 0, 0], [1, 0, nan, nan]])
    np.testing.assert_array_equal(found["action"].values, [[1, 0, 0, 1], [nan] * 4])
    assert found["action"].sources == ("s0", "s1") and found["action"].rounds.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("base", "forms"),
    [
        ("dog", "dog dogs"),
        ("child", "children"),
        ("man", "men"),
        ("bench", "benches"),
        ("puppy", "puppies"),
        ("leaf", "leaves"),
        ("run", "run runs running ran"),
        ("ride", "rides riding rode ridden"),
        ("sit", "sits sitting sat"),
        ("splash", "splashes splashing"),
        ("ski", "skis skiing"),
        ("stare", "stares staring"),
        ("carry", "carries carrying carried"),
        ("lie", "lies lying"),
    ],
)
def test_forms_of_a_word_have_one_lemma(base, forms):
    assert {lemma(form) for form in forms.split()} == {base}


@pytest.mark.parametrize(
    "word",
    [
        "snow",
        "grass",
        "dress",
        "pass",
        "sing",
        "string",
        "glasses",
        "clothes",
        "pants",
        "red",
        "two",
        "happy",
        "bus",
        "ring",
    ],
)
def test_words_that_are_no_forms_of_another_stay_as_they_are(word):
    assert lemma(word) == word


def test_a_lemma_is_its_own_lemma():
    listed = lists.OBJECTS | lists.ACTIONS | lists.COLOURS | lists.NUMBERS
    assert {word for word in listed if lemma(lemma(word)) != lemma(word)} == set()


def said(*chains):
    return [
        Track(f"{i}", f"s{i}", 0, tuple(Turn(t, tuple(text.split())) for t, text in enumerate(texts)))
        for i, texts in enumerate(chains)
    ]


def test_survival_can_count_forms_of_a_word_as_one():
    (track,) = said(["two dogs running", "a dog runs"])
    shares = [survival([track], kind_of, form=form)["object"].values.tolist() for form in (str, lemma)]
    assert shares == [[[1, 0]], [[1, 1]]]
    assert survival([track], kind_of, form=lemma)["action"].values.tolist() == [[1, 1]]


def test_survival_by_chance_is_what_other_sources_say_of_a_sources_words():
    tracks = said(["red dog", "a dog"], ["red cat", "a red dog"], ["cat", "a cat"])
    found = chance_survival(tracks, KIND, rounds=[1])
    nan = np.nan
    np.testing.assert_array_equal(found["object"][..., 0], [[1, 1, 0], [nan] * 3, [nan] * 3])
    np.testing.assert_array_equal(found["colour"][..., 0], [[0, 1, 0], [0, 1, 0], [nan] * 3])
    drawn = Resamples(["s0", "s1", "s2"], 1)
    assert drawn.pair_means(found["object"])[0, 0] == 0.5
    assert drawn.pair_means(found["colour"])[0, 0] == pytest.approx(1 / 4)


def test_survival_and_chance_agree_on_the_diagonal():
    tracks = said(["red blue dog", "a red dog"], ["blue dog", "a dog"])
    shares, chance = survival(tracks, KIND), chance_survival(tracks, KIND, rounds=[0, 1])
    for kind, curves in shares.items():
        np.testing.assert_array_equal(curves.values, np.diagonal(chance[kind]).T)
