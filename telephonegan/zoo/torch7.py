"""A safe reader for files of Torch7 (`.t7`), as `torch.save` wrote them in Lua: nothing in them is ever run.

Tables, numbers, texts and tensors become Python's own; modules of `nn` become an `Object` with their fields. A file
that contains a function is refused. Sizes that a file claims are checked against the file before memory is taken.
"""

from __future__ import annotations

import math
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from telephonegan.errors import WeightsError
from telephonegan.zoo.legacy_pickles import mistaken

_NIL, _NUMBER, _TEXT, _TABLE, _OBJECT, _BOOLEAN, _FUNCTIONS = 0, 1, 2, 3, 4, 5, (6, 7, 8)
_TYPES = {
    "Byte": "u1",
    "Char": "i1",
    "Short": "<i2",
    "Int": "<i4",
    "Long": "long",
    "Half": "<f2",
    "Float": "<f4",
    "Double": "<f8",
    "": "<f4",  # torch.CudaTensor
}
_LONGS = {8: "<i8", 4: "<i4"}
_DEEPEST = 2000  # objects within objects: unrolled networks are long chains of nodes
_FRAMES = 4  # of Python, for one of them


@dataclass
class Object:
    """An object of any class of Lua's: its name, such as "nn.Linear", and its fields."""

    name: str
    fields: dict[Any, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __contains__(self, name: str) -> bool:
        return name in self.fields


class _Refused(Exception):
    """A file is well-formed and still not read."""


def read_t7(path: str | Path, *, long_bytes: int | None = None) -> Any:
    """The object in a binary Torch7 file: dictionaries (see `items` for lists), numbers, texts, arrays and `Object`.

    `long_bytes` is the size of Torch's longs on the machine that wrote it, 8 or, under Windows, 4; None tries both.
    Text is read as latin-1. Raises WeightsError for a file that is damaged, of another kind, or contains a function.

    >>> read_t7("lm_sje_nc4_cub_hybrid_gru18_a1_c512_0.00070_1_10_trainvalids.txt_iter30000.t7")  # doctest: +SKIP
    """
    path, problem = Path(path), ""
    for size in (8, 4) if long_bytes is None else (long_bytes,):
        try:
            with path.open("rb") as file, _deep_recursion():
                return _Reader(file, size, os.fstat(file.fileno()).st_size).whole()
        except OSError as error:
            raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
        except _Refused as error:
            raise WeightsError(f"{path} is refused: {error}") from error
        except (ValueError, struct.error) as error:
            problem = problem or str(error) or type(error).__name__
    why = mistaken(path) or f"{problem}. It is incomplete or damaged: download it again."
    raise WeightsError(f"{path} is not a binary Torch7 file that can be read: {why}")


@contextmanager
def _deep_recursion() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + _FRAMES * _DEEPEST)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


class _Reader:
    def __init__(self, file: BinaryIO, long_bytes: int, size: int) -> None:
        self._file, self._long, self._size = file, _LONGS[long_bytes], size
        self._known: dict[int, Any] = {}
        self._where: list[str] = []

    def whole(self) -> Any:
        found = self.read()
        if self._file.read(1):
            raise ValueError("something follows its end")
        return found

    def read(self) -> Any:
        kind = self._int()
        if kind == _NIL:
            return None
        if kind == _NUMBER:
            (number,) = struct.unpack("<d", self._bytes(8))
            return int(number) if number.is_integer() else number
        if kind == _TEXT:
            return self._text()
        if kind == _BOOLEAN:
            return bool(self._int())
        if kind in _FUNCTIONS:
            where = ".".join(self._where) or "the file itself"
            raise _Refused(
                f"it contains a function ({where}), which would be code to run. Save the model without it, such as its "
                "weights only."
            )
        if kind not in (_TABLE, _OBJECT):
            raise ValueError(f"it has an object of the unknown type {kind}")
        return self._shared(kind)

    def _shared(self, kind: int) -> Any:
        """A table or object, which may be referred to again, even from within itself."""
        number = self._int()
        if number in self._known:
            return self._known[number]
        if len(self._where) > _DEEPEST:
            raise ValueError(f"its objects are nested more than {_DEEPEST} deep")
        return self._table(number) if kind == _TABLE else self._object(number)

    def _table(self, number: int) -> Any:
        found: dict[Any, Any] = {}
        self._known[number] = found
        for _ in range(self._count(self._int(), 8)):
            key = self.read()
            if isinstance(key, dict | list | np.ndarray | Object):
                raise ValueError("a key of a table is neither a text nor a number")
            self._where.append(str(key))
            found[key] = self.read()
            self._where.pop()
        return found

    def _object(self, number: int) -> Any:
        name = self._text()
        if name.startswith("V "):
            name = self._text()
        package, _, kind = name.partition(".")
        for suffix, read in (("Tensor", self._tensor), ("Storage", self._storage)):
            numbers = kind.removesuffix(suffix).removeprefix("Cuda")
            if package == "torch" and kind.endswith(suffix) and numbers in _TYPES:
                self._known[number] = read(numbers)
                return self._known[number]
        found = self._known[number] = Object(name)
        contents = self.read()
        if not isinstance(contents, dict):
            raise ValueError(f"an object of the class {name[:100]} has no fields")
        found.fields = contents
        return found

    def _tensor(self, _: str) -> np.ndarray | None:
        dimensions = self._count(self._int(), 8)
        sizes, strides = self._longs(dimensions), self._longs(dimensions)
        (offset,) = self._longs(1)
        storage = self.read()
        if storage is None or not dimensions:
            return None
        if not isinstance(storage, np.ndarray) or min(sizes) < 1 or min(strides) < 0:
            raise ValueError("it has a damaged tensor")
        last = offset - 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if offset < 1 or last >= len(storage) or math.prod(sizes) > len(storage):
            raise ValueError("it has a tensor larger than its numbers")
        steps = [stride * storage.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(storage[offset - 1 :], sizes, steps, writeable=False).copy()

    def _storage(self, numbers: str) -> np.ndarray:
        dtype = np.dtype(self._long if _TYPES[numbers] == "long" else _TYPES[numbers])
        (length,) = self._longs(1)
        return np.frombuffer(self._bytes(self._count(length, dtype.itemsize) * dtype.itemsize), dtype)

    def _text(self) -> str:
        return self._bytes(self._count(self._int(), 1)).decode("latin-1")

    def _longs(self, count: int) -> list[int]:
        dtype = np.dtype(self._long)
        return np.frombuffer(self._bytes(count * dtype.itemsize), dtype).tolist()

    def _int(self) -> int:
        return struct.unpack("<i", self._bytes(4))[0]

    def _count(self, count: int, item: int) -> int:
        """A number of items of at least so many bytes each, which must fit into the rest of the file."""
        if not 0 <= count <= (self._size - self._file.tell()) // item:
            raise ValueError(f"it claims {count} items at byte {self._file.tell()}, more than it holds")
        return count

    def _bytes(self, count: int) -> bytes:
        found = self._file.read(count)
        if len(found) < count:
            raise ValueError(f"it ends at byte {self._file.tell()}, within an object")
        return found


def items(table: Any) -> Sequence[Any]:
    """The values of a Lua list, a table with the keys 1, 2, 3, …, in order; ValueError for anything else.

    >>> items({1: "a", 2: "b"})
    ['a', 'b']
    """
    if not isinstance(table, dict) or set(table) != set(range(1, len(table) + 1)):
        raise ValueError("a list was expected")
    return [table[number] for number in range(1, len(table) + 1)]
