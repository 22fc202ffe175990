"""The texts of a base's items by field, memory-mapped: what changes and rebuilds start from.

On disk one Arrow file with a string column for each field, in record batches of `BATCH` rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

#: Rows of a record batch, each of which is in memory as a whole when it is written.
BATCH = 8192


class Texts:
    """The texts of all rows. For any thread."""

    def __init__(self, reader: Any, fields: Sequence[str]) -> None:
        self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        self._fields = tuple(fields)

    @classmethod
    def open(cls, path: Path, rows: int, fields: Sequence[str]) -> Texts:
        """Map a texts file.

        Raises:
            ValueError: the file holds something else.
        """
        with pa.memory_map(str(path)) as source:
            try:
                reader = pa.ipc.open_file(source)
                texts = cls(reader, fields)
            except pa.ArrowInvalid as error:
                raise ValueError(f"it is no texts file ({error})") from error
        if reader.schema.names != list(fields):
            raise ValueError(f"it has the fields {reader.schema.names}, expected {list(fields)}")
        sizes = [batch.num_rows for batch in texts._batches]
        if sum(sizes) != rows or any(size != BATCH for size in sizes[:-1]):
            raise ValueError(f"it has {sum(sizes)} rows, expected {rows}")
        return texts

    def row(self, row: int) -> dict[str, str]:
        """The texts of a row, without empty ones."""
        batch, place = self._batches[row // BATCH], row % BATCH
        found = ((name, batch.column(number)[place].as_py()) for number, name in enumerate(self._fields))
        return {name: text for name, text in found if text}

    def column(self, name: str, rows: Iterable[int]) -> list[str]:
        """One field's text of each row; an empty one where there is no such field."""
        if name not in self._fields:
            return ["" for _ in rows]
        number = self._fields.index(name)
        return [self._batches[row // BATCH].column(number)[row % BATCH].as_py() or "" for row in rows]


def write_texts(path: Path, fields: Sequence[str], batches: Iterable[Sequence[Mapping[str, str]]]) -> None:
    """Write a texts file; ``batches`` are of `BATCH` rows, but for the last."""
    schema = pa.schema([(name, pa.large_string()) for name in fields])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for rows in batches:
            columns = [pa.array([row.get(name, "") for row in rows], pa.large_string()) for name in fields]
            writer.write_batch(pa.record_batch(columns, schema=schema))
