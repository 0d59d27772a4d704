"""Text: files in any encoding, tokenisation, and vocabularies that look up word ids and report what was dropped."""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import regex
import torch
from torch import Tensor

from telephonegan.errors import DataError, TextError, WeightsError
from telephonegan.files import expanded, substitute
from telephonegan.records import read_json

PAD, START, END, UNKNOWN = "<pad>", "<start>", "<end>", "<unk>"


# ----------------------------------------------------------------------------------------------------------- text files


def read_text(path: str | Path) -> str:
    """Content of a text file in UTF-8, UTF-16, UTF-32 or a Western encoding; line ends stay as they are.

    A guessed encoding is reported in a warning, because letters may come out wrong. Raises DataError if the file cannot
    be read or is not text.

    >>> read_text("captions.txt")  # doctest: +SKIP
    'a.jpg\\ta dog runs\\n'
    """
    text, encoding, is_guess = decoded(path)
    if is_guess:
        warnings.warn(
            f"{path} was read as {encoding}. If letters with accents come out wrong, save it as UTF-8.", stacklevel=2
        )
    return text


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file, read like `read_text`. Raises DataError."""
    return lines_of(read_text(path))


def lines_of(text: str) -> list[str]:
    r"""Lines as editors count them: ended by \n, \r\n or \r, but not by Unicode's other separators.

    >>> lines_of("one\r\ntwo\u2028still two\n")
    ['one', 'two\u2028still two']
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def decoded(path: str | Path) -> tuple[str, str, bool]:
    """Content of a text file, the name of its encoding, and whether that was guessed. Raises DataError."""
    path = expanded(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error
    if instead := substitute(content[:512]):
        raise DataError(f"{path} does not hold its text: {instead}")
    try:
        text, encoding, is_guess = _decoded(content)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} begins as {error.encoding.upper()} but is damaged further on. Save it as text in UTF-8."
        ) from error
    if "\0" in text:
        raise DataError(f"{path} is not a text file: it contains zero bytes. Save it as text in UTF-8.")
    return text, encoding, is_guess


_MARKS = {  # byte order marks; UTF-32 comes before UTF-16, whose mark begins it
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_UTF_8_MARK = b"\xef\xbb\xbf"


def _decoded(content: bytes) -> tuple[str, str, bool]:
    for mark, codec in _MARKS.items():
        if content.startswith(mark):
            return content.decode(codec), codec.upper(), False
    if codec := _unmarked_utf_16(content[:4096]):
        return content.decode(codec), "UTF-16 without a byte order mark", True
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return *_western(content), True
    return text, "UTF-8 with a byte order mark" if content.startswith(_UTF_8_MARK) else "UTF-8", False


def _western(content: bytes) -> tuple[str, str]:
    """Decode a file that is not UTF-8: as cp1252 or latin-1, or as UTF-8 if only a few bytes are cp1252."""
    marked = content.decode("utf-8-sig", "surrogateescape")
    strays = sum("\udc80" <= c <= "\udcff" for c in marked)
    if strays < sum(c > "\x7f" for c in marked) - strays:
        return re.sub("[\udc80-\udcff]", _stray, marked), f"UTF-8, apart from {strays} bytes read as cp1252"
    try:
        return content.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def _stray(match: re.Match[str]) -> str:
    return match[0].encode(errors="surrogateescape").decode("cp1252", "replace")


def _unmarked_utf_16(head: bytes) -> str | None:
    """The byte order of UTF-16 without a mark: every other byte is mostly zero, the rest mostly text."""
    for codec, zeros, others in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        texts = sum(byte >= 32 or byte in b"\t\n\r" for byte in others)
        if zeros.count(0) > 0.4 * len(zeros) and texts > 0.8 * len(others) and 0 not in others:
            return codec
    return None


# ---------------------------------------------------------------------------------------------------------------- words

_PLAIN_WORD = regex.compile(r"[\p{L}\p{N}_]+")  # like \w+ of `re`, but independent of Python's Unicode version
# A text without any of these takes the simple path, several times as fast.
_MARKS_AND_OTHERS = regex.compile(
    r"[\p{M}\u200c\u200dİ\p{Han}\p{Hiragana}\p{Katakana}ー\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
)
# A mark, such as a vowel sign of Hindi, belongs to the letter before it, and a joiner to the letters around it.
# Variation selectors and keycaps are marks that change the appearance only.
_MARK = r"[\p{M}--[\ufe00-\ufe0f\u20e3\U000e0100-\U000e01ef]]"
_WORD = rf"[\p{{L}}\p{{N}}_](?:[\p{{L}}\p{{N}}_]|{_MARK}|[\u200c\u200d](?=[\p{{L}}\p{{N}}]))*"
_SYMBOL = (
    r"\p{Regional_Indicator}{2}|[\p{So}\p{Extended_Pictographic}[[\p{Sm}\p{Sc}]--[\0-\x7f]]]"
    r"(?:[\ufe0f\p{Emoji_Modifier}\U000e0020-\U000e007f]|\u200d\p{Extended_Pictographic})*"
)
_PIECE = regex.compile(rf"(?P<word>{_WORD})|{_SYMBOL}", regex.V1)
_MARKS_OF_A_LETTER = 30  # at most, as in Unicode's stream-safe format: normalising takes quadratic time
_MORE_MARKS = regex.compile(rf"(\p{{M}}{{{_MARKS_OF_A_LETTER}}})\p{{M}}+")


def tokenise(text: str) -> list[str]:
    r"""Lower-case words of a sentence: letters with their marks, digits and `_`; everything else is dropped.

    Words are in composed form (NFC). The published AttnGAN dictionaries contain ASCII words only.
    Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces between words: insert them, or for
    Chinese and Thai install jieba or pythainlp. Otherwise raises TextError, as it does if `text` is not a string.

    >>> tokenise("A dog's t-shirt, in 2 colours.")
    ['a', 'dog', 's', 't', 'shirt', 'in', '2', 'colours']
    """
    if isinstance(text, str) and not _MARKS_AND_OTHERS.search(text):
        lowered = unicodedata.normalize("NFC", text.lower())
        if not _MARKS_AND_OTHERS.search(lowered):  # normalising removes marks from a few letters
            return _PLAIN_WORD.findall(lowered)
    return [piece for piece, is_word in _pieces(text) if is_word]


def _pieces(text: str) -> list[tuple[str, bool]]:
    """Words and symbols of a text in order, and which of them are words."""
    if not isinstance(text, str):
        raise TextError(f"A text must be a str; {type(text).__name__} was given.")
    parted = _with_blanks(_lowered(text))
    return [(match[0], match["word"] is not None) for match in _PIECE.finditer(parted)]


def _lowered(text: str) -> str:
    composed = unicodedata.normalize("NFC", _MORE_MARKS.sub(r"\1", text))
    # Python lowers İ to an i with a second dot, which nobody writes.
    lowered = re.sub("i\u0307+", "i", composed.lower())
    return _MORE_MARKS.sub(r"\1", unicodedata.normalize("NFC", lowered))


# --------------------------------------------------------------------------------------------- languages without blanks

_RUN = regex.compile(
    r"(?P<Japanese>\p{Han}*+[\p{Hiragana}\p{Katakana}ー][\p{Han}\p{Hiragana}\p{Katakana}ー]*+)|(?P<Chinese>\p{Han}++)"
    r"|(?P<Thai>\p{Thai}+)|(?P<Lao>\p{Lao}+)|(?P<Khmer>\p{Khmer}+)|(?P<Burmese>\p{Myanmar}+)"
)
_LETTER = regex.compile(r"\p{L}")
_WORD_LETTERS = {"Chinese": 2.5, "Japanese": 3}  # on average; text with longer pieces has not been segmented
_WORD_LETTERS_ELSEWHERE = 4.5
_SEGMENTERS = {"Chinese": "jieba", "Thai": "pythainlp"}


def _with_blanks(text: str) -> str:
    """The text with spaces between its words. Raises TextError if there are none and no segmenter is installed.

    A few such words within a text of another script, a street sign say, are kept as they are.
    """
    runs = list(_RUN.finditer(text))
    letters = [len(_LETTER.findall(run[0])) for run in runs]
    if 2 * sum(letters) < len(_LETTER.findall(text)) or not any(letters):
        return text
    language = runs[letters.index(max(letters))].lastgroup
    is_one_word = sum(letters) > 1 and sum(match["word"] is not None for match in _PIECE.finditer(text)) == 1
    if not is_one_word and sum(letters) <= _WORD_LETTERS.get(language, _WORD_LETTERS_ELSEWHERE) * len(runs):
        return text
    if language not in _SEGMENTERS:
        raise TextError(_unparted(text, language))
    return _RUN.sub(lambda run: f" {' '.join(_segmented(run[0], language, text))} ", text)


def _segmented(run: str, language: str, text: str) -> list[str]:
    try:
        if language == "Thai":
            from pythainlp import word_tokenize

            return word_tokenize(run)
        import jieba
    except ImportError:
        raise TextError(_unparted(text, language)) from None
    jieba.setLogLevel("ERROR")
    return jieba.lcut(run)


def _unparted(text: str, language: str) -> str:
    package = _SEGMENTERS.get(language)
    install = f", or install {package}, which finds them (pip install {package})" if package else ""
    return (
        f"{_short(text)} is {language}, which is written without spaces between words, so its words cannot be "
        f"separated. Put spaces between the words{install}."
    )


# --------------------------------------------------------------------------------------------------------- vocabularies


@dataclass(frozen=True)
class EncodedText:
    """Ids of the known words of one sentence, those words, and what was dropped and why."""

    ids: list[int]
    words: list[str]
    dropped: list[str] = field(default_factory=list)
    truncated: int = 0


class Vocabulary:
    """Words and their ids, fixed for each model.

    `words[i]` is the word of id i. `specials` at the front (padding first) are never produced by `encode`. With
    `ascii_only`, for the published AttnGAN dictionaries, letters outside ASCII are removed before the look-up.

    >>> v = Vocabulary(["<pad>", "a", "dog"])
    >>> v.encode("A happy dog").dropped
    ['happy']
    """

    def __init__(self, words: Sequence[str], *, ascii_only: bool = False) -> None:
        self.words, self.ascii_only = list(words), ascii_only
        self.ids = {word: index for index, word in enumerate(self.words)}
        if len(self.ids) != len(self.words):
            repeated = next(word for word, count in Counter(self.words).items() if count > 1)
            raise WeightsError(f"The vocabulary contains {repeated!r} twice; every word must have one id.")

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
        """Read a JSON list of words. Raises WeightsError."""
        return cls(read_json(Path(path), list[str], WeightsError), ascii_only=ascii_only)

    def encode(self, text: str, *, limit: int | None = None) -> EncodedText:
        """Look up the words of `text`; unknown ones and symbols are in `dropped`, words beyond `limit` are counted.

        Raises TextError if nothing is left.

        >>> Vocabulary(["a", "dog", "runs"]).encode("a dog 🐕 runs").dropped
        ['🐕']
        """
        pieces = _pieces(text)
        if not any(is_word for _, is_word in pieces):
            raise TextError(
                f"The text {_short(text)} contains no word. Give a sentence, such as 'a dog runs on the beach'."
            )
        spelled = [self._spell(piece) for piece, _ in pieces]
        known = [word for word in spelled if word in self]
        dropped = dict.fromkeys(piece for (piece, _), word in zip(pieces, spelled, strict=True) if word not in self)
        if not known:
            raise TextError(
                f"None of the words of {_short(text)} is among the {len(self)} words this model knows. "
                f"Try words such as {', '.join(self.common(8))}."
            )
        kept = known if limit is None else known[:limit]
        return EncodedText([self.ids[word] for word in kept], kept, list(dropped), len(known) - len(kept))

    def _spell(self, token: str) -> str:
        return token.encode("ascii", "ignore").decode() if self.ascii_only else token

    def known_ids(self, words: Iterable[str], limit: int) -> list[int]:
        """Ids of the first `limit` known words; a single padding id if none is known.

        >>> Vocabulary(["<pad>", "a", "dog"]).known_ids(["a", "happy", "dog"], 20)
        [1, 2]
        """
        return [self.ids[word] for word in map(self._spell, words) if word in self][:limit] or [0]

    def common(self, n: int) -> list[str]:
        """The first `n` words that are not too short, as examples of what the model knows."""
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


class Alphabet(Vocabulary):
    """The 70 characters that a Char-CNN-RNN reads, 201 of them at most; it takes the place of a `Vocabulary`.

    Letters are read in lower case, all else as a space. The hyphen is listed twice, and its second place counts, as in
    the published encoders (Reed et al. 2016). `plain` encoders were trained on words without punctuation and read a
    text as `tokenise` splits it.

    >>> Alphabet().encode("A café").dropped
    ['é']
    """

    SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
    LENGTH = 201

    def __init__(self, *, plain: bool = False) -> None:
        symbols = list(self.SYMBOLS)
        symbols[symbols.index("-")] = "<hyphen>"  # its first place, which is never used
        super().__init__([PAD, *symbols])
        self.plain = plain

    def __contains__(self, word: str) -> bool:
        return bool(word) and all(letter in self.ids for letter in word)

    def encode(self, text: str, *, limit: int | None = None) -> EncodedText:
        """Ids of the characters; those outside the alphabet are in `dropped`, words cut off at the end are counted.

        Raises TextError if no letter or digit is left.
        """
        pieces, lowered = tokenise(text), " ".join(_lowered(text).split())
        whole = " ".join(pieces) if self.plain else lowered
        read = "".join(letter if letter in self.ids else " " for letter in whole)
        if not any(map(str.isalnum, read)):
            raise TextError(
                f"The text {_short(text)} has none of the letters a to z and no digit. Give an English sentence, such "
                "as 'a purple flower with pointed petals'."
            )
        kept = read[: min(self.LENGTH, limit or self.LENGTH)]
        # A word that is cut in two counts as cut off.
        words = kept.split() if len(kept) == len(read) or read[len(kept)] == " " else kept.split()[:-1]
        dropped = dict.fromkeys(letter for letter in lowered if letter not in self.ids)
        return EncodedText([self.ids[letter] for letter in kept], words, list(dropped), len(read.split()) - len(words))

    def known_ids(self, words: Iterable[str], limit: int | None = None) -> list[int]:
        """Ids of the characters of these words with single spaces between them; one padding id if there is none.

        >>> Alphabet().known_ids(["a", "bee"])
        [1, 70, 2, 5, 5]
        """
        read = " ".join(words)[: min(self.LENGTH, limit or self.LENGTH)]
        return [self.ids.get(letter, self.ids[" "]) for letter in read] or [0]

    def common(self, n: int) -> list[str]:
        """The first `n` letters."""
        return self.words[1 : n + 1]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of a text from the ids of its characters."""
        return "".join(self.words[int(index)] for index in ids if int(index)).split()


def pad(sequences: Sequence[Sequence[int]], *, value: int = 0) -> tuple[Tensor, Tensor]:
    """Stack id lists to (B,L), padded with `value`, and their lengths (B,)."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    ids = torch.full((len(sequences), int(lengths.max())), value, dtype=torch.long)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = torch.as_tensor(sequence)
    return ids, lengths


def padding_mask(lengths: Tensor, width: int | None = None) -> Tensor:
    """(B,L) bool, True on padding: the mask that every attention of this library takes."""
    width = int(lengths.max()) if width is None else width
    return torch.arange(width, device=lengths.device) >= lengths[:, None]


def _short(text: str, limit: int = 60) -> str:
    return repr(text if len(text) <= limit else text[:limit] + "…")
