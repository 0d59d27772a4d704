"""Captions and matches as conditions."""

from __future__ import annotations

import pytest
import torch

from telephonegan.errors import SettingsError, TextError
from telephonegan.latent.text_conditions import CaptionCondition, MatchCondition
from telephonegan.matcher import Matcher
from telephonegan.networks.damsm import word_scores
from telephonegan.text import padding_mask

PICTURES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def gradient(condition):
    images = PICTURES.clone().requires_grad_()
    return torch.autograd.grad(condition(images).objective.sum(), images)[0]


@pytest.fixture(params=[True, False], ids=["attention", "pooled"])
def captioner(request, tiny):
    """A captioner with attention, and one that sees the picture as its first word only."""
    from telephonegan.captioning import Captioner
    from tests.tiny import register_tiny

    if not request.param:
        from telephonegan.zoo import catalogue

        if "pooled" not in {entry.name for entry in catalogue.entries("captioner")}:
            register_tiny("pooled", attention=False)
    return Captioner.load(tiny if request.param else "pooled", "cpu")


def test_the_gradient_of_a_caption_is_that_of_the_summed_log_probabilities(captioner):
    ids = captioner.vocabulary.ids
    images = PICTURES.clone().requires_grad_()
    vision, markers = captioner.vision, captioner.markers
    state = vision.decoder.start(vision.features(vision.pixels(images)))
    total, before = 0, torch.full((2,), markers.start)
    for word in [ids["a"], ids["red"], ids["dog"], markers.end]:
        logits, state, _ = vision.decoder.step(before, state)
        logits = logits.clone()
        logits[:, list(markers.never)] = float("-inf")
        total = total + logits.log_softmax(1)[:, word].sum()
        before = torch.full((2,), word)
    (expected,) = torch.autograd.grad(total, images)
    torch.testing.assert_close(gradient(CaptionCondition("a red dog", captioner)), expected, rtol=1e-3, atol=1e-7)


def test_a_gradient_reaches_the_picture_from_every_word(captioner):
    condition = CaptionCondition("a red dog", captioner)
    images = PICTURES.clone().requires_grad_()
    for column in condition.log_probabilities(images).unbind(1):
        (found,) = torch.autograd.grad(column.sum(), images, retain_graph=True)
        assert found.abs().sum() > 0


def test_the_probability_of_a_caption_is_the_mean_over_words_and_end(captioner):
    condition = CaptionCondition("a_red_dog", captioner)
    logs = condition.log_probabilities(PICTURES)
    torch.testing.assert_close(condition(PICTURES).probability, logs.exp().mean(1))
    assert logs.shape == (2, 4) and condition.label == "a red dog"


def test_word_weights_multiply_what_words_say(captioner):
    weighted = CaptionCondition("a red dog", captioner, word_weights={"a": 0, "dog": 2.5})
    logs = weighted.log_probabilities(PICTURES)
    torch.testing.assert_close(weighted(PICTURES).objective, logs[:, 1] + 2.5 * logs[:, 2] + logs[:, 3])


@pytest.mark.parametrize(
    ("sentence", "told"),
    [("a red dogg", r"does not know the word 'dogg'. Did you mean dog\?"), ("", "no words"), ("a " * 30, "at most 6")],
)
def test_a_caption_that_cannot_be_said_is_refused(phone, sentence, told):
    with pytest.raises(TextError, match=told):
        CaptionCondition(sentence, phone.captioner)


@pytest.mark.parametrize("weights", [{"cat": 1}, {"dog": "much"}, {"dog": float("nan")}])
def test_weights_of_other_words_or_that_are_no_numbers_are_refused(phone, weights):
    with pytest.raises(SettingsError):
        CaptionCondition("a dog", phone.captioner, word_weights=weights)


def test_a_match_is_the_cosine_of_sentence_and_picture(tiny):
    matcher = Matcher.load(f"damsm/{tiny}")
    judged = MatchCondition("a red dog", matcher, gamma=5)(PICTURES)
    expected = matcher.score(PICTURES, [["a", "red", "dog"]])
    torch.testing.assert_close(judged.objective, 5 * expected)
    torch.testing.assert_close(judged.probability, expected.clamp(0, 1))


def test_a_match_of_words_is_damsms_word_score(tiny):
    matcher = Matcher.load(f"damsm/{tiny}")
    condition = MatchCondition("a red dog", f"damsm/{tiny}", level="words", gamma=5, device="cpu")
    seen, read = matcher.see(PICTURES), matcher.read_words([["a", "red", "dog"]])
    expected = word_scores(seen.regions, read.words, padding_mask(read.lengths, 3), gamma2=5)[:, 0]
    judged = condition(PICTURES)
    torch.testing.assert_close(judged.objective, expected)
    assert ((judged.probability >= 0) & (judged.probability <= 1)).all()
    assert gradient(condition).abs().sum() > 0


def test_a_match_without_known_words_or_of_another_level_is_refused(tiny):
    with pytest.raises(TextError):
        MatchCondition("xyzzy", f"damsm/{tiny}", device="cpu")
    with pytest.raises(SettingsError, match="sentence, words"):
        MatchCondition("a dog", f"damsm/{tiny}", level="letters", device="cpu")
