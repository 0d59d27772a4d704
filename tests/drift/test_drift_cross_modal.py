from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan.captioning import Captioner
from telephonegan.drift.cross_modal import captioner_likelihood, damsm_score, mean_log_probabilities
from telephonegan.networks.damsm import sentence_scores
from telephonegan.networks.decoding import Markers
from telephonegan.text import END, PAD, START, UNKNOWN, Vocabulary

WORDS = ["red", "blue", "dog"]
COLOURS = ["red", "blue"]


class ColourCaptioner:
    """Says with `certainty` the colour of the picture and then ends; else every word that can be said is equal."""

    def __init__(self, certainty: float = 1e4) -> None:
        self.vocabulary = Vocabulary([PAD, START, END, UNKNOWN, *WORDS])
        self.markers = Markers.of(self.vocabulary)
        self.vision = SimpleNamespace(pixels=list, features=self.see, decoder=self)
        self.certainty, self.seen = certainty, 0

    def see(self, pictures):
        self.seen += len(pictures)
        names = [COLOURS[int(picture.getpixel((0, 0))[2] > 0)] for picture in pictures]
        return torch.tensor([self.vocabulary.ids[name] for name in names])

    def start(self, features):
        return (features,)

    def step(self, ids, state):
        (colour,) = state
        logits = torch.zeros(len(ids), len(self.vocabulary))
        best = torch.where(ids == self.markers.start, colour, self.markers.end)
        logits[torch.arange(len(ids)), best] = self.certainty
        logits[:, list(self.markers.never)] = 1e6  # never said, however probable
        return logits, state, None


def flat(colour: str) -> Image.Image:
    return Image.new("RGB", (8, 8), colour)


def test_a_caption_that_is_certain_has_a_log_probability_of_0():
    values = mean_log_probabilities(ColourCaptioner(), [flat("red"), flat("blue")], [(0, ["red"]), (1, ["blue"])])
    assert values.tolist() == [0.0, 0.0]


def test_where_every_word_is_as_probable_each_one_counts_its_share():
    values = mean_log_probabilities(ColourCaptioner(0), [flat("red")], [(0, ["dog"]), (0, ["dog", "red", "blue"])])
    assert values.tolist() == pytest.approx([math.log(1 / 4)] * 2)


def test_a_wrong_word_costs_its_log_probability_over_the_words_and_the_end():
    (value,) = mean_log_probabilities(ColourCaptioner(10.0), [flat("red")], [(0, ["blue"])])
    normaliser = math.log(math.exp(10) + 3)
    assert value == pytest.approx(((0 - normaliser) + (10 - normaliser)) / 2)


def test_words_the_captioner_does_not_know_do_not_count_and_alone_have_no_value():
    pairs = [(0, ["red", "zebra"]), (0, ["red"]), (0, ["zebra"]), (0, [])]
    with_unknown, without, *nothing = mean_log_probabilities(ColourCaptioner(), [flat("red")], pairs)
    assert with_unknown == without == 0
    assert np.isnan(nothing).all()


def test_every_picture_is_seen_once_and_pairs_keep_their_order_beyond_one_batch():
    captioner = ColourCaptioner()
    pictures = [flat(COLOURS[i % 2]) for i in range(70)]
    pairs = [(row, [COLOURS[(row + shift) % 2]]) for shift in (0, 1) for row in reversed(range(70))]
    values = mean_log_probabilities(captioner, pictures, pairs)
    assert captioner.seen == 70
    assert (values[:70] == 0).all()
    assert (values[70:] < -1).all()


def test_a_caption_that_was_drawn_scores_its_own_log_probability_over_its_length(tiny):
    captioner = Captioner.load(tiny, "cpu")
    captioner.words_limit = 40
    pictures = [Image.fromarray(np.random.default_rng(i).integers(0, 255, (64, 64, 3), np.uint8)) for i in range(12)]
    said = captioner(pictures, method="sample", seeds=range(12))
    whole = [row for row, caption in enumerate(said) if 0 < len(caption.words) < captioner.words_limit]
    assert len(whole) > 1
    values = mean_log_probabilities(captioner, pictures, [(row, said[row].words) for row in whole])
    np.testing.assert_allclose(
        values, [said[row].log_probability / (len(said[row].words) + 1) for row in whole], rtol=1e-4
    )


def test_the_likelihood_of_pairs_is_that_of_each_picture_with_its_caption(tiny):
    pictures, captions = [flat("red"), flat("blue"), flat("red")], [["a", "dog"], ["a", "dog"], ["two", "people"]]
    together = captioner_likelihood([*pictures, pictures[0]], [*captions, captions[0]], captioner=tiny)
    one_by_one = [captioner_likelihood([p], [c], captioner=tiny)[0] for p, c in zip(pictures, captions, strict=True)]
    np.testing.assert_allclose(together, [*one_by_one, one_by_one[0]], rtol=1e-4)
    assert together[0] != pytest.approx(together[2], rel=1e-3)


class ColourMatcher:
    """Codes that are equal for a colour and its name, and orthogonal for others."""

    vocabulary, picture_size = Vocabulary([PAD, *COLOURS]), 4

    @classmethod
    def load(cls, name: str, device: str) -> ColourMatcher:
        return cls()

    def look(self, batches):
        return torch.cat(
            [torch.stack([batch[:, 0].mean((1, 2)) > 0, batch[:, 2].mean((1, 2)) > 0], 1) for batch in batches]
        ).float()

    def read(self, captions):
        return torch.tensor([[float(colour in words) for colour in COLOURS] for words in captions]) * 3


def test_a_fitting_caption_scores_1_an_unrelated_one_0_and_one_of_unknown_words_nothing(monkeypatch):
    monkeypatch.setattr("telephonegan.drift.cross_modal.Matcher", ColourMatcher)
    captions = [["red"], ["blue"], ["red", "blue"], ["zebra"], []]
    values = damsm_score([flat("red")] * 5, captions)
    np.testing.assert_allclose(values, [1, 0, math.sqrt(0.5), np.nan, np.nan])


def test_the_score_of_the_shipped_teacher_is_the_cosine_that_its_training_uses():
    from telephonegan.images import to_tensor
    from telephonegan.matcher import Matcher

    pictures, captions = [flat("red"), flat("green")], [["a", "dog", "in", "the", "grass"], ["snow"]]
    teacher = Matcher.load("damsm/flickr8k")
    expected = sentence_scores(teacher.see(to_tensor(pictures, teacher.picture_size)).codes, teacher.read(captions))
    np.testing.assert_allclose(damsm_score(pictures, captions), expected.diagonal(), atol=1e-5)
