"""The items that were put since the base was written: a small segment in memory that only grows.

A put appends a row; the row that it supersedes, here or in the base, is dead from then on. Arrays are
replaced when they are full and rows never change, so that a reader may go on with what it took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from index.embedded.attributes import Mask
from index.embedded.log import Put
from index.embedded.vectors import I64, inner_products
from index.filters import CATEGORY, AnyOf, Filter, Not, Range, category_prefixes, fold
from index.port import F16, F32, AttributeKind

_FIRST_ROWS = 256


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


class _Column(Protocol):
    def append(self, value: Any) -> None: ...
    def mask(self, clause: AnyOf | Range) -> Mask: ...


class _Terms:
    """Strings and lists: each folded value's rows."""

    def __init__(self, terms_of: Any) -> None:
        self._terms_of = terms_of
        self._rows_of: dict[str, list[int]] = {}
        self._rows = 0

    def append(self, value: Any) -> None:
        for term in set(self._terms_of(value)):
            self._rows_of.setdefault(term, []).append(self._rows)
        self._rows += 1

    def mask(self, clause: AnyOf | Range) -> Mask:
        found = np.zeros(self._rows, dtype=np.bool_)
        for value in clause.values if isinstance(clause, AnyOf) else ():
            found[self._rows_of.get(str(value), [])] = True
        return found


class _Numbers:
    """Numbers and bools as float64, NaN where missing, which fails every comparison."""

    def __init__(self) -> None:
        self._array = _Array((), np.float64)

    def append(self, value: Any) -> None:
        self._array.append(np.nan if value is None else float(value))

    def mask(self, clause: AnyOf | Range) -> Mask:
        numbers = self._array.rows
        if isinstance(clause, AnyOf):
            return np.isin(numbers, np.array(clause.values, dtype=np.float64))
        found = np.ones(len(numbers), dtype=np.bool_)
        for bound, holds in (
            (clause.gt, np.greater),
            (clause.gte, np.greater_equal),
            (clause.lt, np.less),
            (clause.lte, np.less_equal),
        ):
            if bound is not None:
                found &= holds(numbers, bound)
        return found


def _folded(value: Any) -> Sequence[str]:
    if value is None:
        return ()
    return (fold(value),) if isinstance(value, str) else [fold(each) for each in value]


def _prefixes(value: Any) -> Sequence[str]:
    return () if value is None else category_prefixes(value)


class Delta:
    """Rows numbered in the order in which they were put. Its user serialises changes and `snapshot`."""

    def __init__(self, dim: int, features: tuple[int, int], attributes: Mapping[str, AttributeKind]) -> None:
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        # float32 of what are halves, so that a query is scored against them as they lie.
        self._vectors = _Array((dim,), np.float32)
        self._features = _Array(features, np.float16)
        self._alive = _Array((), np.bool_)
        self._values: list[Mapping[str, Any]] = []
        self._columns: dict[str, _Column] = {
            name: _Terms(_prefixes)
            if name == CATEGORY
            else _Terms(_folded)
            if kind in ("string", "list")
            else _Numbers()
            for name, kind in attributes.items()
        }

    @property
    def items(self) -> int:
        """Rows that are alive."""
        return len(self._rows)

    @property
    def rows(self) -> int:
        """All rows."""
        return len(self._ids)

    def put(self, change: Put) -> None:
        """Append a row in place of the id's former one."""
        self.remove(change.id)
        self._rows[change.id] = len(self._ids)
        self._ids.append(change.id)
        self._vectors.append(change.vector)
        self._features.append(change.features)
        self._alive.append(True)
        self._values.append(change.attributes)
        for name, column in self._columns.items():
            column.append(change.attributes.get(name))

    def remove(self, item_id: str) -> bool:
        """Mark an id's row dead, if it has one."""
        row = self._rows.pop(item_id, None)
        if row is not None:
            self._alive.rows[row] = False
        return row is not None

    def row(self, item_id: str) -> int | None:
        """The living row of an id."""
        return self._rows.get(item_id)

    def id(self, row: int) -> str:
        """The id of a row."""
        return self._ids[row]

    def change(self, row: int) -> Put:
        """A row as it was put."""
        vector, features = self._vectors.rows[row].astype(np.float16), self._features.rows[row]
        return Put(self._ids[row], vector, features, self._values[row])

    def living(self) -> list[Put]:
        """Every living row, in order."""
        return [self.change(row) for row in self._rows.values()]

    def vectors(self, rows: Sequence[int]) -> F32:
        """float32 ``[len(rows), dim]``."""
        return np.asarray(self._vectors.rows[list(rows)])

    def features(self, rows: Sequence[int]) -> F16:
        """float16 ``[len(rows), experts, expert_dim]``."""
        return np.asarray(self._features.rows[list(rows)])

    def snapshot(self, accepted: Filter | None) -> tuple[I64, F32]:
        """The living rows that a filter accepts, and the vectors of all rows, as of now."""
        mask: Mask = self._alive.rows.copy()
        for clause in () if accepted is None else accepted.clauses:
            inner = clause.clause if isinstance(clause, Not) else clause
            found = self._columns[inner.field].mask(inner)
            mask &= ~found if clause is not inner else found
        return np.flatnonzero(mask), self._vectors.rows


def search_snapshot(snapshot: tuple[I64, F32], query: F32, k: int) -> tuple[I64, F32]:
    """The ``k`` best rows of a snapshot, exact, best first and equal scores by row."""
    rows, vectors = snapshot
    if len(rows) == 0:
        return rows, np.empty(0, dtype=np.float32)
    # All rows in one sweep, for copying out those that may be found costs more than scoring the others.
    scores = inner_products(query, vectors)[rows]
    if len(rows) > k:
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
        rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]
