import pytest

from telephonegan.drift.text_measures import content_f1
from telephonegan.drift.truth import truth_anchor
from telephonegan.errors import DataError
from tests.planted import tracks

PEOPLE = [["dog", "red"], ["dog", "red"], ["dog", "blue"]]


def anchored(last, sources: int = 12, **options):
    names = [f"thing{i}" for i in range(sources)]
    people = [[[*words, name] for words in PEOPLE] for name in names]
    games = [[["dog", "red", name], [word.replace("NAME", name) for word in last]] for name in names]
    return truth_anchor(tracks(games, references=people), content_f1, resamples=50, **options)


def test_the_captioner_and_people_are_measured_alike():
    found = anchored(["sky"])
    # Two people agree in all three words, the third in two of them.
    assert found.people.value == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert found.near.value == pytest.approx([(1 + 1 + 2 / 3) / 3, 0])
    assert found.short.value == pytest.approx(found.people.value - found.near.value)
    assert found.by_chance.value[0] == pytest.approx((2 / 3 + 2 / 3 + 1 / 3) / 3)


def test_chance_is_not_that_of_a_neighbour_of_the_same_kind():
    """In a list by kind, such as birds', the next photograph shows the same bird."""
    kinds = [f"kind{i // 4}" for i in range(24)]
    found = truth_anchor(
        tracks([[[kind], [kind]] for kind in kinds], references=[[[kind], [kind]] for kind in kinds]),
        content_f1,
        resamples=50,
    )
    assert found.near.value.tolist() == [1, 1] and found.by_chance.value.tolist() == [0, 0]


def test_with_the_best_person_the_left_out_one_does_not_answer():
    found = anchored(["dog", "blue", "NAME"], best=True)
    assert found.people.value == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert found.near.value[1] == pytest.approx((1 + 1 + 2 / 3) / 3)


def test_photographs_without_people_are_left_out_and_too_few_are_refused():
    with pytest.raises(DataError, match="needs 10 photographs with captions of 2 people or more; there are 3"):
        anchored(["sky"], sources=3)
