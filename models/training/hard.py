"""Hard negatives: labelled as of low relevance for a query, or mined from the ranks of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.arrays import F32, I64, Bool
from models.dataset.training_data import TrainingData
from models.training.mining import Mined


@dataclass(frozen=True)
class HardDraw:
    """Hard negatives of a batch, all ``[B, H]``.

    ``items`` int64; ``present`` bool, False where there is none; ``grades`` float32, by the label or the
    teacher, 0 where nobody graded; ``taught`` bool, True where the grade is the teacher's.
    """

    items: I64
    present: Bool
    grades: F32
    taught: Bool

    @classmethod
    def none(cls, rows: int, count: int) -> HardDraw:
        """A draw of nothing, to be filled."""
        shape = (rows, count)
        no, grades = np.zeros(shape, np.bool_), np.zeros(shape, np.float32)
        return cls(np.zeros(shape, np.int64), no, grades, no.copy())


class HardNegatives:
    """Draws hard negatives: ``loss.mined_share`` of them mined, the others labelled.

    A query that has only one of the two kinds gets all of them from it.
    """

    def __init__(self, data: TrainingData) -> None:
        self._data, self._loss = data, data.config.loss
        self._counts = np.zeros(0, np.int64)
        self.mined = Mined.nothing()
        #: Places of the labels that are kept, and how many of them are before each place; None: all are.
        self._kept: tuple[I64, I64] | None = None

    def keep(self, kept: Bool) -> None:
        """Draw these labels alone, ``[L]``, as `TrainingData.low_at` numbers them."""
        self._kept = np.flatnonzero(kept), np.concatenate([[0], np.cumsum(kept)])

    @property
    def mined(self) -> Mined:
        """What was mined last."""
        return self._mined

    @mined.setter
    def mined(self, mined: Mined) -> None:
        # What is there comes first in its row, so that a draw is a number below their count.
        order = np.argsort(mined.items < 0, axis=1, kind="stable")
        self._mined = Mined(
            np.take_along_axis(mined.items, order, axis=1), np.take_along_axis(mined.grades, order, axis=1)
        )
        self._counts = (mined.items >= 0).sum(axis=1)

    def draw(self, query: I64, picture: I64, count: int, rng: np.random.Generator) -> HardDraw:
        """Hard negatives for rows of the distinct queries and ids of pictures, both ``[B]``, as shown.

        Mined ones are for words alone: what lies far from the words may well be in the picture.
        """
        drawn = HardDraw.none(len(query), count)
        if not count:
            return drawn
        first, ends = self._data.low_spans(query, picture)
        if self._kept is not None:
            first, ends = self._kept[1][first], self._kept[1][ends]
        asks = (query > 0) | (picture >= 0)
        low = np.where(asks, ends - first, 0)
        mined = np.zeros(len(query), dtype=np.int64)
        words = np.flatnonzero((query > 0) & (picture < 0) & (query < len(self._counts)))
        mined[words] = self._counts[query[words]]
        # A query has few labels, which are soon learned; mined negatives take turns with them.
        share = np.where(low > 0, round(count * self._loss.mined_share), count) * (mined > 0)
        from_mined = np.arange(count) < share[:, None]
        draws = rng.random((len(query), count))
        rows, places = np.nonzero(from_mined)
        chosen = (draws[rows, places] * mined[rows]).astype(np.int64)
        drawn.items[rows, places] = self._mined.items[query[rows], chosen]
        grades = self._mined.grades[query[rows], chosen]
        drawn.grades[rows, places] = np.nan_to_num(grades)
        drawn.taught[rows, places] = ~np.isnan(grades)
        # With distillation relevant items are drawn too: they are no negatives.
        drawn.present[rows, places] = ~(grades > self._loss.low_relevance)
        rows, places = np.nonzero(~from_mined & (low > 0)[:, None])
        chosen = first[rows] + (draws[rows, places] * low[rows]).astype(np.int64)
        if self._kept is not None:
            chosen = self._kept[0][chosen]
        drawn.items[rows, places], drawn.grades[rows, places] = self._data.low_at(chosen)
        drawn.present[rows, places] = True
        return drawn
