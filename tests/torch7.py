"""Writes files of Torch7, to be read in tests: what `torch.save` of Lua would write for the same objects."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_NAMES = {
    **{"f2": "Half", "f4": "Float", "f8": "Double", "u1": "Byte"},
    **{"i1": "Char", "i2": "Short", "i4": "Int", "i8": "Long"},
}


@dataclass(eq=False)
class LuaObject:
    """An object of a class of Lua, with its fields."""

    name: str
    fields: dict[Any, Any] = field(default_factory=dict)


class LuaFunction:
    """A function, of which only the bytes are there."""


class CudaArray:
    """An array that is written as torch.CudaTensor."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.asarray(array, np.float32)


class Writer:
    """Writes objects; `long_bytes` is 4 under Windows."""

    def __init__(self, long_bytes: int = 8) -> None:
        self.long_bytes, self.parts, self.numbers, self.kept = long_bytes, [], {}, []

    def int(self, *values: int) -> None:
        self.parts.append(struct.pack(f"<{len(values)}i", *values))

    def long(self, *values: int) -> None:
        self.parts.append(struct.pack(f"<{len(values)}{'q' if self.long_bytes == 8 else 'i'}", *values))

    def text(self, text: str) -> None:
        self.int(len(text))
        self.parts.append(text.encode("latin-1"))

    def write(self, value: Any) -> None:
        if value is None:
            self.int(0)
        elif isinstance(value, bool):
            self.int(5, value)
        elif isinstance(value, int | float):
            self.int(1)
            self.parts.append(struct.pack("<d", value))
        elif isinstance(value, str):
            self.int(2)
            self.text(value)
        elif isinstance(value, LuaFunction):
            self.int(8, 1, 3)
            self.parts.append(b"\x1bLJ")
            self.write(None)
        else:
            self._shared(value)

    def _shared(self, value: Any) -> None:
        is_table = isinstance(value, dict | list)
        self.int(3 if is_table else 4)
        is_new = id(value) not in self.numbers
        number = self.numbers.setdefault(id(value), len(self.numbers) + 1)
        self.kept.append(value)
        self.int(number)
        if not is_new:
            return
        if is_table:
            self._table(value if isinstance(value, dict) else dict(enumerate(value, 1)))
        elif isinstance(value, LuaObject):
            self.text("V 1")
            self.text(value.name)
            self.write(value.fields)
        else:
            array, prefix = (value.array, "Cuda") if isinstance(value, CudaArray) else (value, "")
            self._tensor(array, prefix)

    def _table(self, table: dict[Any, Any]) -> None:
        self.int(len(table))
        for key, each in table.items():
            self.write(key)
            self.write(each)

    def _tensor(self, array: np.ndarray, prefix: str) -> None:
        kind = array.dtype.str[1:]
        name = prefix + ("" if prefix and kind == "f4" else _NAMES[kind])
        self.text("V 1")
        self.text(f"torch.{name}Tensor")
        self.int(array.ndim)
        self.long(*array.shape)
        self.long(*(stride // array.itemsize for stride in array.strides))
        self.long(1)
        self.int(4, len(self.numbers) + 1)
        self.numbers[object()] = len(self.numbers) + 1
        self.text("V 1")
        self.text(f"torch.{name}Storage")
        self.long(array.size)
        if kind == "i8" and self.long_bytes == 4:
            array = array.astype("<i4")
        self.parts.append(np.ascontiguousarray(array).tobytes())


def write_t7(path: Path, value: Any, *, long_bytes: int = 8) -> Path:
    """Write an object, and return the path."""
    writer = Writer(long_bytes)
    writer.write(value)
    path.write_bytes(b"".join(writer.parts))
    return path
