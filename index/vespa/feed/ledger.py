"""The changes of a document type since its last folder, on disk: what a folder must not undo.

A change is written here before it is sent. A feed of a folder looks here before it puts an item, and again
when it is through, until nothing came in between: so a removed item does not come back, and a change of an
item that was not there yet is applied. What the folder holds already is forgotten once it is fed.

One SQLite file for each document type, beside the package: all who feed a version share that folder.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from common.errors import NOT_IN_ORDER, MrseError
from index.vespa.feed.merged import Change, Merged

#: Below the package folder.
FOLDER: Final = "feeds"
#: Seconds to wait for another feed's transaction.
_PATIENCE: Final = 60.0
#: Seconds between two tries where SQLite itself does not wait.
_PAUSE: Final = 0.01
#: Other versions are no times, but numbers of somebody's own: microseconds of the years 2001 to 8307.
_TIMES: Final = range(10**15, 2 * 10**17)
_TABLES: Final = """
create table if not exists changes (id text primary key, state blob not null, version integer not null,
                                    seq integer not null) without rowid;
create index if not exists changes_by_seq on changes (seq);
create table if not exists facts (name text primary key, value text not null) without rowid;
"""


class FeedRefused(MrseError):  # noqa: N818 -- a decision, not a mistake
    """Feeding this would undo what is newer, or is not possible now."""

    exit_code = NOT_IN_ORDER


class Ledger:
    """Changes by item, each with a number in the order written; facts of the folder fed last.

    Not thread-safe; several processes may share a file.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        #: The number of the last change when `record` was through.
        self.recorded = 0
        self._db = sqlite3.connect(
            path or ":memory:", timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        _to_wal(self._db)
        self._db.executescript(f"pragma synchronous=full; {_TABLES}")

    @classmethod
    def of(cls, package: Path, document_type: str) -> Ledger:
        """The ledger of a document type of a package folder."""
        return cls(package / FOLDER / f"{document_type}.db")

    @classmethod
    def is_in(cls, package: Path, document_type: str) -> bool:
        """Whether there is one: the version was fed or changed from this folder."""
        return (package / FOLDER / f"{document_type}.db").is_file()

    @classmethod
    def as_of_in(cls, package: Path, document_type: str) -> int:
        """`as_of` of a package folder's ledger, which is not made where there is none: 0 then."""
        if not cls.is_in(package, document_type):
            return 0
        with cls.of(package, document_type) as ledger:
            return ledger.as_of

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __del__(self) -> None:
        self._db.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- changes

    def record(self, changes: Sequence[Change]) -> list[Merged | None]:
        """Write changes down, on disk when this returns.

        Returns:
            for each the item's changes up to it; None where the folder fed last is as new.
        """
        merged: list[Merged | None] = []
        with _transaction(self._db):
            as_of, seq = self.as_of, self.sequence
            for change in changes:
                if change.feed_ver <= as_of:
                    merged.append(None)
                    continue
                state = self._state(change.item_id).with_change(change)
                merged.append(state)
                seq += 1
                self._db.execute(
                    "insert or replace into changes values (?, ?, ?, ?)",
                    (change.item_id, state.to_json(), state.version, seq),
                )
            self._set("sequence", seq)
        self.recorded = seq
        return merged

    def newer(self, ids: Sequence[str], as_of: int) -> dict[str, Merged]:
        """The changes of those of these items that changed after ``as_of``."""
        rows = self._db.execute(
            "select id, state from changes where id in (select value from json_each(?)) and version > ?",
            (orjson.dumps(ids).decode(), as_of),
        )
        return {item_id: Merged.from_json(state) for item_id, state in rows}

    def written_after(self, ids: Sequence[str], sequence: int) -> tuple[int, dict[str, Merged]]:
        """The number of the last change, and the changes of those items with one after ``sequence``."""
        with _transaction(self._db):
            rows = self._db.execute(
                "select id, state from changes where id in (select value from json_each(?)) and seq > ?",
                (orjson.dumps(ids).decode(), sequence),
            ).fetchall()
            return self.sequence, {item_id: Merged.from_json(state) for item_id, state in rows}

    def newest(self, item_id: str, least: int, known: int) -> tuple[int, Merged] | None:
        """Number and changes of an item of version ``least`` or later that changed after ``known``."""
        asked = "select seq, state from changes where id = ? and version >= ? and seq > ?"
        row = self._db.execute(asked, (item_id, least, known)).fetchone()
        return None if row is None else (row[0], Merged.from_json(row[1]))

    def since(self, sequence: int, as_of: int) -> tuple[int, set[str]]:
        """The number of the last change, and the items that changed after ``sequence`` and ``as_of``."""
        with _transaction(self._db):
            rows = self._db.execute(
                "select id from changes where seq > ? and version > ?", (sequence, as_of)
            ).fetchall()
            return self.sequence, {item_id for (item_id,) in rows}

    def all_newer(self, as_of: int) -> Iterable[tuple[str, Merged]]:
        """Every item that changed after ``as_of``, with its changes."""
        rows = self._db.execute("select id, state from changes where version > ?", (as_of,))
        return ((item_id, Merged.from_json(state)) for item_id, state in rows)

    def unsent(self) -> tuple[int, list[tuple[str, Merged]]]:
        """The number of the last change, and the changes that `sent` was not told of, as they came."""
        with _transaction(self._db):
            rows = self._db.execute(
                "select id, state from changes where seq > ? order by seq", (int(self._get("sent") or 0),)
            ).fetchall()
            return self.sequence, [(item_id, Merged.from_json(state)) for item_id, state in rows]

    def sent(self, sequence: int) -> None:
        """All changes up to this number have been sent."""
        with _transaction(self._db):
            self._set("sent", max(sequence, int(self._get("sent") or 0)))

    @property
    def sequence(self) -> int:
        """The number of the last change."""
        return int(self._get("sequence") or 0)

    def _state(self, item_id: str) -> Merged:
        row = self._db.execute("select state from changes where id = ?", (item_id,)).fetchone()
        return Merged() if row is None else Merged.from_json(row[0])

    # -- folders

    @property
    def as_of(self) -> int:
        """The version of the newest folder that was begun; 0 where there was none."""
        return int(self._get("as_of") or 0)

    @property
    def complete(self) -> bool:
        """Whether all parts of that folder are fed."""
        parts = self._parts()
        return bool(parts) and all(part["done"] for part in parts.values()) and len(parts) == self._count()

    @property
    def refused(self) -> set[str]:
        """Items of that folder that could not be fed."""
        return {item_id for part in self._parts().values() for item_id in part["refused"]}

    def has_begun(self, as_of: int, part: tuple[int, int]) -> bool:
        """Whether this part of a folder of this version is the one that was begun last."""
        return as_of == self.as_of and part[1] == self._count() and str(part[0]) in self._parts()

    def begin(self, as_of: int, part: tuple[int, int] = (1, 1)) -> int:
        """A folder, or a part of it, is being fed; the number of the last change when it was first begun.

        Raises:
            FeedRefused: it is older than the one that was fed, or is to be of the future.
        """
        if as_of > (now := time.time_ns() // 1000):
            raise FeedRefused(f"as of {told(as_of)}, which is after now, {told(now)}")
        with _transaction(self._db):
            if as_of < self.as_of:
                raise FeedRefused(
                    f"the folder is as of {told(as_of)}, and one as of {told(self.as_of)} was fed: it would "
                    "bring back what that one replaced; --as-of says otherwise"
                )
            if as_of > self.as_of or part[1] != self._count():
                self._set("as_of", as_of)
                self._set("parts", {})
                self._set("count", part[1])
            parts = self._parts()
            known = parts.setdefault(str(part[0]), {"sequence": self.sequence, "done": False, "refused": []})
            self._set("parts", parts)
            return int(known["sequence"])

    def refuse(self, as_of: int, part: tuple[int, int], refused: Iterable[str]) -> None:
        """Items of a part of a folder cannot be fed, as is known before the part is."""
        with _transaction(self._db):
            parts = self._parts()
            if as_of == self.as_of and str(part[0]) in parts:
                parts[str(part[0])] |= {"refused": sorted(refused)}
                self._set("parts", parts)

    def end(self, as_of: int, part: tuple[int, int] = (1, 1), refused: Iterable[str] | None = None) -> None:
        """A folder, or a part of it, is fed, but for some items; with the last part older changes go.

        Without ``refused`` those are left out that `refuse` was told of.
        """
        with _transaction(self._db):
            parts = self._parts()
            if as_of != self.as_of or str(part[0]) not in parts:
                return  # a newer one began meanwhile
            mine = parts[str(part[0])]
            mine["done"] = True
            if refused is not None:
                mine["refused"] = sorted(refused)
            self._set("parts", parts)
            if self.complete:
                self._db.execute("delete from changes where version <= ?", (as_of,))

    def _parts(self) -> dict[str, dict[str, Any]]:
        parts: dict[str, dict[str, Any]] = orjson.loads(self._get("parts") or "{}")
        return parts

    def _count(self) -> int:
        return int(self._get("count") or 0)

    def _get(self, name: str) -> str | None:
        row = self._db.execute("select value from facts where name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, name: str, value: int | Mapping[str, object]) -> None:
        self._db.execute("insert or replace into facts values (?, ?)", (name, orjson.dumps(value).decode()))


def _to_wal(db: sqlite3.Connection) -> None:
    """Readers beside a writer; SQLite does not wait where others write as the mode changes."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            db.execute("pragma journal_mode=wal")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Alone among the writers from the beginning, so that what is read stays true."""
    try:
        db.execute("begin immediate")
    except sqlite3.OperationalError as error:  # it is locked for long, or only to be read
        raise FeedRefused(f"the ledger of the feed cannot be written: {error}") from error
    try:
        yield
    except BaseException:
        db.execute("rollback")
        raise
    db.execute("commit")


def told(version: int) -> str:
    """A feed version as a time, where it can be one."""
    if version not in _TIMES:
        return str(version)
    return datetime.fromtimestamp(version / 1e6, UTC).isoformat(timespec="seconds")
