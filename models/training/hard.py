"""Hard negatives: labelled as of low relevance for a query, or mined from ranks 101 to 500 of the model."""

from __future__ import annotations

import numpy as np
import torch

from common.arrays import F32, I32, I64, Bool
from models.dataset.training_data import TrainingData

#: Mined negatives kept for a query, and queries that are mined for (*inferred*).
_KEPT, MOST_QUERIES, _CHUNK = 32, 20_000, 256


class HardNegatives:
    """Draws hard negatives: ``loss.mined_share`` of them mined, the others labelled.

    A query that has only one of the two kinds gets all of them from it.
    """

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self._mined_share = data.config.loss.mined_share
        #: ``[Q, R]`` by row of the distinct queries, what `mine` found; -1 where a place is empty.
        self.mined: I32 = np.zeros((0, 0), dtype=np.int32)

    def mine(self, queries: F32, items: F32) -> I32:
        """Search exactly for the first queries, unit ``[Q, e]``, and sample the ranks in ``loss.hard_ranks``.

        The items are unit ``[N, e]``.
        """
        first, last = self._data.config.loss.hard_ranks
        last = min(last, len(items))
        width = max(0, min(_KEPT, last - first + 1))
        found = np.full((len(queries), width), -1, dtype=np.int32)
        rng = np.random.default_rng(self._data.config.seed)
        catalogue = torch.from_numpy(items)
        for start in range(0, len(queries) if width else 0, _CHUNK):
            part = torch.from_numpy(queries[start : start + _CHUNK])
            ranked = (part @ catalogue.T).topk(last, dim=1).indices.numpy()[:, first - 1 :]
            drawn = ranked[:, np.sort(rng.choice(ranked.shape[1], width, replace=False))]
            asked = np.arange(start, start + len(part))
            found[asked] = np.where(self._data.are_positive(asked, drawn), -1, drawn)
        return found

    def draw(self, query: I64, count: int, rng: np.random.Generator) -> tuple[I64, Bool]:
        """``(items int64 [B, H], present bool [B, H])`` for rows of the distinct queries."""
        items = np.zeros((len(query), count), dtype=np.int64)
        present = np.zeros((len(query), count), dtype=np.bool_)
        for place, row in enumerate(query.tolist()):
            if row == 0:
                continue
            low = self._data.low_relevance(row)
            mined = self.mined[row] if row < len(self.mined) else self.mined[:0].ravel()
            mined = mined[mined >= 0]
            # A query has few labels, which are soon learned; mined negatives take turns with them.
            share = 0 if not len(mined) else count if not len(low) else round(count * self._mined_share)
            for pool, columns in ((mined, slice(0, share)), (low, slice(share, count))):
                if len(pool):
                    drawn = pool[rng.integers(len(pool), size=count)][columns]
                    items[place, columns], present[place, columns] = drawn, True
        return items, present
