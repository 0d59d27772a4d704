"""What is remembered longest: colours, numbers, objects or actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from telephonegan.figures.curves import similarity_curves
from telephonegan.figures.style import styled


@styled
def survival_curves(rounds: Sequence[int] | np.ndarray, shares: Mapping[str, Any], axes: Axes | None = None) -> Axes:
    """One line per kind of word: the share (0 to 1) of the words of round 0 that round t still says.

    `shares` gives for each kind an `Estimate` of arrays (T,), or one array (T,); see `drift.survival`.
    """
    axes = similarity_curves(rounds, shares, axes, ylabel="share of words still said")
    axes.set_ylim(0, 1.02)
    return axes
