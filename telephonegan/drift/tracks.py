"""Chains as the measures see them: words and pictures by round, and nothing of how they came about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from telephonegan.text import tokenise

if TYPE_CHECKING:
    from telephonegan.chains import Chain

Words = tuple[str, ...]


@dataclass(frozen=True)
class Turn:
    """One round of one chain: the words of its caption (lower case, see `text.tokenise`), and its picture.

    `picture` is None in round 0 of a game that began with a text, and where an experiment kept no picture.
    """

    round: int
    words: Words
    picture: Image.Image | None = None


@dataclass(frozen=True)
class Track:
    """One chain: `chain` names it, and no other of its experiment; `source` is what it began with.

    Chains of other seeds share a source. `references` are other human captions of the photograph in round 0, where
    there are some.
    """

    chain: str
    source: str
    seed: int
    turns: tuple[Turn, ...]
    references: tuple[Words, ...] = ()

    @classmethod
    def of(cls, chain: Chain, *, source: str | None = None, references: Sequence[Sequence[str]] = ()) -> Track:
        """The track of a played chain; `source` is by default its number ("s0007"), the name is "SOURCE-seedSEED".

        >>> from telephonegan.chains import Chain
        >>> Track.of(Chain("a dog", number=7, seed=2)).chain
        's0007-seed2'
        """
        source = f"s{chain.number:04}" if source is None else source
        turns = tuple(
            Turn(step.index, tuple(tokenise(step.caption.text)), step.picture and step.picture.image) for step in chain
        )
        return cls(f"{source}-seed{chain.seed}", source, chain.seed, turns, tuple(tuple(words) for words in references))
