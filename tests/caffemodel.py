"""Writes .caffemodel files, in the new form and the old one."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np


def varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array: np.ndarray, *, old: bool = False) -> bytes:
    numbers = field(5, np.asarray(array, "<f4").tobytes())
    if old:
        shape = (1,) * (4 - array.ndim) + array.shape
        return b"".join(varint(number << 3) + varint(side) for number, side in enumerate(shape, 1)) + numbers
    return field(7, field(1, b"".join(map(varint, array.shape)))) + numbers


def caffemodel(layers: Mapping[str, Sequence[np.ndarray]], *, old: bool = False) -> bytes:
    """A network of these layers, with a name and a loss of which nothing is needed."""
    own, (number, name, blobs) = b"", (2, 4, 6) if old else (100, 1, 7)
    for title, arrays in layers.items():
        content = field(name, title.encode()) + b"".join(field(blobs, blob(each, old=old)) for each in arrays)
        content += varint(5 << 3 | 5) + struct.pack("<f", 1.0)
        own += field(number, content)
    return field(1, b"a network") + own
