"""A linear model of words: its guesses against a regression by hand, and what it does not read."""

import pytest
import torch

from telephonegan.training.linear_words import LinearWords

CAPTIONS = [["red", "round"], ["red"], ["blue", "round"], ["blue"], ["green"]]


def codes(captions):
    red, blue = (torch.tensor([float(word in caption) for caption in captions]) for word in ("red", "blue"))
    return torch.stack([red, blue, torch.zeros(len(captions))], 1)


def test_a_word_moves_the_guess_towards_the_codes_of_its_pictures():
    guesses = LinearWords(CAPTIONS, codes(CAPTIONS), minimum=1)([["red"], ["blue"]])
    assert guesses[0, 0] > 0.5 > guesses[0, 1] and guesses[1, 1] > 0.5 > guesses[1, 0]


def test_it_is_the_least_squares_solution_up_to_scale():
    torch.manual_seed(0)
    captions = [["abcdefg"[place] for place in torch.randperm(7)[:3].tolist()] for _ in range(300)]
    wanted = torch.randn(300, 4)
    guesses = LinearWords(captions, wanted, minimum=1, ridge=1e-7)(captions)
    has = torch.tensor([[float(letter in words) for letter in "abcdefg"] for words in captions])
    has, centred = has - has.mean(0), wanted - wanted.mean(0)
    expected = has @ torch.linalg.pinv(has) @ centred
    assert torch.allclose(guesses, expected / expected.square().sum(1).mean().sqrt(), atol=1e-3)


@pytest.mark.parametrize("evened", [0.0, 0.5, 1.0])
def test_guesses_have_a_mean_square_length_of_1(evened):
    torch.manual_seed(0)
    captions = [["abcdefg"[place] for place in torch.randperm(7)[:3].tolist()] for _ in range(300)]
    wanted = torch.randn(300, 4) * torch.tensor([9, 3, 2, 1])
    guesses = LinearWords(captions, wanted, minimum=1, evened=evened)(captions)
    assert guesses.square().sum(1).mean().item() == pytest.approx(1, abs=1e-3)
    spread = guesses.T @ guesses / len(guesses)
    unequal = torch.linalg.eigvalsh(spread)[-1] / torch.linalg.eigvalsh(spread)[0]
    assert (unequal < 1.01) == (evened == 1.0)


def test_rare_and_unknown_words_change_nothing():
    teacher = LinearWords([*CAPTIONS, ["odd"]], codes([*CAPTIONS, ["odd"]]), minimum=2)
    assert "odd" not in teacher.vocabulary
    assert torch.equal(teacher([["red", "odd", "never"]]), teacher([["red"]]))


def test_many_captions_are_fitted_as_few_are():
    few = LinearWords(CAPTIONS, codes(CAPTIONS), minimum=1)([["red"], ["round"]])
    many = LinearWords(CAPTIONS * 1000, codes(CAPTIONS * 1000), minimum=1)([["red"], ["round"]])
    assert torch.allclose(few, many, atol=1e-3)
