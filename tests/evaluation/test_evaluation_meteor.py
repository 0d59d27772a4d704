from types import SimpleNamespace

import nltk.corpus
import pytest

from telephonegan.errors import DataError
from telephonegan.evaluation.captions import meteor


class FakeWordnet:
    """A dictionary in which some words are synonyms of each other."""

    def __init__(self, *circles):
        self.circles = circles

    def ensure_loaded(self):
        pass

    def synsets(self, word):
        lemmas = [[SimpleNamespace(name=lambda w=w: w) for w in circle] for circle in self.circles if word in circle]
        return [SimpleNamespace(lemmas=lambda found=found: found) for found in lemmas]


@pytest.fixture
def wordnet(monkeypatch):
    def install(*circles):
        monkeypatch.setattr(nltk.corpus, "wordnet", FakeWordnet(*circles))

    install()
    return install


def test_a_perfect_caption_loses_only_the_penalty_of_its_one_chunk(wordnet):
    caption = ["a", "dog", "runs", "on", "grass"]
    assert meteor([caption], [[caption]]) == pytest.approx(1 - 0.5 * (1 / 5) ** 3)


def test_precision_and_recall_are_weighed_nine_to_one(wordnet):
    # Two of four said words match two of three, as one chunk.
    precision, recall = 2 / 4, 2 / 3
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    assert meteor([["a", "dog", "swims", "here"]], [[["a", "dog", "runs"]]]) == pytest.approx(mean * (1 - 0.5 / 2**3))


def test_synonyms_match_and_other_words_do_not(wordnet):
    pair = [["sofa"]], [[["couch"]]]
    assert meteor(*pair) == 0
    wordnet(("sofa", "couch"))
    assert meteor(*pair) == pytest.approx(0.5)


def test_the_best_reference_counts_and_pictures_are_averaged(wordnet):
    assert meteor([["dog"], ["cat"]], [[["cat"], ["dog"]], [["dog"]]]) == pytest.approx(0.5 / 2)


def test_without_wordnet_the_remedy_is_told(monkeypatch):
    def missing():
        raise LookupError("Resource wordnet not found.")

    monkeypatch.setattr(nltk.corpus, "wordnet", SimpleNamespace(ensure_loaded=missing))
    with pytest.raises(DataError, match=r"nltk\.downloader wordnet"):
        meteor([["dog"]], [[["dog"]]])
