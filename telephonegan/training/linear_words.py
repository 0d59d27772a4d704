"""The linear regression of picture codes on the words of their sentences: a teacher for networks that read sentences.

It is solved exactly, in seconds, and has too few parameters to learn single photographs by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from telephonegan.text import PAD, Vocabulary, pad

_CHUNK = 4000
_RARER = 0.5  # the power of a word's rareness that weighs it: 0 none, 1 all words of equal variance
_SMALLEST = 1e-3  # components of less variance than this share of the largest are not evened out further


class LinearWords:
    """The best linear guess of the code of a sentence's picture, from which words it has; guesses are centred.

    `captions` (N word lists) with the codes (N,D) of their pictures. Words seen less than `minimum` times are not read.
    `ridge` is the penalty, as a share of the words' mean variance. A guess shrinks what words tell little about:
    `evened`, from 0, guesses as they are, to 1, all principal components of equal variance, undoes that. The guesses
    for the captions have a mean square length of 1.

    >>> teacher = LinearWords([["red"], ["blue"]], torch.tensor([[1.0], [0.0]]), minimum=1)
    >>> [round(guess, 1) for guess in teacher([["red"], ["blue"]]).flatten().tolist()]
    [1.0, -1.0]
    """

    def __init__(
        self,
        captions: Sequence[Sequence[str]],
        codes: Tensor,
        *,
        minimum: int = 5,
        ridge: float = 0.01,
        evened: float = 0.0,
    ) -> None:
        self.vocabulary = Vocabulary.build(captions, minimum=minimum, specials=(PAD,))
        self.weights = torch.ones(len(self.vocabulary))
        chunks = [self._ids(captions[start : start + _CHUNK]) for start in range(0, len(captions), _CHUNK)]

        def mean(of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
            parts = zip(chunks, codes.split(_CHUNK), strict=True)
            return torch.stack([of(self._bags(ids), part) for ids, part in parts]).sum(0) / len(captions)

        self.weights = mean(lambda bags, _: bags.square().sum(0)).clamp_min(1e-9) ** (-_RARER / 2)
        self.mean, centre = mean(lambda bags, _: bags.sum(0)), codes.mean(0)
        gram = mean(lambda bags, _: (bags - self.mean).T @ (bags - self.mean))
        fitted = mean(lambda bags, part: (bags - self.mean).T @ (part - centre))
        penalty = ridge * gram.diagonal().mean() * torch.eye(len(gram))
        regression = torch.linalg.solve(gram + penalty, fitted)
        self.vectors = regression @ _evening(regression.T @ gram @ regression, evened)

    def __call__(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """Guesses (N,D) for word lists."""
        return (self._bags(self._ids(captions)) - self.mean) @ self.vectors

    def _ids(self, captions: Sequence[Sequence[str]]) -> Tensor:
        return pad([self.vocabulary.known_ids(words, None) for words in captions])[0]

    def _bags(self, ids: Tensor) -> Tensor:
        """(N,L) → (N,V): the weight of each word that a sentence has, over the root of their number."""
        has = torch.zeros(len(ids), len(self.vocabulary)).scatter(1, ids, 1.0)
        has[:, 0] = 0  # padding
        return has * self.weights / has.sum(1, keepdim=True).clamp_min(1).sqrt()


def _evening(covariance: Tensor, power: float) -> Tensor:
    """The map (D,D) that divides principal components by that power of their deviations; mean square length 1."""
    variances, directions = torch.linalg.eigh(covariance)
    variances = variances.clamp_min(_SMALLEST * variances[-1])
    kept = variances ** (1 - power)
    return directions * variances ** (-power / 2) @ directions.T / kept.sum() ** 0.5
