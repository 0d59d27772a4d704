"""Records as somebody else may have written them."""

from __future__ import annotations

import copy
import json
import random
from typing import Any


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
