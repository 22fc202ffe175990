"""JSON Lines (one object a line, UTF-8), plain or gzip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from artifacts.shop.errors import Fault
from artifacts.shop.lines import LineError, Lines
from artifacts.shop.tables import BadRow, Layout, Row, Table
from artifacts.shop.values import not_utf8


class JsonlTable(Table):
    """Rows of a JSONL file; a key that is absent or null is a missing value, blank lines are skipped."""

    def __init__(self, path: Path, layout: Layout[Any]) -> None:
        super().__init__(layout)
        self._lines = Lines(path)

    def rows(self) -> Iterator[Row]:
        """See `Table.rows`; an undeclared key is reported at the first line that has it."""
        names, known = self._layout.names, set(self._layout.names)
        unseen = {column.name for column in self._layout.columns if column.declared}
        rows = 0
        while True:
            try:
                line = next(self._lines)
            except StopIteration:
                break
            except LineError as stop:
                yield BadRow(stop.fault)
                if stop.fatal:
                    return
                continue
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                if line.isspace():
                    continue
                yield self._bad(line, error)
                continue
            if not isinstance(record, dict):
                message = f"the line is a JSON {type(record).__name__}, expected an object"
                yield BadRow(Fault(self._lines.number, None, "bad-json", message))
                continue
            rows += 1
            if not record.keys() <= known:
                for name in sorted(record.keys() - known):
                    self._tell_unknown(name, self._lines.number)
                known |= record.keys()
            if unseen:
                unseen -= record.keys()
            get = record.get
            yield self._lines.number, [get(name) for name in names]
        if rows:
            for name in sorted(unseen):
                self._tell(None, name, "missing-column", "is declared in shop.toml but is in no row")

    def close(self) -> None:
        """See `Table.close`."""
        self._lines.close()

    def _bad(self, line: bytes, error: orjson.JSONDecodeError) -> BadRow:
        number = self._lines.number
        key = self._layout.names[0].encode()
        match = re.search(rb'"' + key + rb'"\s*:\s*"([^"\\]+)"', line)
        recovered = match[1].decode(errors="replace") if match else None
        try:
            line.decode()
        except UnicodeDecodeError as wrong:
            message = f"the line is {not_utf8(line[wrong.start :], f' at byte {wrong.start + 1}')}"
            return BadRow(Fault(number, None, "bad-utf8", message), recovered)
        message = f"the line is no JSON: {error.msg} at column {error.colno}; expected one object"
        return BadRow(Fault(number, None, "bad-json", message), recovered)
