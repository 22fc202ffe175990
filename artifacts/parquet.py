"""Writes rows to Parquet in bounded memory. Imported where Parquet is written: a server needs none of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from artifacts.attributes import AttributeKind

#: The column types of attributes.
ARROW_TYPES: Mapping[AttributeKind, Any] = {
    "string": pa.string(),
    "number": pa.float64(),
    "bool": pa.bool_(),
    "list": pa.list_(pa.string()),
}


class RowWriter:
    """A Parquet file that is written ``group_rows`` at a time, the most that is held in memory.

    Closed when a ``with`` block ends; ``rows`` were added so far.
    """

    def __init__(self, path: Path, schema: pa.Schema, group_rows: int) -> None:
        self._schema = schema
        self._group_rows = group_rows
        self._columns: list[list[object]] = [[] for _ in schema]
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self.rows = 0

    def add(self, row: Iterable[object]) -> None:
        """Add a row: a value for each column, in order."""
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        self.rows += 1
        if len(self._columns[0]) >= self._group_rows:
            self._flush()

    def close(self, *, whole: bool = True) -> None:
        """Close the file; where it is not to be ``whole``, without the rows that are still in memory."""
        if whole and self._columns[0]:
            self._flush()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(whole=kind is None)

    def _flush(self) -> None:
        columns = dict(zip(self._schema.names, self._columns, strict=True))
        self._writer.write_table(pa.table(columns, schema=self._schema))
        for column in self._columns:
            column.clear()
