"""A safe reader for the pickled dictionaries and lists of published projects, which never runs a pickle's code.

A pickle may name any function of any module and have it called. This reader maps the few functions such files need to
harmless placeholders; any other name may only be the class of an object, of which the attributes are kept. A file that
calls anything else is refused.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from telephonegan.errors import DataError, WeightsError
from telephonegan.files import substitute
from telephonegan.records import read_json
from telephonegan.text import END

_SHOWN = 100
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TYPES = re.compile("[iu][1248]|O8?|[US][0-9]{1,5}")  # integers, objects, fixed-length strings
# Names of the tables in vocabularies: words by id, and ids by word.
_WORDS_BY_ID = ("idx2word", "itos", "index2word", "id2word", "i2w", "ix_to_word")
_IDS_BY_WORD = ("word2idx", "stoi", "word2index", "word2id", "w2i", "word_to_ix")


@dataclass(frozen=True)
class PublishedCaptions:
    """AttnGAN's captions.pickle: captions as word ids, by photograph in the order of its filenames, and the words."""

    train: list[list[int]]
    test: list[list[int]]
    words: list[str]


def read_vocabulary(path: str | Path) -> list[str]:
    """Words of a vocabulary by id: an object of any class with idx2word, itos, word2idx … or such a table alone.

    It may be a file of JSON, such as WORDMAP.json. Raises WeightsError for any other file.

    >>> read_vocabulary("vocab.pkl")[:4]  # doctest: +SKIP
    ['<pad>', '<start>', '<end>', '<unk>']
    """
    found = read_json(Path(path), error=WeightsError) if _is_json(path) else _unpickle(path, WeightsError)
    table = vars(found) if isinstance(found, Object) else found if isinstance(found, Mapping) else {}
    named = (table.get(name) for name in (*_WORDS_BY_ID, *_IDS_BY_WORD))
    words = next((each for each in named if _is_table(each)), found)
    if not _is_table(words):
        raise WeightsError(f"{path} has no vocabulary: a table of words and their numbers, such as idx2word.")
    if isinstance(words, Mapping) and all(isinstance(key, str) for key in words):
        words = {number: word for word, number in words.items() if isinstance(number, int)}
    return _in_order(path, words if isinstance(words, Mapping) else dict(enumerate(_items(words))))


def read_captions(path: str | Path) -> PublishedCaptions:
    """AttnGAN's captions.pickle: [train, test, words by id, ids by word]. Raises WeightsError for any other file.

    >>> len(read_captions("data/coco/captions.pickle").words)  # doctest: +SKIP
    27297
    """
    parts = _items(_unpickle(path, WeightsError))
    if parts is None or len(parts) != 4 or not isinstance(parts[2], Mapping):
        raise WeightsError(f"{path} is not AttnGAN's captions.pickle, a list of two splits and two dictionaries.")
    splits = [_rows(part) for part in parts[:2]]
    if None in splits:
        raise WeightsError(f"{path}: a split is not a list of captions, each a list of word ids.")
    in_order = _in_order(path, parts[2])
    if in_order[:1] != [END] or parts[3] != {word: index for index, word in enumerate(in_order)}:
        raise WeightsError(
            f"{path} is not a dictionary AttnGAN was trained with: word 0 must be {END}, and its two tables must agree."
        )
    return PublishedCaptions(*splits, in_order)


def read_names(path: str | Path) -> list[str]:
    """AttnGAN's filenames.pickle: photographs by name, without extension. Raises DataError for any other file."""
    return _list_of(str, "names", path)


def read_classes(path: str | Path) -> list[int]:
    """AttnGAN's class_info.pickle: a class number per photograph. Raises DataError for any other file."""
    return _list_of(int, "class numbers", path)


def _is_json(path: str | Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(512).removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] in (b"{", b"[")
    except OSError:
        return False


def _list_of(kind: type, what: str, path: str | Path) -> list[Any]:
    found = _items(_unpickle(path, DataError))
    if found is None or not all(isinstance(item, kind) for item in found):
        raise DataError(f"{path} is not a list of {what} as in AttnGAN's data folders.")
    return found


def _items(value: Any) -> list[Any] | None:
    """The items of a list, tuple or array; None for anything else."""
    if isinstance(value, _Array):
        return value.items
    return list(value) if isinstance(value, list | tuple) else None


def _rows(split: Any) -> list[list[int]] | None:
    rows = [_items(caption) for caption in _items(split) or ()]
    return None if _items(split) is None or None in rows else rows


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or all(isinstance(item, str) for item in _items(value) or [None])


def _in_order(path: str | Path, words: Mapping[Any, Any]) -> list[str]:
    if set(words) != set(range(len(words))):
        raise WeightsError(f"{path}: the words are not numbered from 0 to {len(words) - 1} without a gap.")
    if not all(isinstance(word, str) for word in words.values()):
        raise WeightsError(f"{path}: not every word is a text.")
    return [words[index] for index in range(len(words))]


# ---------------------------------------------------------------------------------------------------- holders


class Object:
    """Stands for an object of any class: its attributes and nothing else."""


@dataclass(frozen=True)
class _Name:
    """A name in a file, which may be the class of an object and is never called."""

    module: str
    name: str

    def __call__(self, *_: Any) -> Any:
        raise pickle.UnpicklingError(f"it asks for {str(self)!r}, which such files do not need, so it is refused")

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:_SHOWN]

    @property
    def __name__(self) -> str:
        return self.name


class _Type:
    """Stands for numpy.dtype while a pickle is read."""

    def __init__(self, name: str, *_: Any) -> None:
        if not _TYPES.fullmatch(name):
            raise pickle.UnpicklingError(f"it contains values of type {name!r}, neither whole numbers nor text")
        self.kind = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        self.kind = self.kind.newbyteorder(">" if state[1] == ">" else "<")


class _Array:
    """Stands for a numpy array while a pickle is read; `items` is what it holds, as lists."""

    items: list[Any] | None = None

    def __setstate__(self, state: tuple) -> None:
        shape, number, by_columns, content = state[-4:]
        self._fill(content, number, shape, "F" if by_columns else "C")

    def _fill(self, content: Any, number: _Type, shape: tuple[int, ...], order: str) -> None:
        if not isinstance(number, _Type) or not 1 <= len(shape) <= 2:
            raise pickle.UnpicklingError("it contains an array that is neither a list nor a table")
        if number.kind.hasobject:
            if len(shape) != 1 or not isinstance(content, list) or len(content) != shape[0]:
                raise pickle.UnpicklingError("it contains an array of objects that is not a list")
            self.items = content
            return
        raw = content.encode("latin1") if isinstance(content, str) else bytes(content)
        if math.prod(shape) * number.kind.itemsize != len(raw):
            raise pickle.UnpicklingError("it contains a damaged array")
        values = np.frombuffer(raw, number.kind).reshape(shape, order=order)
        self.items = (np.char.decode(values, "latin1") if number.kind.kind == "S" else values).tolist()


def _reconstruct(cls: Any, base: type, state: Any) -> Object:
    if not isinstance(cls, _Name) or base is not object or state is not None:
        raise pickle.UnpicklingError("it contains an object whose base is not `object`")
    return Object()


def _encoded(text: str, _: str) -> bytes:
    """Bytes as Python 3 writes them to pickles that Python 2 can read."""
    return text.encode("latin1")


def _scalar(number: _Type, content: str | bytes) -> int | str:
    if isinstance(number, _Name):
        number()
    array = _Array()
    array._fill(content, number, (1,), "C")
    return array.items[0]


def _empty_array(*_: Any) -> _Array:
    return _Array()


def _array(content: bytes, number: _Type, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array._fill(content, number, shape, order)
    return array


def _dictionary(pairs: Any = ()) -> dict[Any, Any]:
    """An OrderedDict or Counter, which may come with its pairs."""
    if not isinstance(pairs, dict):
        _check_keys(key for key, _ in pairs)
    return dict(pairs)


def _default_dictionary(*_: Any) -> dict[Any, Any]:
    return {}


def _check_keys(keys: Any, allowed: tuple[type, ...] = (str, int)) -> None:
    """Refuse nested tuples as keys, which can take forever to hash."""
    if not all(isinstance(key, allowed) for key in keys):
        raise pickle.UnpicklingError("it has dictionary keys that are neither words nor numbers")


KNOWN: dict[tuple[str, str], Any] = {
    **{(module, "_reconstructor"): _reconstruct for module in ("copy_reg", "copyreg")},
    **{(module, "object"): object for module in ("__builtin__", "builtins")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array for core in ("core", "_core")},
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
    ("collections", "OrderedDict"): _dictionary,
    ("collections", "Counter"): _dictionary,
    ("collections", "defaultdict"): _default_dictionary,
}


# Persistent objects, and containers that are not needed here.
_REFUSED = (
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
    *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
)


class _Bounded:
    """A file that is asked for no more than it has: Python allocates what is asked for before it reads."""

    _LARGE = 65536

    def __init__(self, file: Any) -> None:
        self._file, self._size, self.readline = file, _size_of(file), file.readline

    def read(self, size: int) -> bytes:
        return self._file.read(size if size <= self._LARGE else min(size, max(0, self._size - self._file.tell())))


class Reader(pickle._Unpickler):
    """The unpickler written in Python: the one in C allocates whatever memory a file's memo claims to need."""

    known: Mapping[tuple[str, str], Any] = KNOWN
    keys: tuple[type, ...] = (str, int)

    def __init__(self, file: Any, **_: Any) -> None:
        super().__init__(_Bounded(file), encoding="latin1")  # Python 2's strings were bytes
        self._file = file

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        return self.known.get((module, name)) or _Name(module, name)

    def load_build(self) -> None:
        if type(self.stack[-2]) not in (Object, _Type, _Array):  # or a file could change this module's own holders
            raise pickle.UnpicklingError("it changes something that is neither an object nor a number")
        super().load_build()

    def load_newobj(self) -> None:
        args = self.stack.pop()
        self._instantiate(self.stack.pop(), args)

    def load_newobj_ex(self) -> None:
        named, args = self.stack.pop(), self.stack.pop()
        self._instantiate(self.stack.pop(), args or named)

    def _instantiate(self, cls: Any, args: Any) -> None:
        if not isinstance(cls, _Name):
            raise pickle.UnpicklingError("it contains an object without a class")
        self.append(cls() if args else Object())

    def load_bytearray8(self) -> None:
        """Python would allocate as much memory as a bytearray claims to need."""
        (size,) = struct.unpack("<Q", self.read(8))
        if size > _size_of(self._file):
            raise pickle.UnpicklingError("it is cut short")
        self.append(self.read(size))

    def load_setitem(self) -> None:
        _check_keys(self.stack[-2:-1], self.keys)
        super().load_setitem()

    def load_setitems(self) -> None:
        _check_keys(self.stack[::2], self.keys)
        super().load_setitems()

    def load_dict(self) -> None:
        _check_keys(self.stack[::2], self.keys)
        super().load_dict()

    def load_refused(self) -> None:
        raise pickle.UnpicklingError("it uses a feature that such files do not need, so it is refused")

    dispatch = pickle._Unpickler.dispatch | dict.fromkeys((code[0] for code in _REFUSED), load_refused)
    dispatch |= {
        pickle.BUILD[0]: load_build,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
    }


def _size_of(file: Any) -> int:
    return file.getbuffer().nbytes if isinstance(file, BytesIO) else os.fstat(file.fileno()).st_size


def _refuse_names(found: Any) -> None:
    """Refuse a name that is not even the class of an object. Attributes of objects may be named, and are not read."""
    seen: set[int] = set()
    level = [[found]]
    while level:
        inner = []
        for values in level:
            kinds = set(map(type, values))
            if _Name in kinds:
                next(value for value in values if isinstance(value, _Name))()
            if kinds & {list, tuple, dict, _Array}:
                parts = [each for each in values if isinstance(each, list | tuple | dict | _Array)]
                inner += [part for part in parts if id(part) not in seen]
                seen.update(map(id, parts))
        level = [part.values() if isinstance(part, dict) else _items(part) or () for part in inner]


def _unpickle(path: str | Path, error_kind: type[Exception]) -> Any:
    try:
        with open(path, "rb") as file:
            found = Reader(file).load()
        _refuse_names(found)
        return found
    except OSError as error:
        raise error_kind(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # a damaged pickle fails in as many ways as there are opcodes
        why = mistaken(path) or f"{str(error) or type(error).__name__}. It is damaged, or from another program."
        raise error_kind(f"{path} is not a pickle that can be read: {why}") from error


# ---------------------------------------------------------------------------------------------------- mistakes

_BEGINNINGS = {
    b"<": "it is a web page, so the download failed. Download the file again.",
    b"\x1f\x8b": "it is compressed with gzip. Unpack it and give the file inside.",
    b"BZh": "it is compressed with bzip2. Unpack it and give the file inside.",
    b"\xfd7zXZ": "it is compressed with xz. Unpack it and give the file inside.",
    b"7z\xbc\xaf": "it is a 7z archive. Unpack it and give the file inside.",
    b"Rar!": "it is a RAR archive. Unpack it and give the file inside.",
    b"\x89HDF": "it is an HDF5 file, as Keras writes them, not one of PyTorch.",
    b"{": "it is JSON text: a server's answer, or the wrong file.",
}


def mistaken(path: str | Path) -> str | None:
    """What a file mistaken for a checkpoint or dictionary is, and what to do; None if it may be one.

    >>> mistaken("page.html")  # doctest: +SKIP
    'it is a web page, so the download failed. Download the file again.'
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(512)
    if not head.strip(b"\0"):
        return "it is empty or contains only zeros. Download the file again."
    if instead := substitute(head):
        return instead
    start = head.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if known := next((what for beginning, what in _BEGINNINGS.items() if start.startswith(beginning)), None):
        return known
    if head[257:262] == b"ustar":
        return "it is a tar archive. Unpack it and give the file inside."
    if head[8:10] == b'{"':
        return "it is a safetensors file; a checkpoint written by torch.save is needed."
    return _mistaken_zip(path) if head.startswith(b"PK") else None


def _mistaken_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # damaged zips fail in many ways
        return f"it is incomplete, {path.stat().st_size:,} bytes: the download broke off. Download it again."
    if any("data.pkl" in name for name in names):
        return None
    inner = next((name for name in names if name.endswith(".zip")), None)
    then = f"Unpack it, then {inner} in it" if inner else "Unpack it"
    return f"it is a zip of {', '.join(names[:5])}. {then}, and give the file inside."
