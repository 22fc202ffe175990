"""Parquet, read in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artifacts.shop.errors import Fault
from artifacts.shop.tables import BadRow, Kind, Layout, Row, Table
from common.files import refuse_irregular

#: Rows decoded at once: some MB of events, and little overhead a row.
BATCH_ROWS = 8192
#: What reading a damaged file raises; a name that is not UTF-8, a UnicodeDecodeError.
DAMAGED = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXPECTED: Mapping[Kind, str] = {
    "string": "string",
    "number": "number",
    "bool": "bool",
    "list": "list of strings",
    "time": "timestamp or ISO 8601 string",
}


class ParquetTable(Table):
    """Rows of a Parquet file; a row's number, from 1, stands for its line."""

    def __init__(self, path: Path, layout: Layout[Any]) -> None:
        super().__init__(layout)
        self._file: Any = None
        try:
            refuse_irregular(path)
            self._file = pq.ParquetFile(path)
            schema = self._file.schema_arrow
        except DAMAGED as error:
            self._tell(None, None, "unreadable-file", f"cannot be read: {_first_line(error)}")
            self.faulty.update(layout.names)
            self.close()
            self._file = None
            return
        kinds = {column.name: column.kind for column in layout.columns}
        for place, name in self._known_columns(schema.names, None):
            found = schema.field(place).type
            if not _fits(kinds[name], found):
                message = f"is a column of type {found}, expected {_EXPECTED[kinds[name]]}"
                self._tell(None, name, "wrong-type", message)
        self._columns = [name for name in schema.names if name in kinds and name not in self.faulty]

    def rows(self) -> Iterator[Row]:
        """See `Table.rows`."""
        if self._file is None:
            return
        done = 0
        try:
            for batch in self._file.iter_batches(batch_size=BATCH_ROWS, columns=self._columns):
                absent: list[object] = [None] * batch.num_rows
                columns = [
                    _values(batch.column(name)) if name in self._columns else absent
                    for name in self._layout.names
                ]
                yield from enumerate(zip(*columns, strict=True), start=done + 1)
                done += batch.num_rows
        except DAMAGED as error:
            message = f"cannot be read from row {done + 1} on: {_first_line(error)}"
            yield BadRow(Fault(done + 1, None, "unreadable-file", message))

    def count(self) -> int | None:
        """Number of rows, from the file's footer."""
        return None if self._file is None else int(self._file.metadata.num_rows)

    def close(self) -> None:
        """See `Table.close`."""
        if self._file is not None:
            self._file.close()


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
_FITTING: Mapping[Kind, tuple[Callable[[Any], bool], ...]] = {
    "string": (_is_text,),
    "number": (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    "bool": (pa.types.is_boolean,),
    "list": (),
    "time": (pa.types.is_timestamp, pa.types.is_date, _is_text),
}


def _fits(kind: Kind, found: Any) -> bool:
    if kind == "list" and any(is_list(found) for is_list in _LISTS):
        return _fits("string", found.value_type)
    return any(fits(found) for fits in (pa.types.is_null, *_FITTING[kind]))


def _values(column: Any) -> list[object]:
    types = pa.types
    if types.is_timestamp(column.type) or types.is_date(column.type):
        # straight from the integers: pyarrow's own conversion is slower and raises on years over 9999
        stamps = pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64())
        return [None if stamp is None else _time(stamp) for stamp in stamps.to_pylist()]
    try:
        result: list[object] = column.to_pylist()
    except UnicodeDecodeError:
        result = [_lenient(value) for value in column]
    return result


def _time(microseconds: int) -> object:
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return f"{microseconds} µs from 1970"


def _lenient(value: Any) -> object:
    """A scalar's value, with bytes in place of text that is not UTF-8."""
    try:
        return value.as_py()
    except UnicodeDecodeError:
        pass
    if pa.types.is_dictionary(value.type):
        value = value.value
    if _is_text(value.type):
        return value.as_buffer().to_pybytes()
    return [_lenient(element) for element in value.values]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
