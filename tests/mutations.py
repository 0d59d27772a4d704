"""Files as somebody else may have written them. `FUZZ=5000 pytest -k "mutated or damaged"` tries more of them."""

from __future__ import annotations

import copy
import json
import os
import random
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
