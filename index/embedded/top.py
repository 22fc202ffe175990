"""The items with the largest values of a number attribute, exact under every filter.

Without a filter, or with one that accepts many, rows are walked from the largest value on until there are
enough; with one that accepts few, these are looked at. The order is made when it is first asked for.
"""

from __future__ import annotations

import threading

import numpy as np

from common.arrays import F32, F64, I32, I64, U8, Bool
from index.embedded.attributes import Attributes, Numbers
from index.embedded.searched import Tombstones
from index.embedded.selection import Selection
from index.embedded.workers import Step

#: Rows that are looked at in a step.
_BLOCK = 4096
#: What sorting a row costs, in rows that are scored: the first search sorts them all.
_SORTED = 10


class Ordered:
    """The rows of a segment by the number attributes that were asked for. For any thread."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._orders: dict[str, I32] = {}
        self._lock = threading.Lock()

    def top(
        self, name: str, k: int, selection: Selection, tombstones: Tombstones, step: Step
    ) -> tuple[I64, F64]:
        """Rows and values of the ``k`` selected rows with the largest values; equal ones by row.

        Raises:
            KeyError: there is no such attribute.
            TypeError: it is no number.
        """
        column = self._attributes.column(name)
        if not isinstance(column, Numbers):
            raise TypeError(f"{name} is no number")
        numbers = column.numbers
        if selection.rows is not None:
            step(len(selection.rows))
            few: I64 = selection.rows[tombstones.alive[selection.rows]].astype(np.int64)
            return best(few, numbers[few], k)
        order, found, count = self._order(name, numbers, step), [np.empty(0, dtype=np.int64)], 0
        for start in range(0, len(order), _BLOCK):
            step(_BLOCK)
            block = order[start : start + _BLOCK]
            block = block[tombstones.alive[block] & _selected(selection.bits, block)]
            found.append(block.astype(np.int64))
            count += len(block)
            if count >= k:
                break
        rows = np.concatenate(found)[:k]
        return rows, numbers[rows]

    def _order(self, name: str, numbers: F64, step: Step) -> I32:
        """The rows that have a value, from the largest on."""
        with self._lock:
            order = self._orders.get(name)
        if order is None:
            step(len(numbers) * _SORTED)
            known = np.flatnonzero(~np.isnan(numbers))
            order = known[np.argsort(-numbers[known], kind="stable")].astype(np.int32)
            with self._lock:
                self._orders[name] = order
        return order


def best(rows: I64, values: F64, k: int) -> tuple[I64, F64]:
    """The ``k`` rows with the largest values, without those that are missing (NaN); equal ones by row."""
    known = ~np.isnan(values)
    rows, values = rows[known], values[known]
    if len(rows) > k:
        kept = values >= np.partition(values, len(values) - k)[len(values) - k]
        rows, values = rows[kept], values[kept]
    order = np.lexsort((rows, -values))[:k]
    return rows[order], values[order]


def largest(ids: list[str], values: F64, more_ids: list[str], more: F64, k: int) -> tuple[list[str], F32]:
    """The ``k`` largest of two lists that are in order; equal ones of the first list first."""
    both, everything = np.concatenate([values, more]), ids + more_ids
    order = np.argsort(-both, kind="stable")[:k]
    return [everything[place] for place in order.tolist()], both[order].astype(np.float32)


def _selected(bits: U8 | None, rows: I32) -> Bool:
    if bits is None:
        return np.ones(len(rows), dtype=np.bool_)
    return np.asarray((bits[rows >> 3] >> (rows & 7)) & 1, dtype=np.bool_)
