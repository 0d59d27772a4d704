import numpy as np
import pytest
import torch

from telephonegan.errors import SettingsError
from telephonegan.evaluation.captions import (
    Cider,
    CiderD,
    DocumentFrequency,
    bleu,
    caption_scores,
    cider,
    cider_d,
    rouge_l,
    rouge_l_scores,
)


def corpus(seed, pictures, per_picture=4, words=25, lengths=(1, 14)):
    """References that share phrases, and candidates that borrow from them: every n-gram order has matches."""
    rng = np.random.default_rng(seed)

    def sentence():
        return [f"w{i}" for i in rng.zipf(1.5, rng.integers(*lengths)) % words]

    references = [[sentence() for _ in range(rng.integers(1, per_picture + 1))] for _ in range(pictures)]
    candidates = [picture[0][: rng.integers(1, 9)] + sentence()[:4] for picture in references]
    return candidates, references


def coco_form(candidates, references):
    text = {i: [" ".join(tokens)] for i, tokens in enumerate(candidates)}
    return {i: [" ".join(tokens) for tokens in picture] for i, picture in enumerate(references)}, text


@pytest.fixture(params=[0, 1, 2])
def random_corpus(request):
    return corpus(request.param, pictures=15)


def test_bleu_equals_pycocoevalcap(random_corpus):
    published = pytest.importorskip("pycocoevalcap.bleu.bleu").Bleu(4)
    expected, _ = published.compute_score(*coco_form(*random_corpus), verbose=0)
    assert min(expected) > 0.01
    assert bleu(*random_corpus) == pytest.approx(expected, abs=1e-6)


def test_bleu_brevity_penalty_equals_pycocoevalcap_for_short_candidates():
    candidates, references = corpus(5, pictures=30, lengths=(8, 14))
    candidates = [picture[0][:5] for picture in references]
    published = pytest.importorskip("pycocoevalcap.bleu.bleu").Bleu(4)
    expected, _ = published.compute_score(*coco_form(candidates, references), verbose=0)
    assert expected[3] < 0.9
    assert bleu(candidates, references) == pytest.approx(expected, abs=1e-6)


def test_rouge_l_equals_pycocoevalcap_per_picture(random_corpus):
    published = pytest.importorskip("pycocoevalcap.rouge.rouge").Rouge()
    mean, each = published.compute_score(*coco_form(*random_corpus))
    assert rouge_l_scores(*random_corpus) == pytest.approx(each, abs=1e-9)
    assert rouge_l(*random_corpus) == pytest.approx(mean, abs=1e-9)


def test_cider_d_equals_what_pycocoevalcap_calls_cider_per_picture(random_corpus):
    published = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    mean, each = published.compute_score(*coco_form(*random_corpus))
    assert mean > 0.1
    candidates, references = random_corpus
    assert CiderD(references).score(candidates) == pytest.approx(each, abs=1e-9)
    assert cider_d(candidates, references) == pytest.approx(mean, abs=1e-6)


def test_cider_equals_the_mean_cosine_of_tf_idf_vectors():
    candidates = [["a", "a", "b"], ["c"]]
    references = [[["a", "b"], ["b", "d"]], [["c", "b"]]]
    idf = {"a": np.log(2), "b": 0.0, "c": np.log(2), "d": np.log(2)}  # b occurs in both pictures

    def cosine(x, y):
        return x @ y / (np.linalg.norm(x) * np.linalg.norm(y))

    def unigrams(tokens):
        return np.array([tokens.count(word) * idf[word] for word in "abcd"])

    # Bigrams of picture 0: candidate {aa, ab} against {ab}, each in one picture; the second reference shares nothing.
    first = (cosine(unigrams(candidates[0]), unigrams(["a", "b"])) + 1 / np.sqrt(2)) / 4 / 2
    second = cosine(unigrams(["c"]), unigrams(["c", "b"])) / 4
    assert Cider(references).score(candidates) == pytest.approx([10 * first, 10 * second])


def test_cider_does_not_punish_repetition_and_cider_d_does():
    references = [[list("abcdefgh")], [list("ijklmnop")]]
    repeated = list("abcdefgh") * 3
    assert Cider(references).score([repeated], [0])[0] > 9
    assert CiderD(references).score([repeated], [0])[0] < 1


def test_identical_captions_score_the_maximum():
    references = [[list("abcde")], [list("fghij")]]
    scores = caption_scores([list("abcde"), list("fghij")], references)
    assert list(scores) == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr", "CIDEr-D"]
    assert list(scores.values()) == pytest.approx([1, 1, 1, 1, 1, 10, 10])


@pytest.mark.parametrize("candidates", [[list("xyzuv"), list("xyzuv")], [[], []]], ids=["disjoint", "empty"])
def test_captions_without_a_common_word_score_exactly_zero(candidates):
    scores = caption_scores(candidates, [[list("abcde")], [list("fghij")]])
    assert set(scores.values()) == {0.0}


def test_one_empty_candidate_costs_only_its_own_share():
    references = [[list("abcde")], [list("fghij")]]
    scores = caption_scores([list("abcde"), []], references)
    assert scores["ROUGE-L"] == pytest.approx(0.5)
    assert scores["CIDEr-D"] == pytest.approx(5)
    assert scores["BLEU-4"] == pytest.approx(np.exp(1 - 10 / 5))


def test_empty_reference_is_no_crash():
    assert rouge_l([["a"]], [[[], ["a"]]]) == pytest.approx(1)
    assert cider_d([["a"], ["b"]], [[[], ["a"]], [["b"]]]) > 0


def test_candidate_too_short_for_an_order_scores_zero_there():
    assert bleu([["a", "b"]], [[["a", "b"]]]) == (1.0, 1.0, 0.0, 0.0)


def test_bleu_takes_the_shorter_of_two_equally_close_references():
    assert bleu([list("abc")], [[list("abcd"), list("ab")]], max_order=1) == (1.0,)


def test_one_picture_gets_its_idf_from_a_larger_corpus():
    candidates, references = corpus(3, pictures=20)
    frequency = DocumentFrequency.of(references)
    alone = cider_d(candidates[:1], references[:1], document_frequency=frequency)
    assert alone == pytest.approx(CiderD(references).score(candidates)[0])
    assert alone > 0
    assert cider_d(candidates[:1], references[:1]) == 0


def test_scorer_takes_ids_tensors_and_repeated_pictures():
    references = [[[1, 2, 3, 4], [1, 2, 5]], [[6, 7, 8, 9]]]
    scorer = CiderD(references)
    samples = torch.tensor([[1, 2, 3, 4], [6, 7, 8, 9], [1, 2, 3, 4]])
    first, wrong, again = scorer.score(samples, torch.tensor([0, 0, 0]))
    assert first == again > wrong == 0
    assert first == pytest.approx(scorer.score([[1, 2, 3, 4]], [0])[0])


@pytest.mark.parametrize(
    ("candidates", "references", "said"),
    [
        ([["a"]], [[["a"]], [["b"]]], "1 candidates"),
        ([], [], "at least one"),
        (["a dog"], [[["a", "dog"]]], "split"),
        ([["a"]], [["a dog"]], "split"),
        ([["a"]], ["a dog"], "token list"),
        ([["a"]], [[]], "token list"),
        ([[["a"]]], [[["a"]]], "Candidate 0"),
        ([["a"]], [[[["a"]]]], "Reference 0 of picture 0"),
    ],
)
@pytest.mark.parametrize("metric", [bleu, rouge_l, cider, cider_d, caption_scores])
def test_malformed_corpora_are_explained(metric, candidates, references, said):
    with pytest.raises(SettingsError, match=said):
        metric(candidates, references)


METRICS = [bleu, rouge_l, cider, cider_d, caption_scores]


@pytest.mark.parametrize("metric", METRICS)
def test_the_form_of_the_coco_tools_gives_the_scores_of_lists(metric, random_corpus):
    gts, res = coco_form(*random_corpus)
    expected = metric(*random_corpus)
    assert metric(res, gts) == expected
    assert metric(dict(reversed(res.items())), gts) == expected
    assert metric({key: text[0] for key, text in res.items()}, gts) == expected
    raw = {key: [{"caption": f"{text.upper()}.", "id": 1} for text in texts] for key, texts in gts.items()}
    assert metric([{"image_id": key, "caption": text[0]} for key, text in res.items()], raw) == expected


def test_one_picture_in_the_form_of_the_coco_tools_is_scored():
    scores = caption_scores({1: ["a dog"]}, {1: ["a dog"]})
    assert (scores["BLEU-1"], scores["ROUGE-L"], scores["CIDEr-D"]) == (1.0, 1.0, 0.0)
    assert caption_scores({1: [["a", "dog"]]}, {1: [("a", "dog")]}) == scores
    assert DocumentFrequency.of({1: ["a dog"], 2: ["a cat"]}).counts[("a",)] == 2
    assert len(CiderD({1: ["a dog"], 2: ["a cat"]})) == 2
    assert caption_scores({"x": ["a dog"]}, {"x": ["a cat"]})["BLEU-1"] == 0.5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("candidates", "references", "said"),
    [
        ({1: ["a"]}, {"1": ["a"]}, "'1' are different ids"),
        ({1: ["a"]}, {1: ["a"], 2: ["b"]}, "Image id 2 is only in one"),
        ({1: ["a"], 2: ["a"]}, {1: ["a"]}, "Image id 2 is only in one"),
        ({1: ["a", "b"]}, {1: ["a"]}, r"1 has 2 captions.*caption_scores\(res, gts\)"),
        ({1: []}, {1: ["a"]}, "1 has 0 captions"),
        ({1: ["a"]}, {1: []}, "token list"),
        ({1: 3}, {1: ["a"]}, "Candidate 1 is 3"),
        ({1: ["a"]}, {1: [3]}, "Reference 1"),
        ({1: [{"text": "a"}]}, {1: ["a"]}, "Candidate 1"),
        ({1: ["a"]}, [["a"]], "by image id"),
        ([["a"]], {1: ["a"]}, "by image id"),
        ({}, {}, "at least one"),
        ([{"image_id": 1, "caption": "a"}] * 2, {1: ["a"]}, "image_id 1 twice"),
    ],
)
def test_malformed_captions_by_id_are_explained(metric, candidates, references, said):
    with pytest.raises(SettingsError, match=said):
        metric(candidates, references)


def test_bad_settings_are_explained():
    references = [[["a"]]]
    with pytest.raises(SettingsError, match="max_order is 0"):
        bleu([["a"]], references, max_order=0)
    with pytest.raises(SettingsError, match="sigma is 0"):
        CiderD(references, sigma=0)
    with pytest.raises(SettingsError, match="1 was given"):
        CiderD(references).score([["a"]], [1])
    with pytest.raises(SettingsError, match="2 pictures"):
        CiderD(references).score([["a"]], [0, 0])
    with pytest.raises(SettingsError, match="at least 3"):
        DocumentFrequency({("a",): 3}, pictures=2)
