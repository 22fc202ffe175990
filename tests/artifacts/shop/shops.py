"""Writes small shops in each format, sound or not: raw rows in, files out."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ENDINGS = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")

Raw = Mapping[str, Any]


def picture_bytes(kind: str = "JPEG", side: int = 8) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), (200, 30, 60)).save(data, kind)
    return data.getvalue()


def write_rows(
    path: Path, columns: Sequence[str], rows: Sequence[Raw], types: Mapping[str, Any] | None = None
) -> None:
    """Write rows in the format of the path's ending; ``types`` overrides Parquet's guess by column."""
    if path.name.endswith(".parquet"):
        arrays = {
            name: pa.array([row.get(name) for row in rows], (types or {}).get(name)) for name in columns
        }
        pq.write_table(pa.table(arrays), path, row_group_size=7)
        return
    if ".csv" in path.name:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        writer.writerow(columns)
        writer.writerows([[_cell(row.get(name)) for name in columns] for row in rows])
        text = buffer.getvalue()
    else:
        text = "".join(
            json.dumps({name: row.get(name) for name in columns}, ensure_ascii=False) + "\n" for row in rows
        )
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "|".join(value)
    return value if isinstance(value, str) else repr(value)
