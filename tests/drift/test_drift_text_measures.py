from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephonegan import drift
from telephonegan.drift import text_measures
from telephonegan.drift.text_measures import bleu, content_f1, rouge_l, semantic_cosine, tfidf_cosine
from telephonegan.evaluation import captions as corpus
from telephonegan.evaluation.captions import DocumentFrequency

MEASURES = [tfidf_cosine, bleu, rouge_l, content_f1]
CAPTION = st.lists(st.sampled_from(["a", "the", "dog", "cat", "red", "runs", "two"]), max_size=8)
LONG = ["a", "brown", "dog", "runs", "through", "the", "snow"]


@pytest.mark.parametrize("measure", MEASURES)
@given(words=CAPTION)
def test_equal_captions_score_1_whatever_their_length(measure, words):
    assert measure([words], [words]).tolist() == pytest.approx([1.0])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("other", ["two men sit on benches", "men", ""])
def test_captions_without_a_common_word_score_0(measure, other):
    assert measure([LONG, other.split()], [other.split(), LONG]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("measure", MEASURES)
@given(pairs=st.lists(st.tuples(CAPTION, CAPTION), min_size=1, max_size=4))
def test_values_lie_between_0_and_1(measure, pairs):
    values = measure(*zip(*pairs, strict=True))
    assert values.shape == (len(pairs),)
    assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize("measure", [tfidf_cosine, content_f1])
@given(first=CAPTION, second=CAPTION)
def test_symmetric_measures_do_not_mind_the_order(measure, first, second):
    frequency = {"document_frequency": DocumentFrequency.of([[LONG]])} if measure is tfidf_cosine else {}
    both = measure([first, second], [second, first], **frequency)
    assert both[0] == pytest.approx(both[1])


@pytest.mark.parametrize("measure", MEASURES)
def test_no_captions_give_no_values(measure):
    assert measure([], []).tolist() == []


def test_tfidf_cosine_of_one_shared_word_of_two_is_a_half_over_the_orders_there_are():
    # Unigrams share one of two words of equal weight, bigrams none; longer n-grams there are none.
    frequency = DocumentFrequency.of([[["x"]]])
    assert tfidf_cosine([["a", "b"]], [["a", "c"]], document_frequency=frequency).tolist() == pytest.approx([0.25])


def test_tfidf_cosine_weighs_common_words_less():
    frequency = DocumentFrequency.of([[["a", "dog"]], [["a", "cat"]], [["a", "cow"]]])
    common, rare = tfidf_cosine([["a", "pig"], ["pig", "dog"]], [["a", "dog"]] * 2, document_frequency=frequency)
    a, dog, pig = math.log(4 / 3), math.log(4), math.log(4)
    assert common == pytest.approx(a * a / math.hypot(a, pig) / math.hypot(a, dog) / 2)
    assert rare > common


def test_tfidf_cosine_is_cider_over_ten_for_long_captions():
    frequency = DocumentFrequency.of([[LONG], [["cats"]]])
    other = ["a", "brown", "dog", "sits", "in", "the", "snow"]
    smoothed = DocumentFrequency(frequency.counts, 3)
    expected = corpus.cider([other], [[LONG]], document_frequency=smoothed) / 10
    assert tfidf_cosine([other], [LONG], document_frequency=frequency)[0] == pytest.approx(expected)


def test_bleu_is_the_smoothed_geometric_mean_with_its_brevity_penalty():
    # Precisions 4/5, (2+1)/(4+1), (1+1)/(3+1), (0+1)/(2+1) of five words against six.
    value = bleu([["a", "b", "c", "x", "d"]], [["a", "b", "c", "d", "e", "f"]])[0]
    assert value == pytest.approx(math.exp(1 - 6 / 5) * (4 / 5 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


@given(CAPTION.filter(bool), CAPTION.filter(bool))
def test_bleu_of_single_words_is_that_of_the_evaluation(candidate, reference):
    assert bleu([candidate[:1]], [reference])[0] == pytest.approx(corpus.bleu([candidate[:1]], [[reference]], 1)[0])


def test_rouge_l_is_that_of_the_evaluation():
    first, second = ["a", "dog", "in", "the", "snow"], LONG
    assert rouge_l([first], [second]).tolist() == [corpus.rouge_l([first], [[second]])]


def test_content_f1_is_two_thirds_for_one_of_one_and_two_words():
    assert content_f1([["the", "dog", "and", "a", "dog"]], [["a", "brown", "dog"]])[0] == pytest.approx(2 / 3)


def test_a_measure_of_many_pairs_gives_each_its_own_value():
    pairs = [(["a", "dog"], ["a", "dog"]), (["a", "dog"], ["cats"]), (LONG, LONG[:-1])]
    for measure in (bleu, rouge_l, content_f1):
        one_by_one = [measure([candidate], [reference])[0] for candidate, reference in pairs]
        np.testing.assert_allclose(measure(*zip(*pairs, strict=True)), one_by_one)


class Letters:
    """Embeds a sentence as its counts of the letters a and b."""

    def encode(self, sentences, **_):
        assert len(set(sentences)) == len(sentences), "every sentence is read once"
        return np.array([[sentence.count("a"), sentence.count("b")] for sentence in sentences], dtype=np.float32)


def test_equal_captions_score_1_and_orthogonal_ones_0(monkeypatch):
    monkeypatch.setattr(text_measures, "_model", lambda device: Letters())
    assert semantic_cosine([["a"], ["a"], ["b"]], [["a"], ["b"], ["b", "b"]]).tolist() == [1.0, 0.0, 1.0]


def test_the_hub_is_asked_only_where_the_package_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert text_measures._place() == "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.skipif(
    not drift.MEASURES["semantic_cosine"].is_available or text_measures._place() == text_measures.SENTENCE_MODEL,
    reason="the extra `semantic` is not installed",
)
def test_the_real_model_finds_a_paraphrase_nearer_than_another_scene():
    start = ["a", "dog", "runs", "on", "the", "beach"]
    same, near, far = semantic_cosine(
        [start, ["a", "puppy", "is", "running", "by", "the", "sea"], ["two", "men", "eat", "lunch"]], [start] * 3
    )
    assert same == pytest.approx(1, abs=1e-5)
    assert near > 0.6 > 0.3 > far
