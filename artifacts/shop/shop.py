"""`Shop`: a shop's folder, its items and events streamed in file order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from artifacts.shop.errors import DataError, Fault
from artifacts.shop.formats import find_file, open_table
from artifacts.shop.pictures import read_picture, read_pixels
from artifacts.shop.records import EVENT_LAYOUT, Parser, item_layout
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop_toml import FILE_NAME, read_shop_toml
from artifacts.shop.tables import BadRow, Layout, Table
from common.arrays import U8
from common.hints import absent

T = TypeVar("T")

#: Codes of faults that stop no reader: an undeclared column is not read, and without behaviours training
#: learns from the catalogue alone. `mrse check` reports them as warnings.
HARMLESS = frozenset({"unknown-column", "no-behaviour"})
UNTAUGHT = "training learns nothing from behaviour"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Shop:
    """A shop's files, read strictly and in bounded memory; ``schema`` is what ``shop.toml`` declares."""

    path: Path
    schema: ShopSchema
    items_file: Path
    events_file: Path | None

    @classmethod
    def open(cls, path: Path) -> Shop:
        """Read ``shop.toml`` and find the files.

        Raises:
            DataError: no such folder, an unreadable ``shop.toml``, or no items file.
        """
        if not path.is_dir():
            raise DataError(path, absent("shop", path) or "is no folder", "no-shop")
        reading = read_shop_toml(path)
        for fault in reading.faults:
            raise DataError.from_fault(path / FILE_NAME, fault)
        items = find_file(path, "items", reading.schema.items, required=True)
        events = find_file(path, "events", reading.schema.events, required=False)
        assert items is not None
        return cls(path, reading.schema, items, events)

    def items(self) -> Iterator[Item]:
        """Every item, in file order; ``attributes`` holds every declared one, None where it is missing.

        Raises:
            DataError: at the first invalid row, with file, line, column and what was expected.
        """
        return _stream(self.items_file, item_layout(self.schema))

    def events(self) -> Iterator[Event]:
        """Every event, in file order; nothing where the shop has no events file.

        Raises:
            DataError: as `items`.
        """
        return iter(()) if self.events_file is None else _stream(self.events_file, EVENT_LAYOUT)

    def count_items(self) -> int:
        """Number of rows of the items file; Parquet tells at once, CSV and JSONL are read through."""
        with closing(open_table(self.items_file, item_layout(self.schema))) as table:
            count = table.count()
            return sum(1 for _ in table.rows()) if count is None else count

    def picture(self, relative: str) -> bytes:
        """The bytes of a picture, by its path below the pictures folder, as in the ``picture`` columns.

        Raises:
            DataError: no such file, or a path that leaves the folder.
        """
        return read_picture(self.path / self.schema.pictures, relative)

    def pixels(self, relative: str, side: int) -> U8:
        """The pixels of a picture: uint8 ``[side, side, 3]``, see `decode_picture`.

        Raises:
            DataError: no such file, or no picture that can be used.
        """
        return read_pixels(self.path / self.schema.pictures, relative, side)

    def fingerprint(self) -> str:
        """16 hex digits over the bytes of ``shop.toml``, items and events, and the pictures' names and sizes.

        Pictures are not read: a million of them would take minutes, and one that is drawn anew has another
        size in all but the rarest case.
        """
        digest = hashlib.sha256()
        for part in (self.path / FILE_NAME, self.items_file, self.events_file):
            if part is None:
                continue
            digest.update(part.stat().st_size.to_bytes(8, "big"))
            with part.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        pictures = self.path / self.schema.pictures
        for name, size in sorted(_files(pictures, "")):
            digest.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()[:16]


def _files(folder: Path, below: str) -> Iterator[tuple[str, int]]:
    """Every file below a folder with its size in bytes; nothing where there is no folder."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), f"{below}{entry.name}/")
            else:
                yield f"{below}{entry.name}", entry.stat(follow_symlinks=False).st_size


def _stream(path: Path, layout: Layout[T]) -> Iterator[T]:
    with closing(open_table(path, layout)) as table:
        _raise_first(path, table)
        parse = Parser(layout, table).parse
        faults: list[Fault] = []
        for row in table.rows():
            if isinstance(row, BadRow):
                raise DataError.from_fault(path, row.fault)
            record = parse(row[0], row[1], faults)
            if faults:
                raise DataError.from_fault(path, faults[0])
            yield record
        _raise_first(path, table)


def _raise_first(path: Path, table: Table) -> None:
    for fault in table.take_faults():
        if fault.code not in HARMLESS:
            raise DataError.from_fault(path, fault)
