"""From sentences to word ids, and an honest account of the words that were dropped."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from telephonegan.errors import TextError, WeightsError

PAD, START, END, UNKNOWN = "<pad>", "<start>", "<end>", "<unk>"
_WORD = re.compile(r"\w+")


def tokenise(text: str) -> list[str]:
    r"""Lower-case words of a sentence: every run of `\w` characters, punctuation dropped.

    Accented and other letters stay, in their composed form (NFC); the published AttnGAN dictionaries hold ASCII words
    only and know no others. Raises TextError when `text` is not a string.

    >>> tokenise("A dog's t-shirt, in 2 colours.")
    ['a', 'dog', 's', 't', 'shirt', 'in', '2', 'colours']
    """
    if not isinstance(text, str):
        raise TextError(f"A text is a str; {type(text).__name__} was given.")
    return _WORD.findall(unicodedata.normalize("NFC", text.lower()))


@dataclass(frozen=True)
class EncodedText:
    """Ids of the known words of one sentence, those words, and what was left out and why."""

    ids: list[int]
    words: list[str]
    dropped: list[str] = field(default_factory=list)
    truncated: int = 0


class Vocabulary:
    """Words and their ids, fixed for the life of a model.

    `words[i]` is the word of id i. `specials` at the front (padding first) are never produced by `encode`. With
    `ascii_only`, as the published AttnGAN dictionaries need it, letters outside ASCII are left out before a look-up.

    >>> v = Vocabulary(["<pad>", "a", "dog"])
    >>> v.encode("A happy dog").dropped
    ['happy']
    """

    def __init__(self, words: Sequence[str], *, ascii_only: bool = False) -> None:
        self.words, self.ascii_only = list(words), ascii_only
        self.ids = {word: index for index, word in enumerate(self.words)}
        if len(self.ids) != len(self.words):
            repeated = next(word for word, count in Counter(self.words).items() if count > 1)
            raise WeightsError(f"The vocabulary holds {repeated!r} twice; every word has one id.")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self.ids and not word.startswith("<")

    @classmethod
    def build(
        cls,
        sentences: Iterable[Sequence[str]],
        *,
        minimum: int = 1,
        specials: Sequence[str] = (PAD, START, END, UNKNOWN),
    ) -> Vocabulary:
        """Collect the words seen at least `minimum` times, most frequent first, ties in alphabetical order."""
        counts = Counter(word for sentence in sentences for word in sentence)
        kept = sorted((w for w, n in counts.items() if n >= minimum), key=lambda w: (-counts[w], w))
        return cls([*specials, *kept])

    @classmethod
    def load(cls, path: str | Path, *, ascii_only: bool = False) -> Vocabulary:
        """Read a JSON list of words."""
        try:
            words = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WeightsError(f"The vocabulary {path} cannot be read: {error}.") from error
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise WeightsError(f"The vocabulary {path} is not a JSON list of words.")
        return cls(words, ascii_only=ascii_only)

    def encode(self, text: str, *, limit: int | None = None) -> EncodedText:
        """Look up the words of `text`; unknown ones are reported in `dropped`, words beyond `limit` are counted.

        Raises TextError when nothing is left.
        """
        tokens = tokenise(text)
        if not tokens:
            raise TextError(
                f"The text {_short(text)} holds no word. Give a sentence, such as 'a dog runs on the beach'."
            )
        spelled = [self._spell(token) for token in tokens]
        known = [word for word in spelled if word in self]
        dropped = list(dict.fromkeys(t for t, word in zip(tokens, spelled, strict=True) if word not in self))
        if not known:
            raise TextError(
                f"None of the words of {_short(text)} is among the {len(self)} words this model knows. "
                f"Try words such as {', '.join(self.common(8))}."
            )
        kept = known if limit is None else known[:limit]
        return EncodedText([self.ids[token] for token in kept], kept, dropped, len(known) - len(kept))

    def _spell(self, token: str) -> str:
        return token.encode("ascii", "ignore").decode() if self.ascii_only else token

    def known_ids(self, words: Iterable[str], limit: int) -> list[int]:
        """Ids of the first `limit` known words; padding alone, which says nothing, where none is known.

        >>> Vocabulary(["<pad>", "a", "dog"]).known_ids(["a", "happy", "dog"], 20)
        [1, 2]
        """
        return [self.ids[word] for word in map(self._spell, words) if word in self][:limit] or [0]

    def common(self, n: int) -> list[str]:
        """The first `n` words of some length: a hint at what the model can talk about."""
        return [word for word in self.words if len(word) > 2 and not word.startswith("<")][:n]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the words of `ids` up to the first end marker, without special words."""
        words = []
        for index in ids:
            word = self.words[int(index)]
            if word == END:
                break
            if word not in (PAD, START, UNKNOWN):
                words.append(word)
        return words


def pad(sequences: Sequence[Sequence[int]], *, value: int = 0) -> tuple[Tensor, Tensor]:
    """Stack id lists to (B,L) with `value` at the ends, and their lengths (B,)."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    ids = torch.full((len(sequences), int(lengths.max())), value, dtype=torch.long)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = torch.as_tensor(sequence)
    return ids, lengths


def padding_mask(lengths: Tensor, width: int | None = None) -> Tensor:
    """(B,L) bool, True on padding: the mask every attention of this library takes."""
    width = int(lengths.max()) if width is None else width
    return torch.arange(width, device=lengths.device) >= lengths[:, None]


def _short(text: str, limit: int = 60) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "…")
