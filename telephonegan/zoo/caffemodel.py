"""Weights from Caffe's .caffemodel files, which are protocol buffers, read without Caffe and without code of theirs.

Only the fields that hold weights are read; everything else is skipped. Of a file from somebody else, every length is
checked against the bytes that are there before anything is taken from them.
https://protobuf.dev/programming-guides/encoding/ describes the format.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from telephonegan.errors import WeightsError
from telephonegan.files import substitute

_MOST_BYTES = 4_000_000_000
_MOST_LAYERS, _MOST_AXES = 10_000, 8
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5

# Numbers of fields in caffe.proto: of a network, of a layer in the new and the old form, of a blob.
_LAYER, _OLD_LAYER = 100, 2
_NAME_AND_BLOBS = {_LAYER: (1, 7), _OLD_LAYER: (4, 6)}
_SHAPE, _DATA, _DOUBLE_DATA, _OLD_SHAPE = 7, 5, 8, (1, 2, 3, 4)
_DIM = 1


def read_caffemodel(path: str | os.PathLike[str]) -> dict[str, list[np.ndarray]]:
    """The arrays of each layer that has any, by its name: usually weights and biases, float32, in Caffe's shapes.

    Raises WeightsError for a file that is missing, damaged or something else.

    >>> read_caffemodel("bvlc_reference_caffenet.caffemodel")["conv1"][0].shape  # doctest: +SKIP
    (96, 3, 11, 11)
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it is larger than {_MOST_BYTES:,} bytes")
        content = memoryview(path.read_bytes())
        if told := substitute(bytes(content[:512])):
            raise ValueError(told)
        found = dict(_layers(content))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from error
    except ValueError as error:
        raise WeightsError(f"{path} is not a .caffemodel file, or is damaged: {error}.") from error
    if not found:
        raise WeightsError(f"{path} holds no weights. Is it the .caffemodel, not the .prototxt?")
    return found


def _layers(content: memoryview) -> Iterator[tuple[str, list[np.ndarray]]]:
    count = 0
    for field, value in _fields(content):
        if field in _NAME_AND_BLOBS and isinstance(value, memoryview):
            count += 1
            if count > _MOST_LAYERS:
                raise ValueError(f"it has more than {_MOST_LAYERS} layers")
            name, blobs = _layer(value, *_NAME_AND_BLOBS[field])
            if blobs:
                yield name, blobs


def _layer(content: memoryview, name_field: int, blobs_field: int) -> tuple[str, list[np.ndarray]]:
    name, blobs = "", []
    for field, value in _fields(content):
        if field == name_field and isinstance(value, memoryview):
            name = bytes(value).decode("utf-8", errors="replace")
        elif field == blobs_field and isinstance(value, memoryview):
            blobs.append(_blob(value))
    return name, blobs


def _blob(content: memoryview) -> np.ndarray:
    """One array; its numbers are packed, or a field each as very old files have them."""
    shape: list[int] | None = None
    old: dict[int, int] = {}
    parts = []
    for field, value in _fields(content):
        if field == _SHAPE and isinstance(value, memoryview):
            shape = _dims(value)
        elif field in _OLD_SHAPE and isinstance(value, int):
            old[field] = value
        elif field in (_DATA, _DOUBLE_DATA):
            parts.append(_numbers(value, "<f4" if field == _DATA else "<f8"))
    numbers = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if shape is None:
        shape = [old.get(field, 1) for field in _OLD_SHAPE]
    if len(shape) > _MOST_AXES or math.prod(shape) != len(numbers):
        raise ValueError(f"an array of shape {tuple(shape[:_MOST_AXES])} has {len(numbers)} numbers")
    if not np.isfinite(numbers).all():
        raise ValueError("it contains numbers that are not finite")
    return numbers.reshape(shape)


def _dims(content: memoryview) -> list[int]:
    dims: list[int] = []
    for field, value in _fields(content):
        if field != _DIM:
            continue
        if isinstance(value, int):
            dims.append(value)
            continue
        place = 0
        while place < len(value):
            dim, place = _varint(value, place)
            dims.append(dim)
    return dims


def _numbers(value: int | memoryview, kind: str) -> np.ndarray:
    if not isinstance(value, memoryview) or len(value) % np.dtype(kind).itemsize:
        raise ValueError("its numbers do not fit their length")
    return np.frombuffer(value, kind).astype(np.float32)


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The number and the value of each field: a whole number, or bytes."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        field, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(content, place)
            yield field, value
            continue
        length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind)
        if kind == _BYTES:
            length, place = _varint(content, place)
        if length is None or not field:
            raise ValueError(f"there is no field of type {kind} at byte {place}")
        if length > len(content) - place:
            raise ValueError(f"it ends within a field of {length} bytes")
        yield field, content[place : place + length]
        place += length


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """A whole number of up to 64 bits, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            raise ValueError("it ends within a number")
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value & (2**64 - 1), place
    raise ValueError(f"a number at byte {place} has no end")


def tensors_of(layers: Mapping[str, list[np.ndarray]], names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Weights and biases under torch's names: `names` says which module a layer becomes. Raises WeightsError.

    >>> tensors_of({"fc8": [np.zeros((2, 3)), np.zeros(2)]}, {"fc8": "out"}).keys()
    dict_keys(['out.weight', 'out.bias'])
    """
    found = {}
    for layer, module in names.items():
        if len(layers.get(layer, ())) != 2:
            raise WeightsError(f"The file has no layer {layer!r} with weights and biases. It has {', '.join(layers)}.")
        weight, bias = layers[layer]
        found[f"{module}.weight"], found[f"{module}.bias"] = weight, bias.reshape(-1)
    return found
