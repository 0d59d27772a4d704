"""Dictionaries and lists that the published projects keep in pickles, read without running anything a pickle asks for.

A pickle may name any function of any module and have it called. This reader knows the few names such files need, and
each stands for a harmless holder here; a file with any other name is refused.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from telephonegan.errors import DataError, WeightsError
from telephonegan.text import END

_SHOWN = 100
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_INTEGERS = {"i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"}


@dataclass(frozen=True)
class PublishedCaptions:
    """AttnGAN's captions.pickle: captions as word ids, by photograph in the order of its filenames, and the words."""

    train: list[list[int]]
    test: list[list[int]]
    words: list[str]


def read_vocabulary(path: str | Path) -> list[str]:
    """Words of the published captioner's vocab.pkl by id. Raises WeightsError for any other file.

    >>> read_vocabulary("vocab.pkl")[:4]  # doctest: +SKIP
    ['<pad>', '<start>', '<end>', '<unk>']
    """
    holder = _unpickle(path, WeightsError)
    words = getattr(holder, "idx2word", None)
    if not isinstance(holder, _Vocabulary) or not isinstance(words, Mapping):
        raise WeightsError(f"{path} holds no vocabulary of the published captioner, which is an object with idx2word.")
    return _in_order(path, words)


def read_captions(path: str | Path) -> PublishedCaptions:
    """AttnGAN's captions.pickle: [train, test, words by id, ids by word]. Raises WeightsError for any other file.

    >>> len(read_captions("data/coco/captions.pickle").words)  # doctest: +SKIP
    27297
    """
    parts = _unpickle(path, WeightsError)
    if not isinstance(parts, list | tuple) or len(parts) != 4 or not isinstance(parts[2], Mapping):
        raise WeightsError(f"{path} is no captions.pickle of AttnGAN, a list of two splits and two dictionaries.")
    train, test, words, ids = parts
    for split in (train, test):
        if not isinstance(split, list) or not all(isinstance(caption, list) for caption in split):
            raise WeightsError(f"{path}: a split is no list of captions, each a list of word ids.")
    in_order = _in_order(path, words)
    if in_order[:1] != [END] or ids != {word: index for index, word in enumerate(in_order)}:
        raise WeightsError(
            f"{path} is no dictionary that AttnGAN trained with: word 0 is {END}, and both of its tables agree."
        )
    return PublishedCaptions(train, test, in_order)


def read_names(path: str | Path) -> list[str]:
    """AttnGAN's filenames.pickle: photographs by name, without extension. Raises DataError for any other file."""
    return _list_of(str, "names", path)


def read_classes(path: str | Path) -> list[int]:
    """AttnGAN's class_info.pickle: a class number per photograph, in a list or an array of numpy. Raises DataError."""
    return _list_of(int, "class numbers", path)


def _list_of(kind: type, what: str, path: str | Path) -> list[Any]:
    found = _unpickle(path, DataError)
    found = found.numbers if isinstance(found, _Array) else found
    if not isinstance(found, list | tuple) or not all(isinstance(item, kind) for item in found):
        raise DataError(f"{path} is no list of {what}, as AttnGAN's data folders hold it.")
    return list(found)


def _in_order(path: str | Path, words: Mapping[Any, Any]) -> list[str]:
    if set(words) != set(range(len(words))):
        raise WeightsError(f"{path}: the words are not numbered from 0 to {len(words) - 1} without a gap.")
    if not all(isinstance(word, str) for word in words.values()):
        raise WeightsError(f"{path}: not every word is a text.")
    return [words[index] for index in range(len(words))]


class _Vocabulary:
    """Stands for the published Vocabulary class."""


class _Base:
    """Stands for Python's `object`, the base that Python 2 wrote into such files."""


class _Number:
    """Stands for numpy.dtype while a pickle is read."""

    def __init__(self, name: str, *_: Any) -> None:
        if name not in _INTEGERS:
            raise pickle.UnpicklingError(f"it holds numbers of type {name!r}, not whole ones")
        self.kind = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.kind = self.kind.newbyteorder(">" if state[1] == ">" else "<")


class _Array:
    """Stands for numpy.ndarray: a row of whole numbers."""

    numbers: Sequence[int] = ()

    def __setstate__(self, state: tuple) -> None:
        _, shape, number, _, content = state
        if not isinstance(number, _Number) or not isinstance(shape, tuple) or len(shape) != 1:
            raise pickle.UnpicklingError("it holds an array that is not a row of whole numbers")
        self.numbers = np.frombuffer(_as_bytes(content), number.kind, count=shape[0]).tolist()


def _array(cls: type, *_: Any) -> _Array:
    if cls is not _Array:
        raise pickle.UnpicklingError("it holds an array of another kind than numpy's")
    return _Array()


def _reconstruct(cls: type, base: type, state: Any) -> Any:
    if cls is not _Vocabulary:
        raise pickle.UnpicklingError("it holds an object that is no Vocabulary")
    return cls()


def _encoded(text: str, _: str) -> bytes:
    """Bytes as Python 3 writes them to pickles that Python 2 can read."""
    return text.encode("latin1")


def _scalar(number: _Number, content: str | bytes) -> int:
    return int(np.frombuffer(_as_bytes(content), number.kind, count=1)[0])


def _as_bytes(content: str | bytes) -> bytes:
    return content.encode("latin1") if isinstance(content, str) else content


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    **{(module, "Vocabulary"): _Vocabulary for module in ("__main__", "build_vocab")},
    **{(module, "_reconstructor"): _reconstruct for module in ("copy_reg", "copyreg")},
    **{(module, "object"): _Base for module in ("__builtin__", "builtins")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Number,
    ("_codecs", "encode"): _encoded,
}


# Objects of other processes, and sizes that Python sets memory aside for before it reads on: not needed here.
_REFUSED = (
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
    *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
)


class _Reader(pickle._Unpickler):
    """The reader written in Python: the one in C sets aside whatever memory a file's memo claims to need."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _KNOWN:
            asked = f"{module}.{name}"[:_SHOWN]
            raise pickle.UnpicklingError(f"it asks for {asked!r}, which no such file needs, so it is refused")
        return _KNOWN[module, name]

    def load_build(self) -> None:
        if not isinstance(self.stack[-2], _Vocabulary | _Number | _Array):  # or a file could change other holders here
            raise pickle.UnpicklingError("it changes something that is no Vocabulary and no number")
        super().load_build()

    def _check_keys(self, keys: list[Any]) -> None:
        """Nested tuples as keys take for ever to hash."""
        if not all(isinstance(key, str | int) for key in keys):
            raise pickle.UnpicklingError("it has dictionary keys that are no words and no numbers")

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        self._check_keys(self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        self._check_keys(self.stack[::2])
        super().load_dict()

    def load_refused(self) -> None:
        raise pickle.UnpicklingError("it holds what no such file needs, so it is refused")

    dispatch = pickle._Unpickler.dispatch | dict.fromkeys((code[0] for code in _REFUSED), load_refused)
    dispatch |= {
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
    }


def _unpickle(path: str | Path, error_kind: type[Exception]) -> Any:
    try:
        with open(path, "rb") as file:
            return _Reader(file, encoding="latin1").load()  # Python 2's strings were bytes
    except OSError as error:
        raise error_kind(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # a damaged pickle fails in as many ways as there are opcodes
        why = mistaken(path) or f"{str(error) or type(error).__name__}. It is damaged, or of another program."
        raise error_kind(f"{path} is not a pickle that is read here: {why}") from error


def mistaken(path: str | Path) -> str | None:
    """What a file is that somebody took for a checkpoint or dictionary, and what to do; None where it may be one.

    >>> mistaken("page.html")  # doctest: +SKIP
    'it is a web page, so the download failed. Get the file anew.'
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(512)
    if not head.strip(b"\0"):
        return "it is empty or holds only zeros. Get the file anew."
    if head.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] == b"<":
        return "it is a web page, so the download failed. Get the file anew."
    names = _zipped(path)
    if names and not any("data.pkl" in name for name in names):
        return f"it is a zip of {', '.join(names[:5])}. Unpack it and give the file inside."
    return None


def _zipped(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # no zip, or a damaged one, which fails in many ways
        return []
