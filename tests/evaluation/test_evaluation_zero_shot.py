import numpy as np
import pytest
import torch

from telephonegan.errors import SettingsError
from telephonegan.evaluation.zero_shot import class_scores


def test_scores_equal_a_count_by_hand():
    codes = torch.tensor([[2.0, 0.0], [1.0, 0.5], [0.4, 0.5], [0.0, 1.0]])
    sentences = torch.tensor([[1.0, 0.2], [1.0, -0.2], [0.0, 1.0]])
    found = class_scores(codes, [7, 7, 7, 9], sentences, [7, 7, 9], ks=(1, 2, 3, 50))
    # By class 7 the pictures score 2, 1, 0.4 and 0; by class 9 they score 0, 0.5, 0.5 and 1.
    assert found.top1 == 3 / 4
    assert found.precision == {1: 1.0, 2: 0.75, 3: (1 + 1 / 3) / 2, 50: 0.5}
    assert (found.classes, found.pictures, found.chance) == (2, 4, 0.5)


def test_constant_embeddings_score_nothing():
    found = class_scores(np.ones((4, 2)), [0, 0, 1, 1], np.ones((2, 2)), [0, 1], ks=(1, 2))
    assert found.top1 == 0 and found.precision == {1: 0, 2: 0}


def test_a_class_is_the_mean_of_its_sentences():
    sentences = np.array([[3.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert class_scores(np.eye(2), [0, 1], sentences, [0, 0, 1]).top1 == 1


def test_by_cosine_a_class_of_long_sentences_wins_no_more_often():
    codes, long = np.array([[1.0, 0.2], [0.2, 1.0]]), np.array([[9.0, 0.0], [0.0, 1.0]])
    found = class_scores(codes, [0, 1], long, [0, 1], ks=(1,))
    assert (found.top1, found.top1_cosine) == (0.5, 1.0)


def test_a_class_with_one_photograph_is_scored():
    assert class_scores(np.eye(3), [0, 1, 2], np.eye(3), [0, 1, 2]).top1 == 1


@pytest.mark.parametrize(
    ("labels", "owners", "problem"),
    [([0, 1], [0, 0], "no sentence of class 1"), ([0, 0], [0, 1], "one class"), ([0], [0, 1], "do not fit")],
)
def test_classes_that_cannot_be_scored_are_named(labels, owners, problem):
    with pytest.raises(SettingsError, match=problem):
        class_scores(np.eye(2), labels, np.eye(2), owners)
