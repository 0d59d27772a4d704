"""How close captions are to human ones: BLEU, METEOR, ROUGE-L, CIDEr and CIDEr-D over tokenised text.

`candidates` holds one token list per picture, `references` several token lists per picture. Tokens are words or ids:
anything hashable. Scores are comparable only if the texts were tokenised in the same way. Except for METEOR, the
functions also take captions by image id, like the COCO tools: `candidates` is then their `res`, such as
`{1: ["a dog"]}` or `[{"image_id": 1, "caption": "a dog"}]`, and `references` their `gts`, such as
`{1: ["a dog", "the dog runs"]}`, where a caption may also be `{"caption": "a dog"}`. These are tokenised by
`telephonegan.text.tokenise`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from telephonegan.errors import DataError, SettingsError
from telephonegan.text import tokenise

Tokens = Sequence[Hashable]
Candidates = Sequence[Tokens] | Mapping[Hashable, Any]
References = Sequence[Sequence[Tokens]] | Mapping[Hashable, Any]
Ngram = tuple[Hashable, ...]

_ROUGE_BETA = 1.2
_CIDER_ORDER = 4
_CIDER_SCALE = 10.0


def caption_scores(
    candidates: Candidates,
    references: References,
    *,
    document_frequency: DocumentFrequency | None = None,
) -> dict[str, float]:
    """BLEU-1 to BLEU-4, ROUGE-L, CIDEr and CIDEr-D, under the names that papers use.

    BLEU and ROUGE-L are in [0, 1], CIDEr and CIDEr-D in [0, 10]. CIDEr-D is what the COCO evaluation calls CIDEr.
    Raises SettingsError if the arguments differ in length or in image ids, or are lists of untokenised strings.

    >>> scores = caption_scores(["a dog runs".split()], [["a dog runs".split(), "the dog".split()]])
    >>> round(scores["BLEU-1"], 3)
    1.0
    >>> caption_scores({1: ["A dog."]}, {1: ["a dog", "the dog runs"]})["ROUGE-L"]
    1.0
    """
    candidates, references = _by_picture(candidates, references)
    frequency = document_frequency or DocumentFrequency.of(references)
    scores = {f"BLEU-{order}": value for order, value in enumerate(bleu(candidates, references), start=1)}
    scores["ROUGE-L"] = rouge_l(candidates, references)
    scores["CIDEr"] = cider(candidates, references, document_frequency=frequency)
    scores["CIDEr-D"] = cider_d(candidates, references, document_frequency=frequency)
    return scores


def bleu(candidates: Candidates, references: References, max_order: int = 4) -> tuple[float, ...]:
    """Corpus BLEU-1 … BLEU-max_order in [0, 1], with the closest reference length in the brevity penalty.

    There is no smoothing: the score is exactly 0 for an order without a match or longer than every candidate. Of two
    equally close reference lengths the shorter one counts. Raises SettingsError. Papineni et al. 2002.

    >>> bleu(["a b c d".split()], [["a b c d".split()]])
    (1.0, 1.0, 1.0, 1.0)
    """
    candidates, references = _checked(candidates, references)
    if max_order < 1:
        raise SettingsError(f"max_order is {max_order}; BLEU needs 1 or more (papers report up to 4).")
    matches = [0] * max_order
    guesses = [0] * max_order
    candidate_length = reference_length = 0
    for candidate, picture_references in zip(candidates, references, strict=True):
        size = len(candidate)
        candidate_length += size
        reference_length += min((len(tokens) for tokens in picture_references), key=lambda n: (abs(n - size), n))
        allowed: Counter[Ngram] = Counter()
        for tokens in picture_references:
            allowed |= _ngram_counts(tokens, max_order)
        for ngram, count in _ngram_counts(candidate, max_order).items():
            matches[len(ngram) - 1] += min(count, allowed[ngram])
            guesses[len(ngram) - 1] += count
    if matches[0] == 0:
        return (0.0,) * max_order
    brevity = min(1.0, math.exp(1 - reference_length / candidate_length))
    precisions = [match / guess if guess else 0.0 for match, guess in zip(matches, guesses, strict=True)]
    return tuple(brevity * math.prod(precisions[:order]) ** (1 / order) for order in range(1, max_order + 1))


def rouge_l(candidates: Candidates, references: References) -> float:
    """Mean ROUGE-L over the pictures, in [0, 1]; see `rouge_l_scores`.

    >>> rouge_l(["a b".split()], [["a b".split()]])
    1.0
    """
    return float(rouge_l_scores(candidates, references).mean())


def rouge_l_scores(candidates: Candidates, references: References) -> np.ndarray:
    """ROUGE-L of each picture: (N,) in [0, 1].

    The F-measure with beta 1.2 of the best precision and the best recall among the references, which may come from
    different references, as in the COCO caption evaluation. Raises SettingsError. Lin 2004; Chen et al. 2015.

    >>> rouge_l_scores(["a b".split(), []], [["a b".split()], ["c".split()]]).tolist()
    [1.0, 0.0]
    """
    candidates, references = _checked(candidates, references)
    return np.array([_rouge_l_one(*pair) for pair in zip(candidates, references, strict=True)])


def cider(
    candidates: Candidates,
    references: References,
    *,
    document_frequency: DocumentFrequency | None = None,
) -> float:
    """Mean original CIDEr over the pictures, in [0, 10]; see `Cider`. COCO papers report `cider_d` instead.

    >>> round(cider([list("abcd"), list("efgh")], [[list("abcd")], [list("efgh")]]), 6)
    10.0
    """
    candidates, references = _by_picture(candidates, references)
    return float(Cider(references, document_frequency=document_frequency).score(candidates).mean())


def cider_d(
    candidates: Candidates,
    references: References,
    *,
    document_frequency: DocumentFrequency | None = None,
) -> float:
    """Mean CIDEr-D over the pictures, in [0, 10]: what the COCO evaluation and most papers call CIDEr.

    See `CiderD`.

    >>> round(cider_d([list("abcd"), list("efgh")], [[list("abcd")], [list("efgh")]]), 6)
    10.0
    """
    candidates, references = _by_picture(candidates, references)
    return float(CiderD(references, document_frequency=document_frequency).score(candidates).mean())


def meteor(candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> float:
    """Mean METEOR over the pictures, each against its best reference: in [0, 1].

    Words match by form, by stem and by synonym. Computed by NLTK with its parameters (alpha 0.9, beta 3, gamma 0.5);
    the Java program of the COCO evaluation gives other numbers. Raises DataError, with the remedy, if WordNet is not
    installed; nothing is downloaded. Banerjee and Lavie 2005; Lavie and Agarwal 2007.

    >>> meteor(["a dog runs".split()], [["a dog runs".split()]])  # doctest: +SKIP
    0.9814814814814815
    """
    wordnet = _installed_wordnet()
    from nltk.translate.meteor_score import meteor_score

    scores = [
        meteor_score(picture, candidate, wordnet=wordnet)
        for candidate, picture in zip(candidates, references, strict=True)
    ]
    return sum(scores) / len(scores)


@dataclass(frozen=True)
class DocumentFrequency:
    """For each n-gram of 1 to 4 tokens, the number of pictures whose references contain it: the idf of CIDEr.

    Counts from a large corpus make CIDEr meaningful for a few pictures. An n-gram without a count is taken to occur
    once. Raises SettingsError if `pictures` is below 1 or below a count.

    >>> DocumentFrequency.of([[["a", "dog"]], [["a", "cat"]]]).counts[("a",)]
    2
    """

    counts: Mapping[Ngram, int]
    pictures: int

    def __post_init__(self) -> None:
        least = max(1, max(self.counts.values(), default=1))
        if self.pictures < least:
            raise SettingsError(
                f"pictures is {self.pictures}, but must be at least {least}, because no n-gram can occur in more "
                "pictures than there are. Build it with DocumentFrequency.of(references)."
            )

    @classmethod
    def of(cls, references: References) -> DocumentFrequency:
        """Count over `references`, several token lists per picture."""
        references = _checked_references(references)
        counts: Counter[Ngram] = Counter()
        for picture in references:
            counts.update({ngram for tokens in picture for ngram in _ngrams(tokens, _CIDER_ORDER)})
        return cls(counts, len(references))


class Cider:
    """Original CIDEr, with the tf-idf vectors of the references computed once.

    Ten times the mean cosine between the tf-idf vectors of the candidate and of each reference, averaged over n-grams
    of 1 to 4 tokens; words are not stemmed. Without `document_frequency` the references are the corpus. In a corpus of
    one picture every idf and score is 0: give the frequencies of a larger one. Vedantam et al. 2015.

    >>> scorer = Cider([[list("abcd")], [list("efgh")]])
    >>> scorer.score([list("efgh"), list("efgh")], [1, 0]).round(6).tolist()
    [10.0, 0.0]
    """

    def __init__(self, references: References, *, document_frequency: DocumentFrequency | None = None) -> None:
        references = _checked_references(references)
        frequency = document_frequency or DocumentFrequency.of(references)
        self._idf_unseen = math.log(frequency.pictures)
        self._idf = {ngram: self._idf_unseen - math.log(max(1, count)) for ngram, count in frequency.counts.items()}
        self._pictures = [self._vectorised(picture) for picture in references]

    def __len__(self) -> int:
        return len(self._pictures)

    def score(self, candidates: Sequence[Tokens], indices: Sequence[int] | None = None) -> np.ndarray:
        """Scores (N,), in [0, 10], of N candidates; candidate i against the references of picture `indices[i]`.

        Without `indices`, candidate i belongs to picture i. A picture may occur several times, as in self-critical
        training. Raises SettingsError.
        """
        candidates = [_as_tokens(tokens, f"Candidate {i}") for i, tokens in enumerate(candidates)]
        indices = range(len(self)) if indices is None else _as_list(indices)
        if len(indices) != len(candidates):
            raise SettingsError(
                f"{len(candidates)} candidates were given for {len(indices)} pictures; give one candidate per picture."
            )
        outside = [index for index in indices if not 0 <= index < len(self)]
        if outside:
            raise SettingsError(f"indices must be from 0 to {len(self) - 1}; {outside[0]} was given.")
        return np.array([self._score_one(*pair) for pair in zip(candidates, indices, strict=True)])

    def _score_one(self, candidate: list[Hashable], index: int) -> float:
        picture = self._pictures[index]
        vector = np.zeros(len(picture.columns))
        squares = [0.0] * _CIDER_ORDER
        for ngram, weight in self._weights(candidate):
            squares[len(ngram) - 1] += weight * weight
            column = picture.columns.get(ngram)
            if column is not None:
                vector[column] = weight
        overlap = self._products(vector, picture.weights) @ picture.order_of_column
        norms = picture.norms * np.sqrt(squares)
        cosines = np.divide(overlap, norms, out=np.zeros_like(overlap), where=norms > 0)
        penalty = self._length_penalty(len(candidate) - picture.lengths)
        return _CIDER_SCALE * float((cosines.mean(axis=1) * penalty).mean())

    def _products(self, candidate: np.ndarray, references: np.ndarray) -> np.ndarray:
        return candidate * references

    def _length_penalty(self, difference: np.ndarray) -> np.ndarray:
        return np.ones_like(difference)

    def _weights(self, tokens: list[Hashable]) -> Iterator[tuple[Ngram, float]]:
        for ngram, count in _ngram_counts(tokens, _CIDER_ORDER).items():
            yield ngram, count * self._idf.get(ngram, self._idf_unseen)

    def _vectorised(self, picture: list[list[Hashable]]) -> _ReferenceVectors:
        weighted = [dict(self._weights(tokens)) for tokens in picture]
        columns = {ngram: i for i, ngram in enumerate(dict.fromkeys(n for weights in weighted for n in weights))}
        matrix = np.zeros((len(picture), len(columns)))
        for row, weights in enumerate(weighted):
            matrix[row, [columns[ngram] for ngram in weights]] = list(weights.values())
        order_of_column = np.zeros((len(columns), _CIDER_ORDER))
        order_of_column[np.arange(len(columns)), [len(ngram) - 1 for ngram in columns]] = 1
        return _ReferenceVectors(
            columns=columns,
            weights=matrix,
            order_of_column=order_of_column,
            norms=np.sqrt(matrix**2 @ order_of_column),
            lengths=np.array([len(tokens) for tokens in picture], dtype=float),
        )


class CiderD(Cider):
    """CIDEr-D: CIDEr that cannot be gamed by repeated words or by sentence length; what the COCO evaluation computes.

    Tf-idf weights of the candidate are clipped to those of the reference, and each cosine is multiplied by
    exp(-(difference in length)² / (2 sigma²)), sigma in tokens. Raises SettingsError. Vedantam et al. 2015, section 7.

    >>> CiderD([[list("abcd")], [list("efgh")]]).score([list("abcd")], [0]).round(6).tolist()
    [10.0]
    """

    def __init__(
        self,
        references: References,
        *,
        document_frequency: DocumentFrequency | None = None,
        sigma: float = 6.0,
    ) -> None:
        if not sigma > 0:
            raise SettingsError(f"sigma is {sigma}; it must be above 0 (the published value is 6).")
        super().__init__(references, document_frequency=document_frequency)
        self._sigma = sigma

    def _products(self, candidate: np.ndarray, references: np.ndarray) -> np.ndarray:
        return np.minimum(candidate, references) * references

    def _length_penalty(self, difference: np.ndarray) -> np.ndarray:
        return np.exp(-(difference**2) / (2 * self._sigma**2))


@dataclass(frozen=True)
class _ReferenceVectors:
    """R references of one picture with C n-grams: weights (R,C), norms (R,4), lengths (R,)."""

    columns: dict[Ngram, int]
    weights: np.ndarray
    order_of_column: np.ndarray
    norms: np.ndarray
    lengths: np.ndarray


def _rouge_l_one(candidate: list[Hashable], references: list[list[Hashable]]) -> float:
    common = [(_common_length(candidate, tokens), len(tokens)) for tokens in references]
    longest = max(length for length, _ in common)
    if longest == 0:
        return 0.0
    precision = longest / len(candidate)
    recall = max(length / size for length, size in common if size)
    return (1 + _ROUGE_BETA**2) * precision * recall / (recall + _ROUGE_BETA**2 * precision)


def _common_length(first: list[Hashable], second: list[Hashable]) -> int:
    """Length of the longest common subsequence, with each row of the table as the bits of an integer (Hyyrö 2004)."""
    places: dict[Hashable, int] = {}
    for place, token in enumerate(second):
        places[token] = places.get(token, 0) | 1 << place
    every = (1 << len(second)) - 1
    row = every
    for token in first:
        matched = row & places.get(token, 0)
        row = (row + matched | row - matched) & every
    return len(second) - row.bit_count()


def _installed_wordnet() -> Any:
    from nltk.corpus import wordnet

    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise DataError(
            "METEOR needs WordNet, which is not on this machine. Get it with: python -m nltk.downloader wordnet"
        ) from error
    return wordnet


def _ngrams(tokens: list[Hashable], max_order: int) -> Iterator[Ngram]:
    for order in range(1, max_order + 1):
        yield from zip(*(tokens[start:] for start in range(order)), strict=False)


def _ngram_counts(tokens: list[Hashable], max_order: int) -> Counter[Ngram]:
    return Counter(_ngrams(tokens, max_order))


def _by_picture(candidates: Candidates, references: References) -> tuple[Sequence[Tokens], Sequence[Sequence[Tokens]]]:
    """Captions by image id converted to lists in the order of the references; lists are returned unchanged."""
    if isinstance(candidates, list | tuple) and candidates and all(isinstance(each, Mapping) for each in candidates):
        ids = [each.get("image_id") for each in candidates]
        if len(set(map(str, ids))) < len(ids):
            twice = next(each for each, count in Counter(map(str, ids)).items() if count > 1)
            raise SettingsError(f"The candidates contain image_id {twice} twice. Give one caption per picture.")
        candidates = dict(zip(ids, ([each] for each in candidates), strict=True))
    if not isinstance(candidates, Mapping) and not isinstance(references, Mapping):
        return candidates, references
    if not isinstance(candidates, Mapping) or not isinstance(references, Mapping):
        raise SettingsError(
            "One of candidates and references is by image id, the other is a list. Give both by image id, or two lists."
        )
    if lost := [key for key in references if key not in candidates] or [k for k in candidates if k not in references]:
        raise SettingsError(
            f"Image id {lost[0]!r} is only in one of candidates and references ({len(candidates)} and "
            f"{len(references)} ids). Give both for the same pictures; 1 and '1' are different ids."
        )
    said = {key: _words_of(captions, f"Candidate {key!r}") for key, captions in candidates.items()}
    several = next((key for key, captions in said.items() if len(captions) != 1), None)
    if several is not None:
        raise SettingsError(
            f"Candidate {several!r} has {len(said[several])} captions. Give one per picture, and the references as "
            "the second argument: caption_scores(res, gts)."
        )
    order = list(references)
    return [said[key][0] for key in order], [_words_of(references[key], f"Reference {key!r}") for key in order]


def _words_of(captions: Any, name: str) -> list[Tokens]:
    """Token lists of the captions of one image id."""
    captions = [captions] if isinstance(captions, str | Mapping) else captions
    texts = [
        each.get("caption") if isinstance(each, Mapping) else each
        for each in (captions if isinstance(captions, list | tuple) else [None])
    ]
    if not all(isinstance(text, str | list | tuple) for text in texts):
        raise SettingsError(f"{name} is {captions!r:.80}. Give a list of captions, such as ['a dog'].")
    return [tokenise(text) if isinstance(text, str) else text for text in texts]


def _checked(candidates: Candidates, references: References) -> tuple[list[list[Hashable]], list[list[list[Hashable]]]]:
    candidates, references = _by_picture(candidates, references)
    if len(candidates) != len(references):
        raise SettingsError(
            f"{len(candidates)} candidates were given with references for {len(references)} pictures. "
            "Give one candidate per picture."
        )
    tokens = [_as_tokens(candidate, f"Candidate {i}") for i, candidate in enumerate(candidates)]
    return tokens, _checked_references(references)


def _checked_references(references: References) -> list[list[list[Hashable]]]:
    if isinstance(references, Mapping):
        references = [_words_of(captions, f"Reference {key!r}") for key, captions in references.items()]
    if len(references) == 0:
        raise SettingsError("No pictures were given. Give references for at least one.")
    for i, picture in enumerate(references):
        if isinstance(picture, str) or len(picture) == 0:
            raise SettingsError(
                f"References of picture {i} are {picture!r}. Give a list of at least one token list, "
                "such as [['a', 'dog'], ['the', 'dog']]."
            )
    return [
        [_as_tokens(tokens, f"Reference {j} of picture {i}") for j, tokens in enumerate(picture)]
        for i, picture in enumerate(references)
    ]


def _as_tokens(tokens: Tokens, name: str) -> list[Hashable]:
    tokens = _as_list(tokens)
    if not isinstance(tokens, list) or not all(isinstance(token, Hashable) for token in tokens):
        raise SettingsError(f"{name} is {tokens!r}. Give a list of tokens, such as 'a dog'.split().")
    return tokens


def _as_list(values: Any) -> Any:
    """A sequence as a list; text and other values unchanged. Tensors use `tolist`: their elements hash by identity."""
    if hasattr(values, "tolist"):
        return values.tolist()
    return list(values) if isinstance(values, Sequence) and not isinstance(values, str) else values
