"""The rows that a filter accepts, in the form that the search takes, and a cache of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from common.arrays import F32, I32, I64, U8, Bool
from common.lru import Lru
from index.embedded.workers import Step, unhindered
from index.filters import AnyOf, Filter, Not

#: Up to this share of all rows a selection keeps row numbers besides a bitmap. Rows by number are copied out
#: to be scored; with a bitmap all rows are walked, and each scattered match mispredicts a branch. In a flat
#: index the numbers are used wherever there are some, in lists up to the share `DENSE` of their rows.
#: *Inferred*: below where the two cost the same at 1M rows of 128 fp16 values on x86; row numbers take 32
#: times the memory of a bitmap.
KEPT_SHARE = 0.4
DENSE = 0.5
#: A filter is even if the share of matches varies over the lists by at most this part of its mean. For one
#: that accepts half of the lists whole it varies by 1. *Inferred*.
EVEN = 0.5
#: Where lists are probed: up to this many matches are scored without probing, which is exact and costs
#: what a probe costs. *Inferred*, measured as above.
EXACT_ROWS = 12_000
#: What looking up one value of a filter costs, in rows that are scored. *Inferred*, measured.
VALUE_ROWS = 1000
#: Memory for the selections of past filters, in bytes.
CACHE_BYTES = 64 << 20


class Masks(Protocol):
    """What says which rows a filter accepts."""

    def mask(self, accepted: Filter) -> Bool:
        """Which rows a filter accepts: bool ``[rows]``."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that may be found: int32 ``rows`` in order, or ``bits``, or both; neither means all.

    Where lists are to be probed, ``matches`` float32 ``[lists]`` says how many rows of each may be found,
    and there are ``bits`` unless all are; without it the search is exact.
    """

    count: int
    rows: I32 | None = None
    bits: U8 | None = None
    matches: F32 | None = None
    #: Where the rows of each list begin in ``rows``: int64 ``[lists + 1]``.
    offsets: I64 | None = None
    #: Whether every list holds about the same share of matches: then lists need not reach as far.
    even: bool = False

    def dense(self, lists: I64, sizes: F32) -> bool:
        """Whether so many rows of some lists may be found that walking them all is the faster way."""
        if self.rows is None or self.matches is None:
            return True
        return bool(self.matches[lists].sum() > DENSE * sizes[lists].sum())

    def rows_in(self, lists: I64) -> I64:
        """The rows of some lists, in order; for selections with ``offsets``."""
        rows, offsets = self.rows, self.offsets
        if rows is None or offsets is None:
            raise TypeError("this selection keeps no rows by list")
        begins = offsets[lists]
        counts = offsets[lists + 1] - begins
        # With hundreds of lists of a few matches each, joining slices would take as long as scoring.
        places = np.arange(counts.sum()) + np.repeat(begins - counts.cumsum() + counts, counts)
        found: I64 = rows.take(places).astype(np.int64)
        return found


class Selector:
    """Makes selections from masks for lists that begin at ``starts``."""

    def __init__(self, starts: I64, exact_rows: int = EXACT_ROWS) -> None:
        self._firsts = starts[:-1]
        self._flat = len(self._firsts) == 1
        self._exact_rows = exact_rows
        self._sizes = np.diff(starts).astype(np.float32)
        #: All rows.
        self.all = Selection(int(starts[-1]), matches=None if self._flat else self._sizes)

    def select(self, mask: Bool) -> Selection:
        """From bool ``[rows]``."""
        count = int(np.count_nonzero(mask))
        if count == len(mask):
            return self.all
        rows = np.flatnonzero(mask).astype(np.int32) if count <= KEPT_SHARE * len(mask) else None
        exact = self._flat or (rows is not None and count <= self._exact_rows)
        bits = None if exact and rows is not None else np.packbits(mask, bitorder="little")
        if exact:
            return Selection(count, rows, bits)
        matches = np.add.reduceat(mask, self._firsts, dtype=np.float32)
        offsets = None if rows is None else np.append(0, np.cumsum(matches, dtype=np.int64))
        even = variation(matches, self._sizes) <= EVEN
        return Selection(count, rows, bits, matches, offsets, even)


def variation(matches: F32, sizes: F32) -> float:
    """Coefficient of variation of the share of matches over the lists, beyond what chance gives.

    ``matches`` (some of all rows) and ``sizes`` are rows of each list, float32 ``[lists]``.
    """
    rows = float(sizes.sum(dtype=np.float64))
    share = float(matches.sum(dtype=np.float64)) / rows
    squares = float((matches.astype(np.float64) ** 2 / sizes).sum()) / rows
    chance = share * (1 - share) * (len(sizes) - 1) / (rows - 1)
    return float(max(0.0, squares - share**2 - chance) ** 0.5 / share)


class Selections:
    """Selections of one segment's filters, the least recently used forgotten; for any thread."""

    def __init__(self, attributes: Masks, selector: Selector, limit_bytes: int = CACHE_BYTES) -> None:
        self._attributes = attributes
        self._selector = selector
        #: By the filter's key.
        self._cache: Lru[bytes, Selection] = Lru(limit_bytes, cost=_bytes)
        self._lock = threading.Lock()

    def get(self, accepted: Filter | None, step: Step = unhindered) -> Selection:
        """The rows that a filter accepts, all of them for None."""
        if accepted is None:
            return self._selector.all
        with self._lock:
            selection = self._cache.get(accepted.key)
        if selection is None:
            step(self._selector.all.count + VALUE_ROWS * _values(accepted))
            selection = self._selector.select(self._attributes.mask(accepted))
            with self._lock:
                self._cache.put(accepted.key, selection)
        return selection


def _values(accepted: Filter) -> int:
    """How many values are looked up."""
    conditions = (each.condition if isinstance(each, Not) else each for each in accepted.clauses)
    return sum(len(each.values) for each in conditions if isinstance(each, AnyOf))


def _bytes(key: bytes, selection: Selection) -> int:
    """Memory of a cached selection, with an allowance for what holds it."""
    arrays = (selection.rows, selection.bits, selection.matches, selection.offsets)
    return sum(array.nbytes for array in arrays if array is not None) + 512
