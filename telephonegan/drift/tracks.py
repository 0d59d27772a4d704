"""Chains as the measures see them: words and pictures by round, and the networks' outputs for them.

How a chain was made does not matter here. Networks process every distinct caption and picture once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from telephonegan.captioning import Captioner
from telephonegan.drift.cross_modal import caption_codes, mean_log_probabilities, picture_codes
from telephonegan.drift.image_measures import observed
from telephonegan.errors import DataError
from telephonegan.evaluation.captions import DocumentFrequency
from telephonegan.files import slug
from telephonegan.text import tokenise

if TYPE_CHECKING:
    from telephonegan.chains import Chain
    from telephonegan.evaluation.generators import Observed
    from telephonegan.matcher import Matcher

Words = tuple[str, ...]
To = Literal["start", "previous"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One round of a chain: the words of its caption (lower case, see `text.tokenise`), and its picture.

    `picture` is None in round 0 of a chain that began with a text, and if an experiment did not store it.
    """

    round: int
    words: Words
    picture: Image.Image | None = None


def source_id(number: int, title: str) -> str:
    """The name of what chains begin with: its number, which is different for each, and its file's name or text.

    >>> source_id(7, "Two dogs run!"), source_id(8, "一只狗")
    ('0007-two-dogs-run', '0008')
    """
    return f"{number:04}-{slug(title)}".rstrip("-")


@dataclass(frozen=True, slots=True)
class Track:
    """One chain: `chain` is its name, unique in an experiment; `source` names the photograph or text at its start.

    Chains of different seeds share a source. `references` are human captions of the photograph in round 0, if any.
    """

    chain: str
    source: str
    seed: int
    turns: tuple[Turn, ...]
    references: tuple[Words, ...] = ()

    @classmethod
    def of(cls, chain: Chain, *, source: str | None = None, references: Sequence[Sequence[str]] = ()) -> Track:
        """The track of a played chain, called "SOURCE-seedSEED"; `source` is by default its number and what it shows.

        >>> from telephonegan.chains import Chain
        >>> Track.of(Chain("a dog", number=7, seed=2)).chain
        '0007-a-dog-seed2'
        """
        if source is None:
            title = chain.source if isinstance(chain.source, str) else Path(chain.source_name).stem
            source = source_id(chain.number, title)
        turns = tuple(
            Turn(each.index, tuple(tokenise(each.caption.text)), each.picture and each.picture.image) for each in chain
        )
        return cls(f"{source}-seed{chain.seed}", source, chain.seed, turns, tuple(tuple(words) for words in references))


@dataclass(frozen=True)
class Observers:
    """The models used by measures, by name; matching models as KIND/NAME."""

    captioner: str = "flickr8k"
    damsm: str = "damsm/flickr8k"
    judge: str = "judge/flickr8k"


def document_frequency(tracks: Iterable[Track]) -> DocumentFrequency:
    """The number of sources in which each n-gram occurs: in captions of round 0 or in human captions.

    Later rounds do not count; otherwise a caption in which many chains end would lose weight.

    >>> document_frequency([Track("a", "a", 0, (Turn(0, ("dog",)), Turn(1, ("cat",))))]).counts
    Counter({('dog',): 1})
    """
    documents: dict[str, list[Words]] = {}
    for track in tracks:
        documents.setdefault(track.source, []).extend((*(turn.words for turn in track.turns[:1]), *track.references))
    return DocumentFrequency.of(list(documents.values()))


class Material:
    """The distinct captions and pictures of chains, and their codes, which are computed on first use.

    Pictures are distinct if they are different objects. `frequency`, `observers` and `device` are those of
    `similarities`.

    >>> Material([Track("a", "a", 0, (Turn(0, ("red", "ball")), Turn(1, ("ball",))))]).captions
    [('red', 'ball'), ('ball',)]
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        frequency: DocumentFrequency | None = None,
        *,
        observers: Observers | None = None,
        device: str = "cpu",
    ) -> None:
        self.tracks = tracks
        self._frequency = frequency
        self.observers, self.device = observers or Observers(), device
        self.captions: list[Words] = list(dict.fromkeys(turn.words for track in tracks for turn in track.turns))
        shown = (turn.picture for track in tracks for turn in track.turns if turn.picture is not None)
        self.pictures: list[Image.Image] = list({id(picture): picture for picture in shown}.values())
        self.sentence_codes: np.ndarray | None = None  # of the captions, once a measure needs them
        self.caption_rows = {words: row for row, words in enumerate(self.captions)}
        self.picture_rows = {id(picture): row for row, picture in enumerate(self.pictures)}
        self._crossed = list(
            dict.fromkeys(
                (self.picture_rows[id(seen.picture)], said.words)
                for earlier, later in _pairs_of(tracks)
                for seen, said in ((earlier, later), (later, earlier))
                if seen.picture is not None
            )
        )

    @cached_property
    def frequency(self) -> DocumentFrequency:
        """The number of sources in which each n-gram occurs."""
        return self._frequency or document_frequency(self.tracks)

    @cached_property
    def damsm_codes(self) -> tuple[np.ndarray, np.ndarray]:
        """Codes of the pictures and of the captions by the DAMSM that guided the generator."""
        matcher = self._matcher(self.observers.damsm)
        return picture_codes(self.pictures, matcher), caption_codes(self.captions, matcher)

    @cached_property
    def judge_codes(self) -> tuple[np.ndarray, np.ndarray]:
        """Codes of the pictures and of the captions by the judge."""
        return self._observed.codes.numpy(), caption_codes(self.captions, self._judge)

    @cached_property
    def lite2_features(self) -> np.ndarray:
        """Pooled Lite2 features of the pictures."""
        return self._observed.lite2.numpy()

    @cached_property
    def likelihoods(self) -> dict[tuple[int, Words], float]:
        """The captioner's mean log-probability of each caption for each picture it is compared with."""
        captioner = Captioner.load(self.observers.captioner, self.device)
        values = mean_log_probabilities(captioner, self.pictures, self._crossed)
        return dict(zip(self._crossed, values.tolist(), strict=True))

    @cached_property
    def _judge(self) -> Matcher:
        return self._matcher(self.observers.judge)

    @cached_property
    def _observed(self) -> Observed:
        return observed(self.pictures, self._judge)

    def _matcher(self, name: str) -> Matcher:
        from telephonegan.matcher import Matcher

        return Matcher.load(name, self.device)


def _pairs_of(tracks: Iterable[Track]) -> Iterator[tuple[Turn, Turn]]:
    """What is compared: every round from 1 on with round 0 and with the round before, chain by chain."""
    for track in tracks:
        for before, turn in pairwise(track.turns):
            yield track.turns[0], turn
            yield before, turn


def check_enough(tracks: Sequence[Track], method: str, *, sources: int = 1, rounds: int = 0, seeds: int = 1) -> None:
    """Raise DataError where chains are too few or too short for a method: it says how many that needs.

    `sources` is the number of photographs or texts they began with, `rounds` the last round that some chain must reach,
    and `seeds` the number of chains that some source must have.
    """
    chains = Counter(track.source for track in tracks)
    last = max((turn.round for track in tracks for turn in track.turns), default=-1)
    have = {"sources": len(chains), "rounds": max(last, 0), "chains of one source": max(chains.values(), default=0)}
    need = {"sources": sources, "rounds": rounds, "chains of one source": seeds}
    for what, least in need.items():
        if have[what] < least:
            raise DataError(f"{method} needs {least} {what} or more; the chains given have {have[what]}. Play more.")
