from __future__ import annotations

import numpy as np
import pytest

from telephonegan.drift import MEASURES
from telephonegan.drift import semantic as module
from telephonegan.drift.semantic import semantic_cosine


class Letters:
    """Embeds a sentence as its counts of the letters a and b."""

    def encode(self, sentences, **_):
        assert len(set(sentences)) == len(sentences), "every sentence is read once"
        return np.array([[sentence.count("a"), sentence.count("b")] for sentence in sentences], dtype=np.float32)


def test_equal_captions_score_1_and_orthogonal_ones_0(monkeypatch):
    monkeypatch.setattr(module, "_model", lambda device: Letters())
    assert semantic_cosine([["a"], ["a"], ["b"]], [["a"], ["b"], ["b", "b"]]).tolist() == [1.0, 0.0, 1.0]


def test_the_hub_is_asked_only_where_the_package_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert module._place() == "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.skipif(
    not MEASURES["semantic_cosine"].is_available or module._place() == module.MODEL,
    reason="the extra `semantic` is not installed",
)
def test_the_real_model_finds_a_paraphrase_nearer_than_another_scene():
    start = ["a", "dog", "runs", "on", "the", "beach"]
    same, near, far = semantic_cosine(
        [start, ["a", "puppy", "is", "running", "by", "the", "sea"], ["two", "men", "eat", "lunch"]], [start] * 3
    )
    assert same == pytest.approx(1, abs=1e-5)
    assert near > 0.6 > 0.3 > far
