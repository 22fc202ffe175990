"""From rows to what they hold: the columns that filters read, the other way round.

Numbers and bools stand by row anyway. Of strings and lists the file has the rows of each term; the terms of
each row are worked out when an attribute is first asked for, and kept in memory: 4 bytes a row and 4 for each
term that it has.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from artifacts.attributes import CATEGORY, AttributeKind
from common.arrays import I32, I64
from index.embedded.attributes import Attributes, Flags, Numbers, Postings
from index.filters import terms


class _Terms:
    """Terms by row: those of row ``r`` are ``terms[starts[r]:starts[r + 1]]``, places in the values."""

    def __init__(self, column: Postings) -> None:
        counts = np.bincount(column.rows, minlength=column.total)
        self._starts: I32 = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        order = np.argsort(column.rows, kind="stable")
        numbers = np.repeat(np.arange(len(column.values), dtype=np.int32), np.diff(column.offsets))
        self._terms: I32 = numbers[order]
        self._values = column.values

    def of(self, rows: I64) -> list[list[str]]:
        """The folded terms of some rows, sorted."""
        begins = self._starts[rows].astype(np.int64)
        counts = self._starts[rows + 1] - begins
        ends = np.cumsum(counts)
        places = np.arange(counts.sum()) + np.repeat(begins - ends + counts, counts)
        numbers = self._terms[places]
        # Few distinct terms are held by many rows: each is read once.
        distinct, which = np.unique(numbers, return_inverse=True)
        texts = self._values.take(distinct).to_pylist()
        flat = [texts[place] for place in which.tolist()]
        return [flat[end - count : end] for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]


class Forward:
    """The values of a segment's rows; for any thread."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._terms: dict[str, _Terms] = {}
        #: Of each attribute, held while its terms are worked out.
        self._building: dict[str, threading.Lock] = {}

    def ready(self, names: Sequence[str]) -> bool:
        """Whether the values can be given at once; else a million rows take some tenths of a second."""
        return all(
            name in self._terms or not isinstance(self._attributes.column(name), Postings) for name in names
        )

    def values(self, name: str, kind: AttributeKind, rows: I64) -> list[Any]:
        """What some rows hold of an attribute; None where it is missing."""
        column = self._attributes.column(name)
        if isinstance(column, Numbers):
            return [None if number != number else number for number in column.numbers[rows].tolist()]
        if isinstance(column, Flags):
            return [None if flag < 0 else flag == 1 for flag in column.flags[rows].tolist()]
        held = self._terms.get(name)  # without a lock: on the event loop nobody waits for another attribute
        if held is None:
            with self._building.setdefault(name, threading.Lock()):
                held = self._terms.get(name)
                if held is None:
                    held = self._terms[name] = _Terms(column)
        return [_value(name, kind, found) for found in held.of(rows)]


def put_value(name: str, kind: AttributeKind, value: Any) -> Any:
    """What an item that was put holds of an attribute, in the form of `Forward.values`."""
    if value is None or kind in ("number", "bool"):
        return value
    return _value(name, kind, sorted(set(terms(name, value))))


def _value(name: str, kind: AttributeKind, found: list[str]) -> Any:
    if not found:
        return None
    if name == CATEGORY:  # the longest prefix is the path
        return max(found, key=len)
    return found[0] if kind == "string" else found
