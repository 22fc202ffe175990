"""What a search by pictures compares: picture features as vectors of unit length.

The image encoder's output tells pictures apart that the item's embedding, which text and history are in too,
does not. It is compared as it is, by the cosine.
"""

from __future__ import annotations

import numpy as np

from common.arrays import F32

#: A feature shorter than this has no direction.
_LEAST_LENGTH = 1e-6


def photo_vectors(features: F32) -> F32:
    """Picture features float32 ``[n, P]`` scaled to unit length; zeros for those that have no direction."""
    rows = np.asarray(features, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        usable = np.isfinite(lengths) & (lengths > _LEAST_LENGTH)
        scaled: F32 = np.where(usable, rows / np.where(usable, lengths, 1.0), 0.0).astype(np.float32)
    return scaled
