"""`check_shop`: everything wrong with a shop's files, each with its place and with what was expected.

Item ids are kept whole (a hash could collide), each with the line of its first row: about 200 MB for a
million items. Nothing is kept of the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from artifacts.actions import ACTIONS
from artifacts.shop.errors import DataError, Fault, located
from artifacts.shop.formats import find_file, nothing_found, open_table
from artifacts.shop.pictures import MAKE_PICTURES, NO_PICTURES, read_pixels
from artifacts.shop.records import EVENT_LAYOUT, Parser, item_layout
from artifacts.shop.schema import Event, Item
from artifacts.shop.shop import HARMLESS, UNTAUGHT
from artifacts.shop.shop_toml import FILE_NAME, OUTSIDE, SchemaReading, read_shop_toml
from artifacts.shop.tables import STEP, BadRow, Layout, Table
from artifacts.shop.values import shown
from common.hints import absent
from common.progress import StageProgress, silent_stage

T = TypeVar("T")

#: No log of a web shop is older; an earlier time is a clock that was never set (often 1970). *Inferred*.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
#: Clocks of different machines differ; an event further ahead than this is an error. *Inferred*.
CLOCK_TOLERANCE = timedelta(minutes=5)
#: Edge in pixels to which a picture is decoded: all its data is read, at little cost.
_PROBE_SIDE = 8
#: Pictures whose result is kept, since many events share a picture.
_PICTURES_REMEMBERED = 65_536


@dataclass(frozen=True)
class ShopProblem:
    """One thing wrong.

    ``file`` is relative to the shop's folder; ``line`` counts from 1 (Parquet: rows from 1) and is None where
    the file as a whole is meant; ``message`` says what was found and what was expected, and follows the
    column's name; ``code`` is stable, for machines.
    """

    file: str
    line: int | None
    column: str | None
    message: str
    code: str

    def __str__(self) -> str:
        return located(self.file, self.line, self.column, self.message)

    @property
    def harmless(self) -> bool:
        """Whether everything works in spite of it, as with a column that nobody declared and nobody reads."""
        return self.code in HARMLESS


def check_shop(
    path: Path, progress: StageProgress = silent_stage, *, now: datetime | None = None
) -> Iterator[ShopProblem]:
    """Find everything wrong with a shop's files; in file order, ``shop.toml``, then items, then events.

    Memory grows with the number of items only. ``progress`` gets the rows read of both files, and their
    number where Parquet tells it. Events after ``now`` (the clock's by default) are in the future.
    """
    if not path.is_dir():
        yield ShopProblem(str(path), None, None, absent("shop", path) or "is no folder", "no-shop")
        return
    with ExitStack() as files:
        yield from _Check(path, progress, now or datetime.now(UTC), files).problems()


class _Check:
    def __init__(self, path: Path, progress: StageProgress, now: datetime, files: ExitStack) -> None:
        self._path = path
        self._files = files
        self._progress = progress
        self._latest = now + CLOCK_TOLERANCE
        self._reading: SchemaReading = read_shop_toml(path)
        self._pictures = path / self._reading.schema.pictures
        #: Whether pictures are looked at; not where their folder leads out of the shop's.
        self._looks = not any((f.column, f.code) == ("pictures", OUTSIDE) for f in self._reading.faults)
        self._first_lines: dict[str, int] = {}
        self._rows = 0
        self._total: int | None = None
        self._no_pictures_told = False
        # Only where the whole items file could be read; else items of events would be reported wrongly.
        self._ids_known = False
        self._picture_fault = lru_cache(_PICTURES_REMEMBERED)(self._look_at_picture)

    def problems(self) -> Iterator[ShopProblem]:
        schema = self._reading.schema
        yield from (_problem(FILE_NAME, fault) for fault in self._reading.faults)
        tables: dict[str, tuple[str, Table]] = {}
        untaught: ShopProblem | None = None
        for stem, named in (("items", schema.items), ("events", schema.events)):
            try:
                file = find_file(self._path, stem, named, required=stem == "items")
                if file is None:
                    message = f"{nothing_found(stem)}; {UNTAUGHT}"
                    untaught = ShopProblem(stem, None, None, message, "no-behaviour")
                    continue
                table = open_table(file, item_layout(schema) if stem == "items" else EVENT_LAYOUT)
                self._files.callback(table.close)
                tables[stem] = self._relative(file), table
            except DataError as error:
                relative = self._relative(Path(error.file))
                yield ShopProblem(relative, error.line, error.column, error.message, error.code)
        counts = [table.count() for _, table in tables.values()]
        self._total = None if None in counts else sum(filter(None, counts))
        if "items" in tables:
            yield from self._items(*tables["items"])
        if "events" in tables:
            yield from self._events(*tables["events"])
        if untaught:
            yield untaught
        if self._rows >= STEP:  # less is done before anybody asks how far it is
            self._progress(self._rows, self._rows)

    def _items(self, file: str, table: Table) -> Iterator[ShopProblem]:
        faulty = frozenset(table.faulty)
        whole = "id" not in faulty
        rows_before = self._rows

        def check(line: int, item: Item, faults: list[Fault]) -> None:
            first = self._first_lines.setdefault(item.id, line) if item.id else line
            if first != line:
                message = f"is {shown(item.id)}, which line {first} has too; expected every id once"
                faults.append(Fault(line, "id", "duplicate-id", message))
            if item.picture is not None:
                self._check_picture(line, item.picture, faults)

        def note(row: BadRow) -> None:
            nonlocal whole
            whole = whole and row.fault.code != "unreadable-file"
            if row.key is not None and row.fault.line is not None:
                self._first_lines.setdefault(row.key, row.fault.line)

        yield from self._faults(file, table, item_layout(self._reading.schema), check, note)
        if self._rows == rows_before and not faulty:
            yield ShopProblem(file, None, None, "has no rows, expected one item at least", "no-items")
        self._ids_known = whole

    def _events(self, file: str, table: Table) -> Iterator[ShopProblem]:
        taught = bool(table.faulty)  # as far as one can know, here and of rows that cannot be read

        def check(line: int, event: Event, faults: list[Fault]) -> None:
            nonlocal taught
            teaches = event.action in ACTIONS.behaviours and event.split in (None, "train")
            taught = taught or bool(faults) or teaches
            odd = not EARLIEST <= event.ts <= self._latest and "ts" not in table.faulty
            if odd and not any(fault.column == "ts" for fault in faults):
                when = "in the future" if event.ts > self._latest else f"before {EARLIEST.year}"
                message = (
                    f"is {event.ts.isoformat()}, which is {when}; expected the time at which it happened"
                )
                faults.append(Fault(line, "ts", "clock-error", message))
            if self._ids_known and event.item and event.item not in self._first_lines:
                found = f"is {shown(event.item)}, which no row of the items file has"
                faults.append(Fault(line, "item", "unknown-item", f"{found}; expected the id of an item"))
            if event.picture is not None:
                self._check_picture(line, event.picture, faults)

        def note(row: BadRow) -> None:
            nonlocal taught
            taught = True

        yield from self._faults(file, table, EVENT_LAYOUT, check, note)
        if not taught:
            message = f"no {ACTIONS.any_behaviour()} to train on; {UNTAUGHT}"
            yield ShopProblem(file, None, None, message, "no-behaviour")

    def _faults(
        self,
        file: str,
        table: Table,
        layout: Layout[T],
        check: Callable[[int, T, list[Fault]], None],
        note: Callable[[BadRow], None],
    ) -> Iterator[ShopProblem]:
        """Every fault of a file; ``check`` adds to those of a record, ``note`` sees rows that are none."""
        yield from self._told(file, layout, table.take_faults())
        parser = Parser(layout, table)
        for row in table.rows():
            self._rows += 1
            if self._rows % STEP == 0:
                self._progress(self._rows, self._total)
            if isinstance(row, BadRow):
                note(row)
                yield _problem(file, row.fault)
                continue
            faults: list[Fault] = []
            check(row[0], parser.parse(row[0], row[1], faults), faults)
            if faults or table.faults:
                yield from self._told(file, layout, [*faults, *table.take_faults()])
        yield from self._told(file, layout, table.take_faults())

    def _told(self, file: str, layout: Layout[T], faults: list[Fault]) -> Iterator[ShopProblem]:
        reading = self._reading
        for fault in faults:
            # a column of the items can be called undeclared only where the declarations could be read
            declared = fault.column in reading.untyped or not reading.readable
            if layout is EVENT_LAYOUT or fault.code != "unknown-column" or not declared:
                yield _problem(file, fault)

    def _check_picture(self, line: int, relative: str, faults: list[Fault]) -> None:
        found = self._picture_fault(relative) if self._looks else None
        if found is None:
            return
        if found[0] != NO_PICTURES:
            faults.append(Fault(line, "picture", *found))
        elif not self._no_pictures_told:
            self._no_pictures_told = True
            message = f"there is no folder {self._pictures}; {MAKE_PICTURES}"
            faults.append(Fault(None, None, NO_PICTURES, message))

    def _look_at_picture(self, relative: str) -> tuple[str, str] | None:
        try:
            read_pixels(self._pictures, relative, _PROBE_SIDE)
        except DataError as error:
            return error.code, error.message
        return None

    def _relative(self, file: Path) -> str:
        return file.relative_to(self._path).as_posix() if file.is_relative_to(self._path) else str(file)


def _problem(file: str, fault: Fault) -> ShopProblem:
    return ShopProblem(file, fault.line, fault.column, fault.message, fault.code)
