"""Vectors in lists and the selections of their filters, searched as planned: exactly, or by probing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from common.arrays import F32, I64, U8, Bool
from index.embedded.lists import Lists, one_list
from index.embedded.manifest import IndexDamaged, Probing, Reach, Reaches
from index.embedded.probe import EXACT, probe
from index.embedded.selection import EXACT_ROWS, Masks, Selection, Selections, Selector
from index.embedded.vectors import Vectors
from index.embedded.workers import Step, unhindered

T = TypeVar("T")

#: What it costs to copy a row out and score it, in rows that are scored in place; measured.
SCATTERED = 4


@dataclass(frozen=True, slots=True)
class Planning:
    """How a segment chooses between exact search and probing."""

    #: Matches of a filter up to which no lists are probed.
    exact_rows: int = EXACT_ROWS
    #: How far lists reach; None is what was calibrated. `probe.EXACT` makes every search exact.
    reach: Reach | None = None


#: Few matches exactly, the rest with the calibrated reach.
AS_CALIBRATED = Planning()


class Tombstones:
    """Rows of a segment that are no longer found: deleted, or superseded by a later put."""

    def __init__(self, rows: int) -> None:
        #: Which rows have none: bool ``[rows]``, not to be written to.
        self.alive: Bool = np.ones(rows, dtype=np.bool_)
        #: The same as a bitmap: bit ``i % 8`` of byte ``i // 8`` is row ``i``.
        self.bits: U8 = np.packbits(self.alive, bitorder="little")
        self.count = 0

    def add(self, row: int) -> None:
        """Mark a row; readers see it from their next look on."""
        if self.alive[row]:
            self.alive[row] = False
            self.bits[row >> 3] &= ~(1 << (row & 7)) & 0xFF
            self.count += 1


@dataclass(frozen=True, slots=True)
class Searched:
    """Vectors, how they are clustered and how far lists reach, and the rows that filters accept."""

    vectors: Vectors
    lists: Lists
    reaches: Reaches
    selections: Selections

    def search(
        self,
        query: F32,
        k: int,
        selection: Selection,
        tombstones: Tombstones | None = None,
        step: Step = unhindered,
    ) -> tuple[I64, F32]:
        """Rows and inner products of the ``k`` nearest selected rows to ``query`` ``[dim]``, best first.

        Exact where the selection asks for no probing, else as far as the lists reach.
        """
        wanted, rows = min(k, selection.count), self.vectors.rows
        if wanted == 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        if tombstones is not None and tombstones.count == 0:
            tombstones = None
        if selection.matches is None:
            step(selection.count * SCATTERED if selection.rows is not None else rows)
            return nearest(self.vectors, query, k, selection, tombstones)
        reach = self.reaches.even if selection.even else self.reaches.uneven
        if selection.count == rows:
            reach = self.reaches.unfiltered
        return probed(self.vectors, self.lists, reach.at(wanted), query, wanted, selection, tombstones, step)


def open_searched(
    path: Path,
    lists_path: Path,
    shape: tuple[int, int],
    probing: Probing | None,
    planning: Planning,
    masks: Masks,
) -> Searched:
    """Map a vectors file and its lists.

    Args:
        path: of the vectors.
        lists_path: of the lists, which are there where ``probing`` is.
        shape: rows and width of the vectors.
        probing: how lists are searched.
        planning: when searches are exact.
        masks: of the filters, in the vectors' rows.

    Raises:
        IndexDamaged: a file does not hold what was said of it.
    """
    rows, dim = shape
    lists, reaches = one_list(rows, dim), Reaches(EXACT, EXACT, EXACT)
    if probing is not None:
        lists = opened(lists_path, lambda path: Lists.open(path, rows, dim))
        reaches = probing.reaches
    if planning.reach is not None:
        reaches = Reaches(planning.reach, planning.reach, planning.reach)
    vectors = opened(path, lambda path: Vectors.open(path, dim, lists.starts))
    return Searched(vectors, lists, reaches, Selections(masks, Selector(lists.starts, planning.exact_rows)))


def opened(path: Path, opener: Callable[[Path], T]) -> T:
    """What ``opener`` gives.

    Raises:
        IndexDamaged: it cannot.
    """
    try:
        return opener(path)
    except (OSError, ValueError) as error:
        raise IndexDamaged(path, str(error)) from error


def nearest(
    vectors: Vectors, query: F32, k: int, selection: Selection, tombstones: Tombstones | None = None
) -> tuple[I64, F32]:
    """The ``k`` best selected rows, best first and equal scores by row; exact whatever the selection.

    faiss does not say which of several rows with the ``k``-th score it returns. One row more than wanted
    shows whether there are several; then the search is widened until it has all of them.
    """
    count, rows = selection.count, selection.rows
    bits = None if rows is not None else _bits(selection, tombstones)
    if rows is not None and tombstones is not None:
        rows = rows[tombstones.alive[rows]]
        count = len(rows)
    asked = min(k + 1, count)
    while asked:
        if rows is None:
            found, scores = vectors.search(query, asked, bits)
        else:
            found, scores = vectors.search_rows(query, asked, rows)
        if len(found) < asked or asked == count or scores[-1] < scores[k - 1]:
            if (scores[:-1] > scores[1:]).all():  # nearly always
                return found[:k], scores[:k]
            order = np.lexsort((found, -scores))[:k]
            return found[order], scores[order]
        asked = min(4 * asked, count)
    return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)


def probed(
    vectors: Vectors,
    lists: Lists,
    reach: float,
    query: F32,
    k: int,
    selection: Selection,
    tombstones: Tombstones | None = None,
    step: Step = unhindered,
) -> tuple[I64, F32]:
    """About the ``k`` best selected rows, best first, in the lists within reach; for selections by list."""
    if selection.matches is None:
        raise TypeError("this selection is searched as a whole")
    bits = _bits(selection, tombstones)

    def look(chosen: I64, floor: float) -> tuple[I64, F32]:
        if selection.dense(chosen, lists.sizes):
            step(int(lists.sizes[chosen].sum()))
            return vectors.search_above(query, floor, bits, chosen)
        rows = selection.rows_in(np.sort(chosen))
        step(len(rows) * SCATTERED)
        return vectors.search_rows(query, k, rows if tombstones is None else rows[tombstones.alive[rows]])

    return probe(lists, reach, query, k, selection.matches, look)


def _bits(selection: Selection, tombstones: Tombstones | None) -> U8 | None:
    if tombstones is None:
        return selection.bits
    return tombstones.bits.copy() if selection.bits is None else selection.bits & tombstones.bits
