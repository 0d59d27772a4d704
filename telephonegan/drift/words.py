"""Content words: which of a caption's words carry meaning, of what kind they are, and which of them survive.

Words are told apart as they are spelled: "dog" and "dogs" are two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from telephonegan.drift.word_lists import ACTIONS, COLOURS, FUNCTION_WORDS, NUMBERS, OBJECTS, PLURALS
from telephonegan.errors import SettingsError

WordKind = Literal["colour", "number", "object", "action", "other"]
WORD_KINDS: tuple[WordKind, ...] = get_args(WordKind)


@dataclass(frozen=True)
class Changes:
    """Content words of two captions: in both (`kept`), only in the earlier (`lost`), only in the later (`gained`).

    `kept` and `lost` stand in the order of the earlier caption, `gained` in that of the later one.
    """

    kept: tuple[str, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]

    @classmethod
    def of(cls, earlier: Sequence[str], later: Sequence[str]) -> Changes:
        """What happened to the content words between two captions, given as lower-case words.

        >>> Changes.of("a red ball on the sand".split(), "a blue ball on the beach".split())
        Changes(kept=('ball',), lost=('red', 'sand'), gained=('blue', 'beach'))
        """
        before, after = content_words(earlier), content_words(later)
        return cls(
            kept=tuple(word for word in before if word in after),
            lost=tuple(word for word in before if word not in after),
            gained=tuple(word for word in after if word not in before),
        )


def content_words(words: Sequence[str]) -> tuple[str, ...]:
    """The words that carry meaning, each once, in the order of the caption; function words are left out.

    Raises SettingsError for a text that is not in words yet.

    >>> content_words("a man and a dog in the snow".split())
    ('man', 'dog', 'snow')
    """
    if isinstance(words, str):
        raise SettingsError(f"Words are wanted; the text {words!r} was given. Use a caption's .words, or split it.")
    return tuple(dict.fromkeys(word for word in words if word not in FUNCTION_WORDS))


def kind_of(word: str) -> WordKind:
    """Whether a content word tells a colour, a number, an object or an action; "other" for the rest.

    A word has the kind it mostly has in captions of photographs. Objects are known in singular and plural; an unknown
    word in "-ing" is an action.

    >>> [kind_of(word) for word in ("red", "two", "dogs", "running", "happy")]
    ['colour', 'number', 'object', 'action', 'other']
    """
    if word in COLOURS:
        return "colour"
    if word in NUMBERS or word.isdecimal():
        return "number"
    if word in ACTIONS:
        return "action"
    if not OBJECTS.isdisjoint(_singulars(word)):
        return "object"
    return "action" if word.endswith("ing") and len(word) > len("ring") else "other"


def _singulars(word: str) -> set[str]:
    """The word, and what it may be the plural of."""
    found = {word, PLURALS.get(word, word)}
    if word.endswith("s"):
        found.add(word[:-1])
    if word.endswith("es"):
        found.add(word[:-2])
    if word.endswith("ies"):
        found.add(word[:-3] + "y")
    return found
