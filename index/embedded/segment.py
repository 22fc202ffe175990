"""An immutable set of items that is searched as one: the base of an index is a segment."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from common.arrays import F16, F32, I64, U8, Bool
from index.embedded.attributes import Attributes
from index.embedded.forward import Forward
from index.embedded.ids import IdTable
from index.embedded.lists import Lists, one_list
from index.embedded.manifest import (
    ATTRIBUTES_NAME,
    FEATURES_NAME,
    IDS_NAME,
    LISTS_NAME,
    VECTORS_NAME,
    IndexDamaged,
    IndexManifest,
    Reach,
    Reaches,
)
from index.embedded.probe import EXACT, probe
from index.embedded.segment_words import SegmentWords
from index.embedded.selection import EXACT_ROWS, Selection, Selections, Selector
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


class Segment:
    """Vectors, ids, attributes and features that share row numbers, memory-mapped. For any thread.

    Raises:
        IndexDamaged: a file of the base does not hold what the manifest says.
    """

    def __init__(self, folder: Path, manifest: IndexManifest, planning: Planning = AS_CALIBRATED) -> None:
        self.rows, self.dim = rows, dim = manifest.rows, manifest.dim
        self.ids = _open(folder / IDS_NAME, IdTable.open)
        if self.ids.rows != rows:
            raise IndexDamaged(folder / IDS_NAME, f"has {self.ids.rows} ids, expected {rows}")
        self.lists, self._reaches = one_list(rows, dim), Reaches(EXACT, EXACT, EXACT)
        if manifest.probing is not None:
            self.lists = _open(folder / LISTS_NAME, lambda path: Lists.open(path, rows, dim))
            self._reaches = manifest.probing.reaches
        if planning.reach is not None:
            self._reaches = Reaches(planning.reach, planning.reach, planning.reach)
        starts = self.lists.starts
        self.vectors = _open(folder / VECTORS_NAME, lambda path: Vectors.open(path, dim, starts))
        self.attributes = _open(folder / ATTRIBUTES_NAME, lambda path: Attributes.open(path, rows))
        self.selections = Selections(self.attributes, Selector(starts, planning.exact_rows))
        self.forward = Forward(self.attributes)
        self.features: F16 = _open(folder / FEATURES_NAME, lambda path: np.load(path, mmap_mode="r"))
        shape = (rows, manifest.experts, manifest.expert_dim)
        if self.features.shape != shape or self.features.dtype != np.float16:
            found = f"{self.features.dtype} {self.features.shape}"
            raise IndexDamaged(folder / FEATURES_NAME, f"has {found}, expected float16 {shape}")
        _check_columns(folder / ATTRIBUTES_NAME, self.attributes, manifest)
        #: Where items are found by words.
        self.words = None if manifest.texts is None else SegmentWords.open(folder, manifest, manifest.texts)
        self._mapped = _Mapped(folder, manifest)

    def cut(self) -> str | None:
        """Which mapped file is no longer as long as it was, and how; takes some microseconds."""
        return self._mapped.cut()

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
        wanted = min(k, selection.count)
        if wanted == 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        if tombstones is not None and tombstones.count == 0:
            tombstones = None
        if selection.matches is None:
            step(selection.count * SCATTERED if selection.rows is not None else self.rows)
            return nearest(self.vectors, query, k, selection, tombstones)
        reach = self._reaches.even if selection.even else self._reaches.uneven
        if selection.count == self.rows:
            reach = self._reaches.unfiltered
        return probed(self.vectors, self.lists, reach.at(wanted), query, wanted, selection, tombstones, step)


class _Mapped:
    """Keeps the files open that are mapped, so that their length can be asked wherever they are now."""

    def __init__(self, folder: Path, manifest: IndexManifest) -> None:
        self._files: list[tuple[int, int, Path]] = []
        for name in manifest.file_names:
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
            self._files.append((descriptor, os.fstat(descriptor).st_size, folder / name))

    def cut(self) -> str | None:
        for descriptor, size, path in self._files:
            if (found := os.fstat(descriptor).st_size) < size:
                return f"{path} has {found} bytes, expected {size}"
        return None

    def __del__(self) -> None:
        for descriptor, _, _ in self._files:
            os.close(descriptor)


def _check_columns(path: Path, attributes: Attributes, manifest: IndexManifest) -> None:
    """Check that the manifest's types are those that the columns were written with."""
    if attributes.kinds.keys() != manifest.attributes.keys():
        raise IndexDamaged(path, "has other attributes than the manifest says")
    for name, kind in manifest.attributes.items():
        if kind not in attributes.kinds[name]:
            raise IndexDamaged(path, f"{name} is no {kind}, as the manifest says")


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


def _open(path: Path, opener: Callable[[Path], T]) -> T:
    try:
        return opener(path)
    except (OSError, ValueError) as error:
        raise IndexDamaged(path, str(error)) from error
