"""The words of the items that were put since the base was written, in memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from common.arrays import F32, I64
from index.embedded.segment_words import SegmentWords


class BufferWords:
    """Rows in the order in which they were put, scored by the statistics of the base.

    Its user serialises changes and `sums`.
    """

    def __init__(self, base: SegmentWords) -> None:
        self._base = base
        self._rows = 0
        #: Of each word the rows that have it, and what it is worth there.
        self._postings: dict[str, tuple[array[int], array[float]]] = {}

    def append(self, texts: Mapping[str, str]) -> None:
        """Add the next row."""
        words = self._base.item(texts)
        length = np.array(len(words))
        for word, count in Counter(words).items():
            rows, scores = self._postings.setdefault(word, (array("i"), array("f")))
            rows.append(self._rows)
            idf = self._base.statistics.idf(np.array(self._base.table.found(word)))
            scores.append(float(idf * self._base.statistics.weight(np.array(count), length)))
        self._rows += 1

    def sums(self, words: Sequence[str]) -> F32:
        """What each row is worth for some words: float32 ``[rows]``, a fresh array."""
        sums = np.zeros(self._rows, dtype=np.float32)
        for word in words:
            if (posting := self._postings.get(word)) is not None:
                rows, scores = posting
                sums[np.frombuffer(rows, dtype=np.int32)] += np.frombuffer(scores, dtype=np.float32)
        return sums


def best_of(sums: F32, rows: I64, k: int) -> tuple[I64, F32]:
    """The ``k`` of some rows with the largest sums above 0, best first and equal ones by row."""
    scores = sums[rows]
    kept = np.flatnonzero(scores)
    rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]
