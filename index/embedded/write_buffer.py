"""The items that were put since the base was written: a small set of rows in memory that only grows.

A put appends a row. The row that it supersedes, in the buffer or in the base, gets a tombstone. Arrays are
replaced when they are full and their rows never change, so that a reader may go on with what it took. What
may be long, attributes and texts, goes with the tombstone: an item whose description is put a thousand times
takes the memory of one. Who reads these takes them with the row (`described`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from artifacts.attributes import AttributeKind
from common.arrays import F16, F32, F64, I64, Bool
from index.embedded.attributes import Numbers, accepted_rows
from index.embedded.buffer_words import BufferWords, Counted
from index.embedded.records import Put
from index.embedded.vectors import inner_products
from index.filters import AnyOf, Condition, Filter, terms

_FIRST_ROWS = 256


class Described(NamedTuple):
    """The attributes and texts of a row as they were put."""

    attributes: Mapping[str, Any]
    texts: Mapping[str, str]


#: Of a row with a tombstone.
_FORGOTTEN = Described(MappingProxyType({}), MappingProxyType({}))


class _Array:
    """A numpy array that grows by doubling."""

    def __init__(self, shape: tuple[int, ...], kind: Any) -> None:
        self._array: npt.NDArray[Any] = np.zeros((_FIRST_ROWS, *shape), dtype=kind)
        self._rows = 0

    def append(self, value: Any) -> None:
        if self._rows == len(self._array):
            self._array = np.concatenate([self._array, np.zeros_like(self._array)])
        self._array[self._rows] = value
        self._rows += 1

    @property
    def rows(self) -> npt.NDArray[Any]:
        return self._array[: self._rows]


class _Terms:
    """Strings and lists: the rows that hold each term."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rows_by_term: dict[str, list[int]] = {}
        self._rows = 0

    def append(self, value: Any) -> None:
        for term in set(terms(self._name, value)):
            self._rows_by_term.setdefault(term, []).append(self._rows)
        self._rows += 1

    def mask(self, condition: Condition) -> Bool:
        found = np.zeros(self._rows, dtype=np.bool_)
        for value in condition.values if isinstance(condition, AnyOf) else ():
            found[self._rows_by_term.get(str(value), [])] = True
        return found


class _Numbers:
    """Numbers and bools as float64, NaN where missing."""

    def __init__(self) -> None:
        self._array = _Array((), np.float64)

    def append(self, value: Any) -> None:
        self._array.append(np.nan if value is None else float(value))

    @property
    def values(self) -> F64:
        return self._array.rows

    def mask(self, condition: Condition) -> Bool:
        return Numbers(self._array.rows).mask(condition)


class WriteBuffer:
    """Rows numbered in the order in which they were put. Its user serialises changes and `snapshot`."""

    def __init__(
        self,
        dim: int,
        features: tuple[int, int],
        attributes: Mapping[str, AttributeKind],
        words: BufferWords | None = None,
        picture_dim: int = 0,
    ) -> None:
        #: The id of each row.
        self.ids: list[str] = []
        self._row_by_id: dict[str, int] = {}
        # Vectors are kept as float32, though each value is a half: a query is scored against them in place.
        self._vectors = _Array((dim,), np.float32)
        self._features = _Array(features, np.float16)
        # Zeros for an item without a picture.
        self._pictures = _Array((picture_dim,), np.float32) if picture_dim else None
        self._pictured = _Array((), np.bool_)
        self._alive = _Array((), np.bool_)
        self._described: list[Described] = []
        #: The words of each row, where items are found by words.
        self.words = words
        self._columns: dict[str, _Terms | _Numbers] = {
            name: _Terms(name) if kind in ("string", "list") else _Numbers()
            for name, kind in attributes.items()
        }

    @property
    def items(self) -> int:
        """Rows without a tombstone."""
        return len(self._row_by_id)

    @property
    def rows(self) -> int:
        """All rows."""
        return len(self.ids)

    def counted(self, change: Put) -> Counted | None:
        """The words of an item for `put`, which takes long; None where items are not found by words.

        For the thread that makes the changes, without a lock.
        """
        if self.words is None:
            return None
        row = self._row_by_id.get(change.id)
        if row is not None and self._described[row].texts == change.texts:
            return self.words.of_row(row)
        return self.words.counted(change.texts)

    def put(self, change: Put, counted: Counted | None = None) -> None:
        """Append a row in place of the id's former one; ``counted`` of the same change."""
        if counted is None:
            counted = self.counted(change)
        self.remove(change.id)
        self._row_by_id[change.id] = len(self.ids)
        self.ids.append(change.id)
        self._vectors.append(change.vector)
        self._features.append(change.features)
        if self._pictures is not None:
            self._pictures.append(0.0 if change.picture is None else change.picture)
            self._pictured.append(change.picture is not None)
        self._alive.append(True)
        self._described.append(Described(change.attributes, change.texts))
        if self.words is not None and counted is not None:
            self.words.append(counted)
        for name, column in self._columns.items():
            column.append(change.attributes.get(name))

    def remove(self, item_id: str) -> None:
        """Give an id's row a tombstone, if there is one, and forget its attributes and texts."""
        row = self._row_by_id.pop(item_id, None)
        if row is not None:
            self._alive.rows[row] = False
            self._described[row] = _FORGOTTEN

    def row(self, item_id: str) -> int | None:
        """The row of an id, unless it has a tombstone."""
        return self._row_by_id.get(item_id)

    def change(self, row: int) -> Put:
        """A row without a tombstone, as it was put."""
        vector, features = self._vectors.rows[row].astype(np.float16), self._features.rows[row]
        picture = None
        if self._pictures is not None and self._pictured.rows[row]:
            picture = self._pictures.rows[row].astype(np.float16)
        return Put(self.ids[row], vector, features, *self._described[row], picture)

    def described(self, row: int) -> Described:
        """Attributes and texts of a row, which it has until it gets a tombstone; what was taken stays."""
        return self._described[row]

    def changes(self) -> list[Put]:
        """Every row without a tombstone, in order."""
        return [self.change(row) for row in self._row_by_id.values()]

    def vectors(self, rows: Sequence[int]) -> F32:
        """float32 ``[len(rows), dim]``."""
        return np.asarray(self._vectors.rows[list(rows)])

    def features(self, rows: Sequence[int]) -> F16:
        """float16 ``[len(rows), experts, expert_dim]``."""
        return np.asarray(self._features.rows[list(rows)])

    def snapshot(self, accepted: Filter | None) -> tuple[I64, F32]:
        """The rows that may be found with a filter, and the vectors of all rows, as of now."""
        return self.accepted(accepted), self._vectors.rows

    def accepted(self, accepted: Filter | None) -> I64:
        """The rows that may be found with a filter, as of now."""
        alive: Bool = self._alive.rows
        return np.flatnonzero(alive if accepted is None else alive & accepted_rows(accepted, self._columns))

    def numbers(self, name: str, accepted: Filter | None) -> tuple[I64, F64]:
        """The rows that may be found with a filter, and their values of a number attribute, NaN for none."""
        column = self._columns[name]
        if not isinstance(column, _Numbers):
            raise TypeError(f"{name} is no number")
        rows, _ = self.snapshot(accepted)
        return rows, column.values[rows]

    def picture_snapshot(self, accepted: Filter | None) -> tuple[I64, F32]:
        """As `snapshot`, of the rows that have a picture and with the picture features of all rows."""
        if self._pictures is None:
            return np.empty(0, dtype=np.int64), np.empty((0, 0), dtype=np.float32)
        rows, _ = self.snapshot(accepted)
        return rows[self._pictured.rows[rows]], self._pictures.rows


def search_snapshot(snapshot: tuple[I64, F32], query: F32, k: int) -> tuple[I64, F32]:
    """The ``k`` best rows of a snapshot, exact, best first and equal scores by row."""
    rows, vectors = snapshot
    if len(rows) == 0:
        return rows, np.empty(0, dtype=np.float32)
    # All rows are scored in one sweep: to copy out those that may be found costs more than to score the rest.
    scores = inner_products(query, vectors)[rows]
    if len(rows) > k:
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
        rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]
