"""The words of the items that were put since the base was written, in memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from common.arrays import F32, I64
from index.embedded.segment_words import SegmentWords


class Counted(NamedTuple):
    """The different words of an item, and what each is worth there: float32 ``[words]``.

    ``number`` is that of equal texts which are held already; then there is nothing to add.
    """

    words: Sequence[str]
    scores: F32
    number: int | None = None


class BufferWords:
    """Rows in the order in which they were put, scored by the statistics of the base.

    Rows may share their texts: an update of a price adds a row and no words. Its user serialises `append`
    and `sums`; `counted`, which takes long, needs no lock.
    """

    def __init__(self, base: SegmentWords) -> None:
        self._base = base
        #: For each row the number of its texts.
        self._numbers = array("i")
        self._texts = 0
        #: Of each word the numbers of the texts that have it, and what it is worth there.
        self._postings: dict[str, tuple[array[int], array[float]]] = {}

    def counted(self, texts: Mapping[str, str]) -> Counted:
        """Cut texts into words, and work out what each is worth."""
        words = self._base.item(texts)
        counts = Counter(words)
        idf = np.fromiter(map(self._base.idf, counts), dtype=np.float64, count=len(counts))
        found = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
        weights = self._base.statistics.weight(found, np.array(len(words)))
        return Counted(list(counts), (idf * weights).astype(np.float32))

    def of_row(self, row: int) -> Counted:
        """What `append` takes for another row with the texts of this one."""
        return Counted((), np.empty(0, dtype=np.float32), self._numbers[row])

    def append(self, counted: Counted) -> None:
        """Add the next row."""
        number = counted.number
        if number is None:
            number = self._texts
            self._texts += 1
            for word, score in zip(counted.words, counted.scores.tolist(), strict=True):
                numbers, scores = self._postings.setdefault(word, (array("i"), array("f")))
                numbers.append(number)
                scores.append(score)
        self._numbers.append(number)

    def sums(self, words: Sequence[str]) -> F32:
        """What each row is worth for some words: float32 ``[rows]``, a fresh array."""
        sums = np.zeros(self._texts, dtype=np.float32)
        for word in words:
            if (posting := self._postings.get(word)) is not None:
                numbers, scores = posting
                sums[np.frombuffer(numbers, dtype=np.int32)] += np.frombuffer(scores, dtype=np.float32)
        of_rows: F32 = sums[np.asarray(self._numbers)]
        return of_rows


def best_of(sums: F32, rows: I64, k: int) -> tuple[I64, F32]:
    """The ``k`` of some rows with the largest sums above 0, best first and equal ones by row."""
    scores = sums[rows]
    kept = np.flatnonzero(scores)
    rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]
