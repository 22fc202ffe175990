"""Hard negatives: labelled as of low relevance for a query, or mined from ranks 101 to 500 of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from common.arrays import F32, I32, I64, Bool
from models.dataset.training_data import TrainingData

#: Mined negatives kept for a query, and queries that are mined for (*inferred*).
_KEPT, MOST_QUERIES, _CHUNK = 32, 20_000, 256


@dataclass(frozen=True)
class HardDraw:
    """Hard negatives of a batch, all ``[B, H]``.

    ``items`` int64; ``present`` bool, False where there is none; ``grades`` float32, the label, 0 where it
    was mined.
    """

    items: I64
    present: Bool
    grades: F32

    @classmethod
    def none(cls, rows: int, count: int) -> HardDraw:
        """A draw of nothing, to be filled."""
        shape = (rows, count)
        return cls(np.zeros(shape, np.int64), np.zeros(shape, np.bool_), np.zeros(shape, np.float32))


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

    def draw(self, query: I64, picture: I64, count: int, rng: np.random.Generator) -> HardDraw:
        """Hard negatives for rows of the distinct queries and ids of pictures, both ``[B]``, as shown.

        Mined ones are for words alone: what lies far from the words may well be in the picture.
        """
        drawn = HardDraw.none(len(query), count)
        for place, (row, shown) in enumerate(zip(query.tolist(), picture.tolist(), strict=True)):
            if row == 0 and shown < 0:
                continue
            low, grades = self._data.low_relevance(row, shown)
            mined = self.mined[row] if shown < 0 and row < len(self.mined) else self.mined[:0].ravel()
            mined = mined[mined >= 0]
            # A query has few labels, which are soon learned; mined negatives take turns with them.
            share = 0 if not len(mined) else count if not len(low) else round(count * self._mined_share)
            for pool, grade, columns in (
                (mined, np.zeros(len(mined), np.float32), slice(0, share)),
                (low, grades, slice(share, count)),
            ):
                if len(pool):
                    chosen = rng.integers(len(pool), size=count)[columns]
                    drawn.items[place, columns], drawn.present[place, columns] = pool[chosen], True
                    drawn.grades[place, columns] = grade[chosen]
        return drawn
