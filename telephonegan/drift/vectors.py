"""Cosines of codes, row by row."""

from __future__ import annotations

import numpy as np


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of row i of one with row i of the other: (N,D), (N,D) → (N,) in [-1, 1]; nan for a row of zeros.

    >>> cosines(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 3.0], [4.0, 0.0]])).tolist()
    [0.0, 1.0]
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = np.einsum("nd,nd->n", first, second)
    return np.divide(products, lengths, out=np.full(len(products), np.nan), where=lengths > 0).clip(-1, 1)
