"""Averages of weights: the moving average of one run, which is exported, and the mean of several runs.

The mean of runs that share their start: Wortsman et al., "Model soups" (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from telephonegan.errors import SettingsError

_ALIKE = "recipe", "network", "vocabulary"
_KIN = 0.5  # cosine of a weight matrix in two runs: above 0.7 after long separate training, about 0 for unrelated runs


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, keep: float, *, statistics: bool = True) -> None:
    """Update a moving average: `keep` (0–1) of `average` and the rest of `net`, in place.

    Batch-norm statistics are averaged like the parameters. With `statistics=False` they are copied from `net`, as the
    published AttnGAN did.
    """
    parameters = {name for name, _ in average.named_parameters()}
    moved: list[tuple[Tensor, Tensor]] = []
    for (name, mean), now in zip(average.state_dict().items(), net.state_dict().values(), strict=True):
        if mean.is_floating_point() and (statistics or name in parameters):
            moved.append((mean, now))
        else:
            mean.copy_(now)
    if moved:
        torch._foreach_lerp_(*map(list, zip(*moved, strict=True)), 1 - keep)  # a few kernels on a GPU, not hundreds


def check_alike(records: Sequence[dict[str, Any]]) -> None:
    """Raise SettingsError unless the runs trained the same network with the same vocabulary."""
    for part in _ALIKE:
        if any(record[part] != records[0][part] for record in records):
            raise SettingsError(
                f"These runs differ in their {part}, so their weights cannot be averaged. "
                "Name runs that were started with --from one another, or from the same run."
            )


def mean_weights(runs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over the runs; integer tensors are those of the first run.

    Raises SettingsError for runs that did not start from the same weights: the mean of unrelated networks is useless.

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
