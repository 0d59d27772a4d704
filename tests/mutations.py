"""Files as somebody else may have written them. `FUZZ=5000 pytest -k "mutated or damaged"` tries more of them."""

from __future__ import annotations

import copy
import json
import os
import random
import struct
from typing import Any

TIMES = int(os.environ.get("FUZZ", "300"))


def damaged(content: bytes, noise: random.Random) -> bytes:
    """A file with a few bytes changed, mostly near its beginning, or the rest cut off."""
    changed = bytearray(content)
    for _ in range(noise.randint(1, 4)):
        reach = len(changed) if noise.random() < 0.5 else min(len(changed), 1000)
        changed[noise.randrange(reach)] = noise.randrange(256)
    return bytes(changed[: noise.randrange(len(changed))] if noise.random() < 0.2 else changed)


class Mutations:
    """Files of JSON like a given value, with a thing or two changed: another type, a number too large, a part gone."""

    ODD: tuple[Any, ...] = (
        *(None, True, -1, 0, 1.5, 10**30, 2**31, "", "<img src=x onerror=alert(1)>", "../../x", "\x1b[2J", "\udcff"),
        *([], {}, [[]], {"a": 1}, [None], ["x"] * 3, {"": {}}),
    )

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def __call__(self, value: Any) -> bytes:
        value = json.loads(json.dumps(value))
        for _ in range(self.random.randint(1, 2)):
            value = self._changed(value)
        text = json.dumps(value).encode()
        if self.random.random() < 0.1:
            text = text[: self.random.randrange(len(text))]
        return text

    def _changed(self, value: Any) -> Any:
        inner = isinstance(value, dict | list) and len(value) > 0 and self.random.random() < 0.85
        if not inner:
            return copy.deepcopy(self.random.choice(self.ODD))
        key = self.random.choice(list(value)) if isinstance(value, dict) else self.random.randrange(len(value))
        if self.random.random() < 0.15:
            del value[key]
        else:
            value[key] = self._changed(value[key])
        return value


# ---------------------------------------------------------------------------------------------------- bytes

_EXTREMES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def _flip(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 3, 30))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _write_extreme(content: bytearray, chance: random.Random) -> None:
    """A number where headers have theirs more often than elsewhere: sizes, counts and offsets."""
    packed = struct.pack(chance.choice("<>") + chance.choice("BHI"), 0)
    order = chance.choice(("little", "big"))
    at = chance.randrange(min(len(content), chance.choice((64, 400, len(content)))))
    value = chance.choice(_EXTREMES) % (1 << 8 * len(packed))
    content[at : at + len(packed)] = value.to_bytes(len(packed), order)


def _cut(content: bytearray, chance: random.Random) -> None:
    del content[max(1, chance.randrange(len(content))) :]


def _remove(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    del content[max(1, start) : start + chance.randrange(1, 64)]


def _repeat(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    stop = start + chance.choice((1, 12, 100, 1000))
    content[start:start] = content[start:stop] * chance.choice((1, 10, 300))


def splice(content: bytearray, chance: random.Random, other: bytes) -> None:
    """Go on with a part of another file."""
    content[chance.randrange(1, len(content) + 1) :] = other[chance.randrange(len(other)) :]


CHANGES = (_flip, _write_extreme, _write_extreme, _write_extreme, _cut, _remove, _repeat)  # headers have most numbers
