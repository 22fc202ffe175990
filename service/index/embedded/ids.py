"""Item ids in 20 bytes beside their text: row to id by offset, id to row by a sorted hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.index.embedded.vectors import I64

_HASH_BYTES = 8


class DuplicateId(ValueError):  # noqa: N818 -- the state of a table
    """An id occurs twice."""


def write_ids(path: Path, ids: Any) -> None:
    """Write a table of ids.

    Args:
        path: an Arrow file, laid out so that it can be memory-mapped.
        ids: pyarrow string array without nulls, in row order.

    Raises:
        DuplicateId: an id occurs twice.
    """
    hashes = _hashes(ids.to_pylist())
    rows = np.argsort(hashes, kind="stable").astype(np.int32)
    batch = pa.record_batch(
        {"id": ids.cast(pa.large_string()), "hash": hashes[rows], "row": rows},
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    table = IdTable.open(path)
    equal = np.flatnonzero(hashes[rows][1:] == hashes[rows][:-1])
    for one, other in zip(rows[equal].tolist(), rows[equal + 1].tolist(), strict=True):
        if table.id(one) == table.id(other):
            raise DuplicateId(f"id {table.id(one)!r} is in row {one} and in row {other}")


class IdTable:
    """A memory-mapped table of ids."""

    def __init__(self, batch: Any) -> None:
        ids = batch.column("id")
        _, offsets, text = ids.buffers()
        self.rows = len(ids)
        #: All ids as pyarrow strings, in row order.
        self.array = ids
        self._offsets: I64 = np.frombuffer(offsets, dtype=np.int64)[: self.rows + 1]
        self._text = memoryview(text)
        self._hashes: npt.NDArray[np.uint64] = batch.column("hash").to_numpy()
        self._rows: npt.NDArray[np.int32] = batch.column("row").to_numpy()

    @classmethod
    def open(cls, path: Path) -> IdTable:
        """Map a table of ids.

        Raises:
            ValueError: the file holds something else.
        """
        with pa.memory_map(str(path)) as source:
            try:
                return cls(pa.ipc.open_file(source).get_batch(0))
            except (pa.ArrowInvalid, KeyError) as error:
                raise ValueError(f"it is no table of ids ({error})") from error

    def id(self, row: int) -> str:
        """The id of one row."""
        return str(self._text[self._offsets[row] : self._offsets[row + 1]], "utf-8")

    def ids(self, rows: I64) -> list[str]:
        """The ids of some rows."""
        text = self._text
        starts, ends = self._offsets[rows].tolist(), self._offsets[rows + 1].tolist()
        return [str(text[start:end], "utf-8") for start, end in zip(starts, ends, strict=True)]

    def find(self, ids: Sequence[str]) -> tuple[list[str], I64]:
        """The ids that are in the table, in the order asked, and their rows."""
        if not ids:
            return [], np.empty(0, dtype=np.int64)
        hashes = _hashes(ids)
        known: list[str] = []
        rows: list[int] = []
        for item_id, value, place in zip(ids, hashes, np.searchsorted(self._hashes, hashes), strict=True):
            row = self._row(item_id, value, int(place))
            if row is not None:
                known.append(item_id)
                rows.append(row)
        return known, np.array(rows, dtype=np.int64)

    def _row(self, item_id: str, value: np.uint64, place: int) -> int | None:
        """The row of an id whose hash would stand at ``place``; ids of equal hashes stand in a run."""
        while place < self.rows and self._hashes[place] == value:
            row = int(self._rows[place])
            if self.id(row) == item_id:
                return row
            place += 1
        return None


def _hashes(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    """64-bit hashes that are the same in every process and version, unlike Python's own."""
    digests = b"".join(
        hashlib.blake2b(item_id.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest()
        for item_id in ids
    )
    return np.frombuffer(digests, dtype="<u8")
