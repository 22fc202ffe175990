"""The columns that filters read, memory-mapped, and the masks they give.

Strings, lists and the category are postings: for each folded value the sorted rows that hold it.
Numbers are float64 with NaN for missing, bools int8 with -1 for missing. On disk one Arrow file with
one record batch an attribute, whose single row holds the column's arrays.
"""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from artifacts.attributes import AttributeKind
from common.arrays import F64, I8, I32, I64, Bool
from index.filters import AnyOf, Condition, Filter, evaluate

_SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "values": pa.large_list(pa.large_string()),
        "offsets": pa.large_list(pa.int64()),
        "rows": pa.large_list(pa.int32()),
        "numbers": pa.large_list(pa.float64()),
        "flags": pa.large_list(pa.int8()),
        "kind": pa.string(),
    }
)
#: The types that a column may be of, where an earlier version wrote no kind.
_KINDS: Mapping[str, frozenset[str]] = {
    "values": frozenset({"string", "list"}),
    "numbers": frozenset({"number"}),
    "flags": frozenset({"bool"}),
}


class Searchable(Protocol):
    """One attribute of all rows."""

    def mask(self, condition: Condition) -> Bool:
        """Which rows meet a condition: bool ``[rows]``, a fresh array. A row without a value meets none."""


@dataclass(frozen=True, slots=True)
class Postings:
    """``values[v]`` (sorted, folded) is held by the rows ``rows[offsets[v]:offsets[v + 1]]``.

    ``values`` is a pyarrow string array: a dictionary of a million values costs no Python objects.
    """

    total: int
    values: Any
    offsets: I64
    rows: I32

    def mask(self, condition: Condition) -> Bool:
        """Which rows hold one of the values; strings have no ranges."""
        found = np.zeros(self.total, dtype=np.bool_)
        for value in condition.values if isinstance(condition, AnyOf) else ():
            place = bisect_left(range(len(self.values)), str(value), key=lambda i: self.values[i].as_py())
            if place < len(self.values) and self.values[place].as_py() == value:
                found[self.rows[self.offsets[place] : self.offsets[place + 1]]] = True
        return found


@dataclass(frozen=True, slots=True)
class Numbers:
    """float64 ``[rows]``, NaN where missing; NaN fails every comparison, which is what missing means."""

    numbers: F64

    def mask(self, condition: Condition) -> Bool:
        """Which rows equal one of the values, or lie in the range."""
        if isinstance(condition, AnyOf):
            return np.isin(self.numbers, np.array(condition.values, dtype=np.float64))
        found = np.ones(len(self.numbers), dtype=np.bool_)
        if condition.low is not None:
            above = np.greater if condition.low_open else np.greater_equal
            found &= above(self.numbers, condition.low)
        if condition.high is not None:
            below = np.less if condition.high_open else np.less_equal
            found &= below(self.numbers, condition.high)
        return found


@dataclass(frozen=True, slots=True)
class Flags:
    """int8 ``[rows]``: 1, 0, or -1 where missing."""

    flags: I8

    def mask(self, condition: Condition) -> Bool:
        """Which rows equal one of the values; bools have no ranges."""
        values = condition.values if isinstance(condition, AnyOf) else ()
        return np.isin(self.flags, np.array(values, dtype=np.int8))


#: What the attributes file keeps; each field of it is one of the file's.
Column: TypeAlias = Postings | Numbers | Flags


class Attributes:
    """The columns of a segment, by name."""

    def __init__(self, columns: Mapping[str, Column], kinds: Mapping[str, Collection[str]]) -> None:
        self._columns = columns
        #: Of each attribute the type that it was written with, or those that it may be of.
        self.kinds = kinds

    @classmethod
    def open(cls, path: Path, rows: int) -> Attributes:
        """Map an attributes file.

        Raises:
            ValueError: the file holds something else.
        """
        columns: dict[str, Column] = {}
        kinds: dict[str, Collection[str]] = {}
        with pa.memory_map(str(path)) as source:
            try:
                reader = pa.ipc.open_file(source)
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    name = batch.column("name")[0].as_py()
                    columns[name] = _column(batch, rows)
                    kinds[name] = _kinds(batch)
            except (pa.ArrowInvalid, KeyError) as error:
                raise ValueError(f"it is no attributes file ({error})") from error
        return cls(columns, kinds)

    def column(self, name: str) -> Column:
        """One attribute's column."""
        return self._columns[name]

    def mask(self, accepted: Filter) -> Bool:
        """Which rows a filter accepts: bool ``[rows]``."""
        return accepted_rows(accepted, self._columns)


def accepted_rows(accepted: Filter, columns: Mapping[str, Searchable]) -> Bool:
    """Which rows a filter accepts: bool ``[rows]``."""

    def holds(condition: Condition) -> Bool:
        return columns[condition.field].mask(condition)

    def negate(mask: Bool) -> Bool:
        return np.logical_not(mask, out=mask)

    return evaluate(accepted, holds, negate, operator.iand)


def write_attributes(path: Path, columns: Iterable[tuple[str, AttributeKind, Column]]) -> None:
    """Write an attributes file; takes the columns one by one, so that one is in memory at a time."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for name, kind, column in columns:
            writer.write_batch(_batch(name, kind, column))


def _batch(name: str, kind: AttributeKind, column: Column) -> Any:
    """A record batch of one row; each array of the column becomes one list cell without a copy."""
    cells = [pa.array([name])]
    for field in list(_SCHEMA)[1:-1]:
        values = getattr(column, field.name, None)
        if values is None:
            cells.append(pa.array([None], type=field.type))
        else:
            values = pa.array(values, type=field.type.value_type)
            cells.append(pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values))
    return pa.record_batch([*cells, pa.array([kind])], schema=_SCHEMA)


def _kinds(batch: Any) -> Collection[str]:
    if "kind" in batch.schema.names:
        return (batch.column("kind")[0].as_py(),)
    return next(kinds for field, kinds in _KINDS.items() if batch.column(field)[0].is_valid)


def _column(batch: Any, rows: int) -> Column:
    def cell(name: str) -> Any:
        return batch.column(name)[0].values

    if batch.column("values")[0].is_valid:
        return Postings(rows, cell("values"), cell("offsets").to_numpy(), cell("rows").to_numpy())
    kind = "numbers" if batch.column("numbers")[0].is_valid else "flags"
    values = cell(kind).to_numpy()
    if len(values) != rows:
        raise ValueError(f"attribute {batch.column('name')[0].as_py()} has not {rows} rows")
    return Numbers(values) if kind == "numbers" else Flags(values)
