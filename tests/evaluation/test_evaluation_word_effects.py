import numpy as np
import pytest

from telephonegan.evaluation.word_effects import (
    KINDS,
    Swap,
    draw_swaps,
    effect,
    effects_by_kind,
    effects_by_word,
    exchanged,
    pair_scores,
)

CAPTIONS = [(0, ["a", "red", "ball", "and", "a", "blue", "ball"]), (1, ["a", "dog", "runs"]), (2, ["a", "blue", "car"])]


def draw(captions=CAPTIONS, kind="colour", known=("red", "blue", "green"), limit=10, seed=0, differ=None):
    return draw_swaps(
        captions, kind, knows=lambda word: word in known, differ=differ or (lambda *both: True), limit=limit, seed=seed
    )


def swap(kind, old, new):
    return Swap(0, kind, old, new, [old], [new])


def test_no_word_has_two_kinds():
    words = [word for kind in KINDS.values() for word in kind]
    assert len(words) == len(set(words))


def test_exactly_one_word_changes_to_another_known_one_of_its_kind():
    for seed in range(20):
        swaps = draw(seed=seed)
        assert {each.row for each in swaps} == {0, 2}
        for each in swaps:
            changed = [(a, b) for a, b in zip(each.caption, each.swapped, strict=True) if a != b]
            assert changed == [(each.old, each.new)]
            assert each.new in ("red", "blue", "green")
            assert each.new not in each.caption


def test_a_word_that_only_has_others_in_its_own_caption_is_left_out():
    assert [each.row for each in draw(known=("red", "blue"))] == [2]


def test_swaps_nobody_would_notice_are_left_out():
    assert draw(differ=lambda first, second: "car" in first and first != second) == [
        each for each in draw() if each.row == 2
    ]
    assert draw(differ=lambda *both: False) == []


def test_seed_and_limit_decide_the_draw():
    many = [(row, ["a", "red", "ball"]) for row in range(50)]
    assert draw(many, seed=3) == draw(many, seed=3)
    assert draw(many, seed=3) != draw(many, seed=4)
    assert len(draw(many, limit=7)) == 7


@pytest.mark.parametrize(
    ("before", "place", "new", "after"),
    [
        ("a red car", 1, "orange", "an orange car"),
        ("an orange car", 1, "red", "a red car"),
        ("a cow", 1, "elephant", "an elephant"),
        ("a uniform", 1, "umbrella", "an umbrella"),
        ("a coat", 1, "uniform", "a uniform"),
        ("the red car", 1, "orange", "the orange car"),
        ("red cars", 0, "orange", "orange cars"),
    ],
)
def test_the_article_follows_the_new_word(before, place, new, after):
    assert " ".join(exchanged(before.split(), place, new)) == after


def test_pictures_of_their_words_have_the_full_margin_and_always_prefer_their_own():
    a, b = np.tile([1.0, 0.0], (6, 1)), np.tile([0.0, 1.0], (6, 1))
    found = effect(pair_scores((2 * a, b), (a, 3 * b)))
    assert (found.n, found.margin, found.both_prefer) == (6, pytest.approx(1), 1)


def test_a_word_that_changes_nothing_has_no_margin_and_never_both_preferences():
    rng = np.random.default_rng(0)
    same, first, second = rng.normal(size=(3, 40, 8))
    found = effect(pair_scores((same, same), (first, second)))
    assert found.margin == pytest.approx(0, abs=1e-12)
    assert found.both_prefer == 0


def test_unrelated_pictures_prefer_their_own_texts_in_a_quarter_of_the_pairs():
    rng = np.random.default_rng(0)
    a, b, first, second = rng.normal(size=(4, 4000, 8))
    assert effect(pair_scores((a, b), (first, second))).both_prefer == pytest.approx(0.25, abs=0.03)


def test_margin_is_half_the_sum_of_both_preferences():
    scores = np.array([[[0.6, 0.1], [0.2, 0.3]], [[0.0, 0.4], [0.1, 0.5]]])
    found = effect(scores)
    assert found.margin == pytest.approx(((0.5 + 0.1) / 2 + (-0.4 + 0.4) / 2) / 2)
    assert found.both_prefer == 0.5


def test_kinds_and_words_are_told_apart_and_both_words_of_a_pair_count():
    swaps = [swap("colour", "red", "blue"), swap("colour", "blue", "green"), swap("animal", "dog", "cat")]
    scores = np.zeros((3, 2, 2))
    scores[0] = np.eye(2)
    kinds, words = effects_by_kind(swaps, scores), effects_by_word(swaps, scores)
    assert {kind: (found.n, found.margin) for kind, found in kinds.items()} == {"colour": (2, 0.5), "animal": (1, 0)}
    told = {word: (found.n, found.margin) for word, found in words.items()}
    assert told == {"blue": (2, 0.5), "cat": (1, 0), "dog": (1, 0), "green": (1, 0), "red": (1, 1)}
    assert list(words) == sorted(words)
