"""A table of item ids: from row to id by an offset, from id to row by a sorted hash; 20 bytes a row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from common.arrays import I32, I64

_HASH_BYTES = 8
#: Up to so many ids it is faster to decode each here than to ask Arrow for all at once; measured.
_SINGLY = 12
#: Ids whose rows are remembered, in some four megabytes. *Inferred*: a user's request looks at 200 to 400
#: items, and those of fifty users who come again are 12,000.
HOT = 32_768
#: A table of so many rows remembers the id of each row that was found, in at most nine megabytes. To make a
#: string takes four times as long; where there are more items, searches take longer by far.
NAMED = 131_072


class DuplicateId(ValueError):  # noqa: N818 -- the state of a table
    """An id occurs twice."""


def write_ids(path: Path, ids: Any) -> None:
    """Write a table of ids, an Arrow file, from a pyarrow string array without nulls, in row order.

    Raises:
        DuplicateId: an id occurs twice.
    """
    hashed = hashes(ids.to_pylist())
    rows = np.argsort(hashed, kind="stable").astype(np.int32)
    batch = pa.record_batch({"id": ids.cast(pa.large_string()), "hash": hashed[rows], "row": rows})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    table = IdTable.open(path)
    equal = np.flatnonzero(hashed[rows][1:] == hashed[rows][:-1])
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
        self._rows: I32 = batch.column("row").to_numpy()
        #: Rows of ids that were looked up lately: the table is rarely in the processor's cache, this is.
        self._hot: dict[str, int] = {}
        #: The ids of rows that were found, and None; all answers that are kept share these strings.
        self._names = np.full(self.rows, None, dtype=object) if self.rows <= NAMED else None

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
        kept = self._names
        if kept is None:
            return self._decoded(rows)
        names: list[str] = kept[rows].tolist()
        if not all(names):  # one is None
            missing = rows[[name is None for name in names]]
            kept[missing] = np.array(self._decoded(missing), dtype=object)
            names = kept[rows].tolist()
        return names

    def _decoded(self, rows: I64) -> list[str]:
        if len(rows) <= _SINGLY:
            return [self.id(row) for row in rows.tolist()]
        ids: list[str] = self.array.take(pa.array(rows)).to_numpy(zero_copy_only=False).tolist()
        return ids

    def by_hash(self, start: int, end: int) -> tuple[I64, npt.NDArray[np.uint64]]:
        """Rows in the order of their hashes, from one place in it to another, and the hashes."""
        return self._rows[start:end].astype(np.int64), self._hashes[start:end]

    def find(self, ids: Sequence[str]) -> tuple[list[str], I64]:
        """The ids that are in the table, in the order asked, and their rows."""
        rows_of = self._hot
        rows = list(map(rows_of.get, ids))
        if None not in rows:  # nearly always
            return list(ids), np.array(rows, dtype=np.int64)
        missing = [item_id for item_id, row in zip(ids, rows, strict=True) if row is None]
        if len(rows_of) + len(missing) > HOT:
            rows_of, missing = {}, list(ids)
            if len(missing) <= HOT:
                self._hot = rows_of
        rows_of.update(self._look_up(missing))
        found = [(item_id, row) for item_id in ids if (row := rows_of.get(item_id)) is not None]
        return [item_id for item_id, _ in found], np.array([row for _, row in found], dtype=np.int64)

    def _look_up(self, ids: Sequence[str]) -> Iterator[tuple[str, int]]:
        """The ids that are in the table, and their rows."""
        hashed = hashes(ids)
        places = self._hashes.searchsorted(hashed)
        # All ids are compared at once with the first of their hash, which nearly always is the one.
        likely = self._rows[np.minimum(places, self.rows - 1)].astype(np.int64)
        rows = zip(ids, self.ids(likely), likely.tolist(), strict=True)
        for number, (item_id, there, row) in enumerate(rows):
            found = row if there == item_id else self._row(item_id, hashed[number], int(places[number]))
            if found is not None:
                yield item_id, found

    def _row(self, item_id: str, value: np.uint64, place: int) -> int | None:
        """The row of an id whose hash would stand at ``place``; ids of equal hashes stand in a run."""
        while place < self.rows and self._hashes[place] == value:
            row = int(self._rows[place])
            if self.id(row) == item_id:
                return row
            place += 1
        return None


def hashes(ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    """64-bit hashes that are the same in every process and every version of Python."""
    digests = b"".join(
        hashlib.blake2b(item_id.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest()
        for item_id in ids
    )
    return np.frombuffer(digests, dtype="<u8")
