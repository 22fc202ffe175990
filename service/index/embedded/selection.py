"""What a filter left of a segment, in the form that the search takes, and a cache of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from service.index.embedded.attributes import Attributes, Mask
from service.index.embedded.vectors import I64, U8
from service.index.filters import Filter

#: Up to this share of the rows, and this many of them, matches are copied out and searched on their
#: own; above, the whole segment is walked past a bitmap. *Inferred*: where the two cost the same at
#: 100k and at 1M rows of 128 fp16 values on x86; the bound keeps a search's working memory to 25 MB.
SUBSET_SHARE = 1 / 20
SUBSET_ROWS = 100_000
#: What the selections of past filters may take in memory, in bytes.
CACHE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that may be found: ``rows`` where they are few, else ``bits``; neither means all."""

    count: int
    rows: I64 | None = None
    bits: U8 | None = None

    @classmethod
    def of(cls, mask: Mask) -> Selection:
        """From bool ``[rows]``."""
        count = int(np.count_nonzero(mask))
        if count == len(mask):
            return cls(count)
        if count <= min(SUBSET_ROWS, len(mask) * SUBSET_SHARE):
            return cls(count, rows=np.flatnonzero(mask))
        return cls(count, bits=np.packbits(mask, bitorder="little"))

    @property
    def nbytes(self) -> int:
        """Memory of its arrays."""
        return sum(array.nbytes for array in (self.rows, self.bits) if array is not None)


class Selections:
    """Selections of one segment's filters, the least recently used forgotten; for any thread."""

    def __init__(self, attributes: Attributes, limit_bytes: int = CACHE_BYTES) -> None:
        self._attributes = attributes
        self._limit = limit_bytes
        self._held: OrderedDict[Filter, Selection] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, accepted: Filter | None) -> Selection:
        """The rows that a filter accepts, all of them for None."""
        if accepted is None:
            return Selection(self._attributes.rows)
        with self._lock:
            selection = self._held.get(accepted)
            if selection is not None:
                self._held.move_to_end(accepted)
                return selection
        selection = Selection.of(self._attributes.mask(accepted))
        self._keep(accepted, selection)
        return selection

    def _keep(self, accepted: Filter, selection: Selection) -> None:
        with self._lock:
            if accepted in self._held:
                return
            self._held[accepted] = selection
            self._bytes += _cost(accepted, selection)
            while self._bytes > self._limit:
                self._bytes -= _cost(*self._held.popitem(last=False))


def _cost(accepted: Filter, selection: Selection) -> int:
    """Bytes that an entry takes, with an allowance for the filter's own values."""
    values = sum(len(getattr(clause, "values", ())) for clause in accepted.clauses)
    return selection.nbytes + 512 + 128 * values
