"""Signs of collapse in sets of vectors."""

from __future__ import annotations

import numpy as np

from common.arrays import Floats


def effective_rank(vectors: Floats) -> float:
    """Number of dimensions that are really used: exp of the entropy of the squared singular values.

    Args:
        vectors: ``[n, d]``; they are centred first.

    Returns:
        1 to d; 0 where all vectors are the same.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    energy = np.linalg.eigvalsh(centred.T @ centred).clip(min=0.0)
    # Rounding leaves a trace where there is nothing.
    if energy.sum() <= 1e-9 * max(1.0, float((vectors.astype(np.float64) ** 2).sum())):
        return 0.0
    share = energy / energy.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def alignment(queries: Floats, positives: Floats) -> float:
    """Mean squared distance of unit queries to their positives, both ``[n, d]``: 0 to 4, less is better."""
    return float(((queries - positives).astype(np.float64) ** 2).sum(axis=1).mean())


def uniformity(vectors: Floats) -> float:
    """Log of the mean of exp(-2 |x - y|^2) over pairs of unit vectors ``[n, d]``.

    0 where all are the same; about -4 and below where they are spread over the sphere.
    """
    x = vectors.astype(np.float64)
    square = (2.0 - 2.0 * (x @ x.T)).clip(min=0.0)
    above = np.triu_indices(len(x), 1)
    return float(np.log(np.exp(-2.0 * square[above]).mean()))


def similarity(a: Floats, b: Floats) -> float:
    """Linear CKA of two views of the same things, ``[n, d]`` and ``[n, e]``: 1 where one is the other
    turned and scaled, near 0 where they have nothing in common; NaN where one is constant."""
    x, y = (v.astype(np.float64) - v.mean(axis=0, dtype=np.float64) for v in (a, b))
    cross = float(np.linalg.norm(x.T @ y) ** 2)
    own = float(np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    return cross / own if own > 1e-12 else float("nan")
