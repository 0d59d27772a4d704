"""One model out of several runs: the mean of their weights (Wortsman et al., "Model soups", 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from telephonegan.errors import SettingsError

_ALIKE = "recipe", "network", "vocabulary"
_KIN = 0.5  # cosine of a weight matrix in two runs: above 0.7 after long separate training, about 0 for unrelated runs


def check_alike(records: Sequence[dict[str, Any]]) -> None:
    """Raises SettingsError unless the runs trained the same network for the same words."""
    for part in _ALIKE:
        if any(record[part] != records[0][part] for record in records):
            raise SettingsError(
                f"These runs differ in their {part}, so their weights cannot be averaged. "
                "Name runs that were started with --from one another, or from the same run."
            )


def mean_weights(runs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over the runs; what counts in whole numbers is the first run's.

    Raises SettingsError for runs that do not share their start, because they are in different valleys of the loss.

    >>> mean_weights([{"bias": torch.tensor([0.0])}, {"bias": torch.tensor([1.0])}])["bias"]
    tensor([0.5000])
    """
    for name, tensor in runs[0].items():
        if tensor.is_floating_point() and tensor.dim() > 1:
            alike = min(float(F.cosine_similarity(tensor.flatten(), run[name].flatten(), dim=0)) for run in runs)
            if alike < _KIN:
                raise SettingsError(
                    f"{name} of these runs has a cosine of {alike:.2f}: they do not share their start, and the mean "
                    "of their weights would be useless. Name runs that were started with --from one another."
                )
    return {
        name: torch.stack([run[name] for run in runs]).mean(0) if tensor.is_floating_point() else tensor
        for name, tensor in runs[0].items()
    }
