from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifacts.parquet import ARROW_TYPES, RowWriter

SCHEMA = pa.schema([("id", ARROW_TYPES["string"]), ("tags", ARROW_TYPES["list"])])


def test_rows_are_written_a_group_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with RowWriter(path, SCHEMA, 3) as writer:
        for number in range(7):
            writer.add((f"i{number}", None if number % 2 else ["a", "b"]))
    assert writer.rows == 7
    with pq.ParquetFile(path) as file:
        assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [3, 3, 1]
        table = file.read()
    assert table["id"].to_pylist() == [f"i{number}" for number in range(7)]
    assert table["tags"].to_pylist()[:2] == [["a", "b"], None]


def test_the_file_is_closed_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with pytest.raises(ValueError, match="shorter"), RowWriter(path, SCHEMA, 3) as writer:
        writer.add(("i0",))
    assert pq.read_table(path).num_rows == 0
