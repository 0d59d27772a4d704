"""Distances between two sets of pictures and the diversity of one, computed on the features of any frozen network.

Features are (N,D) arrays or tensors, one row per picture. A distance is named after its network: a Fréchet distance is
an FID, and a kernel distance a KID, only with features of the published Inception-v3.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch

from telephonegan.errors import SettingsError

Features: TypeAlias = np.ndarray | torch.Tensor

_USUAL_SUBSET = 1000


@dataclass(frozen=True)
class KernelDistance:
    """A kernel distance: mean and standard deviation over the subsets, each with n pictures of both sets.

    `std` is nan if all pictures were used at once, because a single estimate has no spread.
    """

    mean: float
    std: float
    n: int


def frechet_distance(x: Features, y: Features) -> float:
    """Fréchet distance between the Gaussians fitted to two feature sets: (N,D) and (M,D) → a number ≥ 0.

    |μx - μy|² + tr(Cx + Cy - 2 (Cx^½ Cy Cx^½)^½), in double precision. It is biased upwards for few pictures, so
    compare only equal N, and report `kernel_distance` as well. Raises SettingsError unless both are finite, have the
    same D and at least two rows. Heusel et al. 2017.

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(frechet_distance(x, x + [2.0, 0.0, 0.0]), 6)
    4.0
    """
    x, y = _pair(x, y)
    shift = x.mean(axis=0) - y.mean(axis=0)
    root_x, root_y = _covariance_root(x), _covariance_root(y)
    # With Cx = XᵀX and Cy = YᵀY, tr (Cx^½ Cy Cx^½)^½ is the nuclear norm of XYᵀ. Singular values are real and, unlike
    # square roots of eigenvalues, exact up to rounding for singular covariances (N < D).
    cross = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + (root_x**2).sum() + (root_y**2).sum() - 2 * cross))


def kernel_distance(
    x: Features, y: Features, *, subsets: int = 100, subset_size: int | None = None, seed: int = 0
) -> KernelDistance:
    """Unbiased squared MMD with the kernel (x·y/D + 1)³ between two feature sets, (N,D) and (M,D).

    The mean over random subsets of `subset_size` pictures from each set, by default min(1000, N, M); if a subset is all
    of both sets, it is computed once. Because it is unbiased it can be negative. Subsets overlap, so `std` is the
    spread of estimates from n pictures, not a standard error of the mean. The same seed gives the same subsets. Raises
    SettingsError. Bińkowski et al. 2018.

    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> kernel_distance(x, x + 1).mean > kernel_distance(x, x[::-1] + 0.1).mean
    True
    """
    x, y = _pair(x, y)
    smaller = min(len(x), len(y))
    size = min(_USUAL_SUBSET, smaller) if subset_size is None else subset_size
    if not 2 <= size <= smaller:
        raise SettingsError(
            f"subset_size must be from 2 to {smaller} with sets of {len(x)} and {len(y)} pictures; {size} was given."
        )
    if subsets < 1:
        raise SettingsError(f"subsets must be at least 1 (100 is usual); {subsets} was given.")
    if size == len(x) == len(y):
        return KernelDistance(_squared_mmd(x, y), float("nan"), size)
    rng = np.random.default_rng(seed)
    draws = [_squared_mmd(x[rng.permutation(len(x))[:size]], y[rng.permutation(len(y))[:size]]) for _ in range(subsets)]
    return KernelDistance(float(np.mean(draws)), spread(draws), size)


def diversity(features: Features, groups: Sequence[Hashable], *, absolute: bool = False) -> float:
    """Mean Euclidean distance between pictures of the same group, such as those painted for one caption.

    Takes features (N,D) and N group labels. All groups count equally, except that groups of one picture do not count. 0
    means that the noise changes nothing. With `absolute`, for pixels, the distance is the mean absolute difference of
    the D features. Raises SettingsError if the numbers of labels and rows differ or no group has two pictures.

    >>> diversity(np.array([[0.0], [2.0], [7.0], [7.0]]), ["dog", "dog", "cat", "cat"])
    1.0
    """
    rows = torch.from_numpy(as_features(features))
    labels = group_numbers(groups, len(rows))
    members = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
    order, scale = (1.0, rows.shape[1]) if absolute else (2.0, 1)
    distances = [
        torch.pdist(rows[torch.from_numpy(member)], order).mean().item() / scale
        for member in members
        if len(member) > 1
    ]
    if not distances:
        raise SettingsError("Every group has a single picture. Give at least two pictures of one caption.")
    return float(np.mean(distances))


def as_features(values: Features, name: str = "features") -> np.ndarray:
    """`values` as a finite double-precision array (N,D) with N ≥ 2 and D ≥ 1. Raises SettingsError, naming `name`.

    >>> as_features(torch.zeros(2, 3)).shape
    (2, 3)
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().double().numpy()
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{name} is not a matrix of numbers ({error}). Give (N,D), one row per picture.") from error
    if array.ndim != 2 or array.shape[0] < 2 or array.shape[1] < 1:
        raise SettingsError(f"{name} has shape {array.shape}. Give (N,D), one row per picture and at least two rows.")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array).all(axis=1)).sum())
        raise SettingsError(f"{name} has nan or infinite values in {bad} of {len(array)} rows. Leave those rows out.")
    return array


def group_numbers(groups: Sequence[Hashable], size: int) -> np.ndarray:
    """Labels as whole numbers from 0, (size,), equal for equal labels. Raises SettingsError unless there are `size`.

    >>> group_numbers(["dog", "cat", "dog"], 3).tolist()
    [0, 1, 0]
    """
    # Elements of tensors hash by identity, plain numbers by value.
    labels = groups.tolist() if hasattr(groups, "tolist") else list(groups)
    if len(labels) != size:
        raise SettingsError(f"{len(labels)} groups were given for {size} rows. Give one label per row.")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels])


def spread(values: Sequence[float]) -> float:
    """Sample standard deviation; nan for a single value.

    >>> spread([1.0, 3.0]) == 2**0.5
    True
    """
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _pair(x: Features, y: Features) -> tuple[np.ndarray, np.ndarray]:
    first, second = as_features(x, "x"), as_features(y, "y")
    if first.shape[1] != second.shape[1]:
        raise SettingsError(
            f"x has {first.shape[1]} features per picture and y has {second.shape[1]}. Use the same network for both."
        )
    return first, second


def _covariance_root(features: np.ndarray) -> np.ndarray:
    """A matrix R of at most D rows with RᵀR = the unbiased covariance."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return np.linalg.qr(centred, mode="r") if len(centred) > centred.shape[1] else centred


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    within = _mean_of_different(_cubic_kernel(x, x)) + _mean_of_different(_cubic_kernel(y, y))
    return within - 2 * float(_cubic_kernel(x, y).mean())


def _cubic_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base


def _mean_of_different(kernel: np.ndarray) -> float:
    """Mean off the diagonal: without each picture's similarity to itself the estimate is unbiased."""
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
