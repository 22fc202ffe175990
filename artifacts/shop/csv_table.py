"""CSV (RFC 4180 with commas, UTF-8), plain or gzip."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from artifacts.shop.errors import Fault
from artifacts.shop.lines import LineError, Lines
from artifacts.shop.tables import BadRow, Layout, Row, Table
from artifacts.shop.values import not_utf8

#: Delimiters of other dialects: a header of one cell that has one of them in it was written in that dialect.
_OTHER_DELIMITERS = (";", "\t", "|")


class _Text:
    """Decoded lines for the csv module; keeps the lines of the current record.

    A line that is not UTF-8 is decoded with surrogates in place of its bad bytes and sets ``dirty``: only the
    cells of such records are checked for them.
    """

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.record: list[bytes] = []
        self.dirty = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.record.append(line)
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.dirty = True
            return line.decode(errors="surrogateescape")


class CsvTable(Table):
    """Rows of a CSV file with a header line; an empty cell is a missing value."""

    textual = True

    def __init__(self, path: Path, layout: Layout[Any]) -> None:
        super().__init__(layout)
        self._text = _Text(Lines(path))
        self._places: list[int | None] = []
        names = self._read_header()
        self._width = len(names)
        if names:
            known = {name: place for place, name in self._known_columns(names, 1)}
            self._places = [known.get(name) for name in layout.names]
        else:
            self.faulty.update(layout.names)

    def rows(self) -> Iterator[Row]:
        """See `Table.rows`; a record of several lines counts as its first."""
        if not self._width:
            return
        width, places = self._width, self._places
        for record in self._records():
            if isinstance(record, BadRow):
                yield record
                continue
            line, cells = record
            if len(cells) != width:
                place = places[0]
                key = cells[place] if place is not None and place < len(cells) else None
                has = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
                message = f"the row has {has}, expected {width} as in the header"
                yield BadRow(Fault(line, None, "cell-count", message), key if isinstance(key, str) else None)
                continue
            yield line, [None if place is None else cells[place] or None for place in places]

    def close(self) -> None:
        """See `Table.close`."""
        self._text.lines.close()

    def _read_header(self) -> list[str]:
        """Names of the columns; none where no row can be read."""
        header = next(self._records(), None)
        if header is None:
            self._tell(1, None, "no-header", "the file is empty, expected a header line")
            return []
        if isinstance(header, BadRow):
            self.faults.append(header.fault)
            return []
        cells = header[1]
        bad = b"".join(cell for cell in cells if isinstance(cell, bytes))
        if bad:
            self._tell(1, None, "bad-utf8", f"the header is {not_utf8(bad)}")
            if b"\0" in bad:
                return []  # nor can anything after it be read
        names = [cell.decode("cp1252", "replace") if isinstance(cell, bytes) else cell for cell in cells]
        if len(names) == 1 and (other := next((d for d in _OTHER_DELIMITERS if d in names[0]), None)):
            # one fault that names the cause, not one for each column that seems to be missing
            self._tell(1, None, "delimiter", f"the header's cells stand apart by {other!r}, expected commas")
            return []
        return names

    def _key(self, line: bytes) -> str | None:
        """The first column of the layout, where it stands before the first quote of a broken line."""
        place = self._places[0] if self._places else None
        cells = line.split(b'"')[0].split(b",")
        return cells[place].decode(errors="replace") if place is not None and place < len(cells) - 1 else None

    def _records(self) -> Iterator[tuple[int, Sequence[str | bytes]] | BadRow]:
        text = self._text
        # strict, so that a stray quote is an error and not a guess
        reader = csv.reader(text, strict=True)
        while True:
            text.record.clear()
            text.dirty = False
            line = text.lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                # An unclosed quote swallows the lines after it: only its own is lost, they are read again.
                swallowed = text.record[1:]
                text.lines.put_back(swallowed)
                hint = "a quote is not closed" if swallowed else str(error)
                fault = Fault(line, None, "bad-csv", f"the row is no CSV: {hint}; expected RFC 4180")
                yield BadRow(fault, self._key(text.record[0]))
                continue
            except LineError as stop:
                yield BadRow(stop.fault)
                if stop.fatal:
                    return
                reader = csv.reader(text, strict=True)
                continue
            if not cells:
                continue
            yield line, list(map(_bytes_where_bad, cells)) if text.dirty else cells


def _bytes_where_bad(cell: str) -> str | bytes:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return cell.encode(errors="surrogateescape")
    return cell
