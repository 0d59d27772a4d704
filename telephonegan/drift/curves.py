"""Rows of similarities as matrices: chains down, rounds across."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from telephonegan.errors import DataError


@dataclass(frozen=True, eq=False)
class Curves:
    """`values` (N,T) of N chains in T rounds, NaN where unmeasured; `chains` and `sources` (N,), `rounds` (T,)."""

    chains: tuple[str, ...]
    sources: tuple[str, ...]
    rounds: np.ndarray
    values: np.ndarray


def pivot(
    rows: Iterable[Mapping[str, Any]],
    measure: str,
    *,
    to: Literal["start", "previous"] = "start",
    like: Curves | None = None,
    rounds: Sequence[int] | np.ndarray | None = None,
) -> Curves:
    """The values of one measure, compared with the start or with the round before, as `Curves` sorted by chain.

    Chains and rounds are those of any row of the measure, so that both comparisons have one shape. `like` gives the
    chains and their order instead, so that floor and ceiling stand beside what they belong to, and `rounds` the rounds:
    others are left out, what has no row is NaN. Raises DataError where no row is of that measure.

    >>> pivot([dict(chain="a", source="s", seed=0, round=1, measure="bleu", to="start", value=0.5)], "bleu").values
    array([[0.5]])
    """
    rows = list(rows)
    found = [row for row in rows if row["measure"] == measure]
    if not found:
        there = ", ".join(sorted({row["measure"] for row in rows})) or "none at all"
        raise DataError(f"There is no row of {measure}. There are: {there}.")
    if like is None:
        source_of = dict(sorted({row["chain"]: row["source"] for row in found}.items()))
        chains, sources = tuple(source_of), tuple(source_of.values())
    else:
        chains, sources = like.chains, like.sources
    place = {chain: i for i, chain in enumerate(chains)}
    rounds = np.array(sorted({row["round"] for row in found}) if rounds is None else rounds)
    column = {number: i for i, number in enumerate(rounds.tolist())}
    values = np.full((len(chains), len(rounds)), np.nan)
    for row in found:
        if row["to"] == to and row["chain"] in place and row["round"] in column:
            values[place[row["chain"]], column[row["round"]]] = row["value"]
    return Curves(chains, sources, rounds, values)
