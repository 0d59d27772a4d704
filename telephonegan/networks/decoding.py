"""Decoding captions from a captioner's word probabilities: greedy, by sampling and by beam search, all batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from telephonegan.errors import SettingsError
from telephonegan.text import END, PAD, START, UNKNOWN, Vocabulary

State = tuple[Tensor, ...]
_NEVER = float("-inf")


class Decoder(Protocol):
    """The interface of decoders, see `captioner`.

    The last `shared_parts` parts of its state belong to the picture: `step` never changes them, and takes one row of
    them for every k rows of the other parts, which are k sentences about that picture.
    """

    shared_parts: int

    def start(self, features: Tensor) -> State: ...

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State, Tensor | None]: ...


@dataclass(frozen=True)
class Markers:
    """Ids of the special words."""

    start: int
    end: int
    never: tuple[int, ...] = ()

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Markers:
        """The markers of a vocabulary; padding, the start marker and the unknown word are never generated."""
        ids = vocabulary.ids
        return cls(ids[START], ids[END], (ids[PAD], ids[START], ids[UNKNOWN]))


@dataclass(frozen=True)
class Sentence:
    """A decoded caption: ids without markers, the probability and attention of each word, total log-probability.

    `attention` is (L,N) over the cells, or None for a decoder without attention.
    """

    ids: list[int]
    probabilities: list[float]
    attention: Tensor | None
    log_probability: float


@torch.no_grad()
def greedy(decoder: Decoder, features: Tensor, markers: Markers, *, limit: int = 20) -> list[Sentence]:
    """Choose the most probable word each time. Raises SettingsError for a limit below 1."""
    return _one_by_one(decoder, features, markers, limit, lambda log_probabilities: log_probabilities.argmax(1))


@torch.no_grad()
def sample(
    decoder: Decoder,
    features: Tensor,
    markers: Markers,
    generators: Sequence[torch.Generator],
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    limit: int = 20,
) -> list[Sentence]:
    """Sample every word from the smallest set with `top_p` of the probability (Holtzman et al. 2020).

    Takes one CPU generator per picture, so that a caption does not depend on the rest of the batch. Raises
    SettingsError for a temperature ≤ 0, top_p outside (0,1], a wrong number of generators or a limit below 1.
    """
    if not temperature > 0:
        raise SettingsError(
            f"temperature must be above 0; {temperature} was given. Use greedy for the most probable words."
        )
    if not 0 < top_p <= 1:
        raise SettingsError(f"top_p must be above 0 and at most 1; {top_p} was given.")
    if len(generators) != len(features):
        raise SettingsError(f"{len(generators)} generators were given for {len(features)} pictures. Give one for each.")

    # Colder than this it makes no difference, and float32 ends at 1e-38.
    temperature = max(temperature, 1e-30)

    def choose(log_probabilities: Tensor) -> Tensor:
        probabilities, order = (log_probabilities / temperature).softmax(1).cpu().double().sort(1, descending=True)
        before = probabilities.cumsum(1) - probabilities
        kept = probabilities.masked_fill(before >= top_p, 0.0)
        draws = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in generators])
        cumulative = kept.cumsum(1)
        position = torch.searchsorted(cumulative, (draws * cumulative[:, -1])[:, None], right=True)
        last = (kept > 0).sum(1, keepdim=True) - 1
        return order.gather(1, position.minimum(last)).squeeze(1).to(log_probabilities.device)

    return _one_by_one(decoder, features, markers, limit, choose)


def _one_by_one(decoder: Decoder, features: Tensor, markers: Markers, limit: int, choose) -> list[Sentence]:
    _check_limit(limit)
    state, words = decoder.start(features), torch.full((len(features),), markers.start, device=features.device)
    ended = torch.zeros_like(words, dtype=torch.bool)
    columns: list[tuple[Tensor, Tensor, Tensor | None]] = []
    for _ in range(limit):
        logits, state, attention = decoder.step(words, state)
        log_probabilities = word_log_probabilities(logits, markers)
        words = choose(log_probabilities)
        ended = ended | (words == markers.end)
        columns.append((words, log_probabilities.gather(1, words[:, None]).squeeze(1), attention))
        if ended.all():
            break
    ids = torch.stack([column[0] for column in columns], 1).tolist()
    scores = torch.stack([column[1] for column in columns], 1).cpu()
    maps = None if columns[0][2] is None else torch.stack([column[2] for column in columns], 1).cpu()
    return [_sentence(row, scores[i], None if maps is None else maps[i], markers) for i, row in enumerate(ids)]


def _sentence(ids: list[int], scores: Tensor, maps: Tensor | None, markers: Markers) -> Sentence:
    length = ids.index(markers.end) if markers.end in ids else len(ids)
    said = scores[: length + 1]
    return Sentence(
        ids[:length], scores[:length].exp().tolist(), None if maps is None else maps[:length].float(), said.sum().item()
    )


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise SettingsError(f"limit must be at least 1 word; {limit} was given.")


def log_probabilities(decoder: Decoder, state: State, ids: Tensor, markers: Markers) -> Tensor:
    """Log-probabilities (N,L), in nats, of words (N,L), each given the words before and the `state` from `start`.

    -∞ for words that are never said. Gradients reach the state and the features it was made from.
    """
    said, columns = torch.full((len(ids),), markers.start, device=ids.device), []
    for word in ids.unbind(1):
        logits, state, _ = decoder.step(said, state)
        columns.append(word_log_probabilities(logits, markers).gather(1, word[:, None]))
        said = word
    return torch.cat(columns, 1)


def word_log_probabilities(logits: Tensor, markers: Markers) -> Tensor:
    """Log-probabilities (N,V) from logits (N,V), -∞ for words that are never said."""
    never = torch.tensor(markers.never, dtype=torch.long, device=logits.device)
    return logits.float().index_fill(1, never, _NEVER).log_softmax(1)


@torch.no_grad()
def beam(
    decoder: Decoder, features: Tensor, markers: Markers, *, width: int = 3, limit: int = 20, length_power: float = 0.7
) -> list[list[Sentence]]:
    """The `width` best sentences of each picture, best first, by log-probability over length to `length_power`.

    There are fewer if fewer can be said. Finished sentences stay in the beam; the search stops when all are finished.
    Raises SettingsError for a width or limit below 1.
    """
    _check_limit(limit)
    if width < 1:
        raise SettingsError(f"The beam width must be at least 1; {width} was given.")
    batch, device = len(features), features.device
    begun = decoder.start(features)
    own = len(begun) - decoder.shared_parts
    state = (*(part.repeat_interleave(width, 0) for part in begun[:own]), *begun[own:])
    words = torch.full((batch * width,), markers.start, device=device)
    beams, described = _Beams.empty(batch, width, device), [[] for _ in range(batch)]
    for step in range(limit):
        logits, state, attention = decoder.step(words, state)
        beams, parent, words = _grown(beams, word_log_probabilities(logits, markers), attention, markers, length_power)
        rows = (torch.arange(len(parent), device=device)[:, None] * width + parent).flatten()
        state = (*(part[rows] for part in state[:own]), *state[own:])
        over = beams.ended.all(1) if step < limit - 1 else torch.ones_like(beams.ended[:, 0])
        if not over.any():
            continue
        for picture, sentences in beams.of(over).ranked(markers, length_power):
            described[picture] = sentences
        if over.all():
            break
        # A picture that has its sentences needs no more words.
        going, rows = ~over, (~over).repeat_interleave(width)
        beams, words = beams.of(going), words[rows]
        state = (*(part[rows] for part in state[:own]), *(part[going] for part in state[own:]))
    return described


@dataclass(frozen=True)
class _Beams:
    """W sentences of each of B pictures: log-probability, words said and whether ended (B,W); of every word its id and
    log-probability (B,W,T), and where it looked (B,W,T,N)."""

    picture: Tensor
    scores: Tensor
    lengths: Tensor
    ended: Tensor
    ids: Tensor
    each: Tensor
    maps: Tensor | None

    @classmethod
    def empty(cls, batch: int, width: int, device: torch.device) -> _Beams:
        """One sentence without words for each picture; the others are impossible."""
        scores = torch.full((batch, width), _NEVER, device=device)
        scores[:, 0] = 0.0
        return cls(
            picture=torch.arange(batch, device=device),
            scores=scores,
            lengths=torch.zeros(batch, width, device=device),
            ended=torch.zeros(batch, width, dtype=torch.bool, device=device),
            ids=torch.empty(batch, width, 0, dtype=torch.long, device=device),
            each=torch.empty(batch, width, 0, device=device),
            maps=None,
        )

    def of(self, rows: Tensor) -> _Beams:
        """Those of some pictures."""
        return _Beams(*(None if part is None else part[rows] for part in vars(self).values()))

    def ranked(self, markers: Markers, length_power: float) -> list[tuple[int, list[Sentence]]]:
        """Every picture's number and its sentences, best first."""
        order = (self.scores / self.lengths.clamp_min(1) ** length_power).argsort(1, descending=True).tolist()
        ids, each, possible = self.ids.tolist(), self.each.cpu(), (self.scores != _NEVER).tolist()
        maps = None if self.maps is None else self.maps.cpu()
        return [
            (
                picture,
                [
                    _sentence(ids[b][k], each[b, k], None if maps is None else maps[b, k], markers)
                    for k in order[b]
                    if possible[b][k]
                ],
            )
            for b, picture in enumerate(self.picture.tolist())
        ]


def _grown(
    beams: _Beams, log_probabilities: Tensor, attention: Tensor | None, markers: Markers, length_power: float
) -> tuple[_Beams, Tensor, Tensor]:
    """The best sentences of one word more, the place (B,W) of what each continues, and their last words (B·W,)."""
    batch, width = beams.scores.shape
    log_probabilities = log_probabilities.view(batch, width, -1)
    size = log_probabilities.shape[2]
    stay = torch.full_like(log_probabilities, _NEVER)
    stay[..., markers.end] = 0.0
    log_probabilities = torch.where(beams.ended[..., None], stay, log_probabilities)
    grown = beams.lengths + (~beams.ended)
    total = beams.scores[..., None] + log_probabilities
    ranked = (total / grown.clamp_min(1)[..., None] ** length_power).flatten(1).topk(width, dim=1).indices
    parent, word = ranked // size, ranked % size
    said = log_probabilities.flatten(1).gather(1, ranked)
    maps = beams.maps
    if attention is not None:
        new = attention.view(batch, width, 1, -1)
        maps = _along(new if maps is None else torch.cat([maps, new], dim=2), parent)
    after = _Beams(
        picture=beams.picture,
        scores=total.flatten(1).gather(1, ranked),
        lengths=grown.gather(1, parent),
        ended=beams.ended.gather(1, parent) | (word == markers.end),
        ids=torch.cat([_along(beams.ids, parent), word[..., None]], dim=2),
        each=torch.cat([_along(beams.each, parent), said[..., None]], dim=2),
        maps=maps,
    )
    return after, parent, word.flatten()


def _along(values: Tensor, parent: Tensor) -> Tensor:
    """Reorder the beam dimension of (B,W,T,…) by (B,W) parents."""
    index = parent[(...,) + (None,) * (values.dim() - 2)].expand(-1, -1, *values.shape[2:])
    return values.gather(1, index)
