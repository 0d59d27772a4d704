"""Rows of similarities as matrices: chains down, rounds across."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

    def of_rounds(self, first: int, last: int) -> Curves:
        """The same chains in the rounds `first` to `last`, both included."""
        kept = (self.rounds >= first) & (self.rounds <= last)
        return Curves(self.chains, self.sources, self.rounds[kept], self.values[:, kept])


def pivot(
    rows: Iterable[Mapping[str, Any]],
    measure: str,
    *,
    to: Literal["start", "previous"] = "start",
    like: Curves | None = None,
) -> Curves:
    """The values of one measure, compared with the start or with the round before, as `Curves` sorted by chain.

    `like` gives the chains and their order, so that floor and ceiling stand beside what they belong to: chains it does
    not hold are left out, chains without a row are NaN. Raises DataError where no row is of that measure.

    >>> pivot([dict(chain="a", source="s", seed=0, round=1, measure="bleu", to="start", value=0.5)], "bleu").values
    array([[0.5]])
    """
    rows = list(rows)
    wanted = [row for row in rows if row["measure"] == measure and row["to"] == to]
    if not wanted:
        there = ", ".join(sorted({f"{row['measure']} ({row['to']})" for row in rows})) or "none at all"
        raise DataError(f"There is no row of {measure} ({to}). There are: {there}.")
    if like is None:
        source_of = dict(sorted({row["chain"]: row["source"] for row in wanted}.items()))
        chains, sources = tuple(source_of), tuple(source_of.values())
    else:
        chains, sources = like.chains, like.sources
    place = {chain: i for i, chain in enumerate(chains)}
    rounds = sorted({row["round"] for row in wanted})
    column = {number: i for i, number in enumerate(rounds)}
    values = np.full((len(chains), len(rounds)), np.nan)
    for row in wanted:
        if row["chain"] in place:
            values[place[row["chain"]], column[row["round"]]] = row["value"]
    return Curves(chains, sources, np.array(rounds), values)
