"""What the playground shows of a shop: a row for each item, and a few facts about all of them, in one file.

It is an Arrow file, mapped into memory, so that the workers of a service share it and a million items cost
none of them memory of its own. `artifacts.shop.previews` writes it; a server reads it without the shop.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

#: Columns of every row; ``attributes`` is a JSON object, which files of former versions have not.
COLUMNS: tuple[str, ...] = ("id", "title", "category", "picture", "attributes")
#: The id of the last row, whose ``attributes`` are `About` the shop: no item has an empty id. It comes last
#: because it is known when all items were read.
ABOUT_ID = ""
#: Key of the file's metadata: the folder of the pictures.
PICTURES = b"pictures"
_PARQUET = b"PAR1"

#: Facts about a shop: ``name``, ``items`` (how many), ``facets`` (see `artifacts.shop.facets`), ``examples``
#: (requests worth trying) and ``personas`` (shoppers with a history).
About = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Preview:
    """One item: its place in the file, and what is shown of it; ``attributes`` is JSON."""

    row: int
    title: str
    category: str
    picture: str
    attributes: bytes


class Previews:
    """An opened file. It holds ``rows`` items, whose pictures are below ``pictures``."""

    def __init__(self, table: pa.Table) -> None:
        self.about: About = {}
        if table.num_rows and table.column("id")[-1].as_py() == ABOUT_ID:
            self.about = orjson.loads(table.column("attributes")[-1].as_py())
            table = table.slice(0, table.num_rows - 1)
        self._table = table
        self._ids = table.column("id")
        folder = (table.schema.metadata or {}).get(PICTURES)
        self.pictures = None if folder is None else Path(os.fsdecode(folder))
        self.rows: int = table.num_rows

    @classmethod
    def open(cls, path: Path) -> Previews:
        """Map a file into memory; one of the former kind, Parquet, is read.

        Raises:
            OSError: no such file, or no file of previews.
        """
        with path.open("rb") as file:
            former = file.read(len(_PARQUET)) == _PARQUET
        try:
            if former:
                return cls(pq.read_table(path, columns=[name for name in COLUMNS if name != "attributes"]))
            return cls(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
        except pa.ArrowInvalid as error:
            raise OSError(f"{path} holds no previews of items: {error}") from error

    def of(self, ids: Iterable[str]) -> dict[str, Preview]:
        """The items that are there, by id. It looks at every id of the file: some 10 ms for a million."""
        mask = pc.is_in(self._ids, value_set=pa.array(list(ids), pa.string()))
        return self._rows(pc.indices_nonzero(mask).to_pylist())

    def at(self, item_id: str, row: int | None) -> Preview | None:
        """One item, where its row is known at once; None where there is no such item."""
        if row is not None and 0 <= row < self.rows and self._ids[row].as_py() == item_id:
            return self._rows([row]).get(item_id)
        return self.of([item_id]).get(item_id)

    def _rows(self, places: list[int]) -> dict[str, Preview]:
        found = self._table.take(pa.array(places, pa.int64())).to_pylist()
        return {
            row["id"]: Preview(
                place,
                row["title"] or "",
                row["category"] or "",
                row["picture"] or "",
                (row.get("attributes") or "{}").encode(),
            )
            for place, row in zip(places, found, strict=True)
        }
