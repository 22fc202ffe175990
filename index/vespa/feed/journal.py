"""Where a feed stands, kept so that a killed one goes on: a small JSON file, replaced atomically.

A journal of another source is begun anew: what it knew is of no use, and a row that failed last night does
not hold up the next one.

Operations have numbers in the order of their source. The journal keeps the number below which all are
settled; those above it that were settled too are sent again after a kill, and Vespa answers 412 to them.
"""

from __future__ import annotations

import fcntl
import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from common.errors import NOT_IN_ORDER, MrseError
from common.files import replacing


class JournalMismatch(MrseError, ValueError):  # noqa: N818 -- a state of the world
    """The file is no journal, so it is not written over."""


class JournalTaken(MrseError):  # noqa: N818 -- a state of the world
    """Another process feeds by this journal."""

    exit_code = NOT_IN_ORDER


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else feeds by the journal at ``path`` meanwhile; a process that dies lets go of it.

    Raises:
        JournalTaken: somebody does.
    """
    with path.with_name(f".{path.name}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalTaken(f"another feed is under way by {path}") from None
        yield


@dataclass
class Journal:
    """Progress of one feed of one source.

    Not thread-safe: one event loop settles and saves.
    """

    path: Path | None
    #: Names source and target; a journal is only gone on with for the same ones.
    source: str
    #: The feed version of the first start: a feed that goes on must not outrank later changes.
    feed_ver: int
    #: All operations below are settled.
    low: int = 0
    #: Operations that failed for good; tried again when the feed goes on.
    failed: set[int] = field(default_factory=set)
    #: The source whose journal this one takes the place of.
    replaces: str | None = None
    _above: list[int] = field(default_factory=list)
    _retry: set[int] = field(default_factory=set)

    @classmethod
    def open(cls, path: Path | None, source: str, feed_ver: int) -> Journal:
        """A new journal, or the one at ``path`` to go on with; without a path nothing is kept.

        Raises:
            JournalMismatch: the file is something else.
        """
        if path is None or not path.exists():
            return cls(path, source, feed_ver)
        try:
            kept = orjson.loads(path.read_bytes())
            if kept["format"] != 1:
                raise JournalMismatch(f"{path} is a journal of another format")
            if kept["source"] != source:
                return cls(path, source, feed_ver, replaces=str(kept["source"]))
            journal = cls(path, source, int(kept["feed_ver"]), int(kept["low"]))
            journal._retry = {int(number) for number in kept["failed"]}
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise JournalMismatch(f"{path} is no journal of a feed") from error
        return journal

    def settled(self, number: int) -> bool:
        """Whether an operation needs no sending."""
        return number < self.low and number not in self._retry

    def settle(self, number: int, *, failed: bool = False) -> None:
        """An operation is done with: stored, superseded, or failed for good."""
        if failed:
            self.failed.add(number)
        if number < self.low:
            self._retry.discard(number)
            return
        heapq.heappush(self._above, number)
        while self._above and self._above[0] == self.low:
            heapq.heappop(self._above)
            self.low += 1

    def count_settled(self) -> int:
        """Operations that earlier runs have settled."""
        return self.low - len(self._retry)

    def save(self) -> None:
        """Put a checkpoint in the file's place; after this a kill loses nothing below ``low``."""
        if self.path is None:
            return
        content = {
            "format": 1,
            "source": self.source,
            "feed_ver": self.feed_ver,
            "low": self.low,
            "failed": sorted(self.failed | self._retry),
        }
        with replacing(self.path, durable=True) as path:
            path.write_bytes(orjson.dumps(content))

    def finish(self) -> None:
        """The whole source is stored: the next feed of it is a new one."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
