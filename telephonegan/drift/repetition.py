"""Where a chain comes to rest: captions that repeat, cycles, and what it ends in."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Repetition:
    """How the captions of one chain repeat.

    - `first_fixed_point`: the first round whose caption equals that of the round before; None where none does. With
      fresh noise in every round a chain may leave it again.
    - `period` of the cycle that the captions end in: 1 is a fixed point, None means that none was seen.
    - `attractor`: the captions of that cycle, or the last caption alone where there is no cycle.
    """

    first_fixed_point: int | None
    period: int | None
    attractor: tuple[Any, ...]

    @classmethod
    def of(cls, captions: Sequence[Hashable]) -> Repetition:
        """Of the captions of every round, round 0 first: texts or tuples of words.

        >>> Repetition.of(["a", "b", "c", "b", "c"])
        Repetition(first_fixed_point=None, period=2, attractor=('b', 'c'))
        """
        return cls(first_fixed_point(captions), final_period(captions), final_attractor(captions))


def first_fixed_point(captions: Sequence[Hashable]) -> int | None:
    """The first round t ≥ 1 whose caption equals that of round t-1; None where none does.

    >>> first_fixed_point(["a", "b", "b", "c"])
    2
    """
    return next((t for t in range(1, len(captions)) if captions[t] == captions[t - 1]), None)


def final_period(captions: Sequence[Hashable]) -> int | None:
    """The smallest p for which the last 2p captions are the same p captions twice; None where there is none.

    A cycle thus counts only when it has been gone through twice: of n captions the longest that can be seen is n // 2.

    >>> final_period(["x", "a", "b", "a", "b"]), final_period(["a", "b", "a"])
    (2, None)
    """
    end = len(captions)
    laps = (p for p in range(1, end // 2 + 1) if captions[end - p :] == captions[end - 2 * p : end - p])
    return next(laps, None)


def final_attractor(captions: Sequence[Hashable]) -> tuple[Any, ...]:
    """The captions of the cycle a chain ends in, or its last caption alone; empty without captions.

    A cycle begins with its least caption, so that chains caught in the same one have equal attractors.

    >>> final_attractor(["x", "b", "a", "b", "a"]), final_attractor(["x", "y"])
    (('a', 'b'), ('y',))
    """
    lap = list(captions[len(captions) - (final_period(captions) or 1) :]) if captions else []
    rotations = (tuple(lap[i:] + lap[:i]) for i in range(len(lap)))
    return min(rotations, default=())
