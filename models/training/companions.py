"""What co-clicks teach in stage 1: items that are clicked together get similar vectors.

*Inferred*: the paper trains its experts on queries. Portraits are made of the experts' outputs, and in a shop
that is browsed more than searched these know words alone, not what is bought together. FtAtt learns it,
because its hashed subwords tell single items apart and its steps are cheap.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from common.arrays import F32, I64
from models.dataset.coclick import CoClicks


class Companions:
    """Draws items that have co-clicked ones, their companions."""

    def __init__(self, coclicks: CoClicks) -> None:
        self._coclicks = coclicks
        self._counts: I64 = np.diff(coclicks.indptr)
        self._rows: I64 = np.flatnonzero(self._counts)
        # Sorted, so that a pair's weight is found by bisection.
        self._items = len(self._counts)
        keys = np.repeat(np.arange(self._items), self._counts) * self._items + coclicks.indices
        order = np.argsort(keys)
        self._keys: I64 = keys[order]
        self._weights: F32 = coclicks.weights[order]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[I64, I64]:
        """Items int64 ``[R]``, at most ``count``, and distinct columns ``[C]``: them and a companion each."""
        rows = rng.choice(self._rows, min(count, len(self._rows)), replace=False)
        place = self._coclicks.indptr[rows] + rng.integers(self._counts[rows])
        return rows, np.unique(np.concatenate([rows, self._coclicks.indices[place]]))

    def weights(self, rows: I64, columns: I64) -> F32:
        """Co-click weight of each column and row, float32 ``[R, C]``; 0 where nothing is known."""
        wanted = rows[:, None] * self._items + columns
        places = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        result: F32 = np.where(self._keys[places] == wanted, self._weights[places], 0.0)
        return result.astype(np.float32)


def companion_loss(rows: Tensor, columns: Tensor, own: Tensor, weights: Tensor, *, scale: float) -> Tensor:
    """Cross-entropy between co-clicks and closeness: mean over rows of -sum w log softmax(scale cos).

    Args:
        rows, columns: unit ``[R, d]`` and ``[C, d]``.
        own: bool ``[R, C]``, True where the column is the row itself; it does not count.
        weights: ``[R, C]``, 0 or more; rows without any do not count.
    """
    logits = (rows @ columns.T * scale).masked_fill(own, -1e9)
    weights = weights.masked_fill(own, 0.0)
    total = weights.sum(dim=1)
    losses = -(weights * F.log_softmax(logits, dim=1)).sum(dim=1) / total.clamp(min=1e-6)
    return losses.sum() / (total > 0).sum().clamp(min=1)
