"""Looks after the files of an index that serves: scrubs them now and then.

The last scrub is noted in the index folder, so that of many workers one scrubs and all know what it found.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import orjson

from common.files import replacing
from index.embedded.manifest import MANIFEST_NAME, IndexDamaged, read_manifest
from index.embedded.store import clean
from index.embedded.verify import verify_index
from index.watching import IndexEvent, IndexFacts

log = logging.getLogger("mrse.index")

VERIFIED_NAME = "verified.json"
#: Seconds between two looks at whether a scrub is due.
_LOOK_EVERY_S = 30.0
#: Bytes a second that a scrub reads: a million items take half a minute, and the disk is left to others.
_RATE = 32 * 1024 * 1024


class _Stopped(Exception):  # noqa: N818 -- an order
    pass


class Upkeep:
    """What is known of an index's files, and the thread that scrubs them. For any thread.

    Args:
        root: the index folder, whose checksums were compared when it was opened.
        damage: what is wrong with the log that is followed, None where nothing is.
        every_s: seconds between two scrubs; 0 scrubs never.
        counts: items, and changes since the base was written.
        unopened: why what the folder holds by now cannot be opened, None where it can.
    """

    def __init__(
        self,
        root: Path,
        damage: Callable[[], str | None],
        every_s: float,
        counts: Callable[[], tuple[int, int]] = lambda: (0, 0),
        unopened: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._root = root
        self._damage = damage
        self._counts = counts
        self._unopened = unopened
        self._every_s = every_s
        self._told: Callable[[IndexEvent], None] = lambda event: None
        self._stop = threading.Event()
        self._scrubbing = False
        self._findings: tuple[str, ...] = ()
        #: When every byte was last read and found right, in seconds since 1970.
        self.verified_at = time.time()
        with suppress(OSError, IndexDamaged):  # such as a folder that is only to be read
            self._note(())
            if removed := clean(root):
                log.info("%s: removed %d folders that dead processes left", root, removed)

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each damage that is known."""
        damage = self._damage()
        return self._findings if damage is None else (damage, *self._findings)

    @property
    def unopened(self) -> str | None:
        """Why what the folder holds now cannot be opened, while what is open answers; None where it can."""
        return self._unopened()

    @property
    def facts(self) -> IndexFacts:
        """How much the index holds; the base is as old as the file that names it."""
        items, pending = self._counts()
        try:
            built_at = (self._root / MANIFEST_NAME).stat().st_mtime
        except OSError:  # such as a folder that was moved away; what is open is searched on
            built_at = 0.0
        return IndexFacts(items, pending, built_at)

    def listen(self, told: Callable[[IndexEvent], None]) -> None:
        """Say who is told of events, from any thread; scrubs begin with the first call."""
        self._told = told
        if self._every_s and not self._scrubbing:
            self._scrubbing = True
            threading.Thread(target=self._run, name="index-verify", daemon=True).start()

    def tell(self, event: IndexEvent) -> None:
        """Tell of an event."""
        self._told(event)

    def close(self) -> None:
        """Stop scrubbing."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(min(_LOOK_EVERY_S, self._every_s)):
            try:
                self.look(time.time())
            except _Stopped:
                return
            except Exception:  # such as a disk that cannot be written; the next look tries again
                log.exception("%s could not be verified", self._root)

    def look(self, now: float) -> None:
        """Learn what others found, and scrub where that is due; ``now`` is in seconds since 1970."""
        self._learn()
        if now - self.verified_at < self._every_s:
            return
        with (self._root / "verify.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another worker does it
            self._scrub()

    def _scrub(self) -> None:
        before = read_version(self._root)
        found = verify_index(self._root, pace=self._pace)
        if read_version(self._root) != before:
            return  # another base took its place; the next look begins anew
        findings = tuple(str(each) for each in found)
        for each in findings:
            if each not in self._findings:
                log.error("the index is damaged: %s", each)
        if not findings:
            self.tell("verified")
            self.verified_at = time.time()
        self._take(findings)  # ahead of the note, which a full disk may not take
        self._note(findings)

    def _pace(self, size: int) -> None:
        if self._stop.wait(size / _RATE):
            raise _Stopped

    def _note(self, findings: tuple[str, ...]) -> None:
        content = {"at": self.verified_at, "index": read_version(self._root), "damaged": findings}
        with replacing(self._root / VERIFIED_NAME) as written:
            written.write_bytes(orjson.dumps(content) + b"\n")

    def _learn(self) -> None:
        try:
            noted = orjson.loads((self._root / VERIFIED_NAME).read_bytes())
            version, findings = noted["index"], tuple(map(str, noted["damaged"]))
            at = float(noted["at"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        if version != read_version(self._root):
            findings = ()  # of a base that is gone
        self.verified_at = max(self.verified_at, at)
        self._take(findings)

    def _take(self, findings: tuple[str, ...]) -> None:
        before, self._findings = self._findings, findings
        if findings != before:
            self.tell("damaged" if findings else "mended")


def read_version(root: Path) -> str:
    """The version that an index folder's manifest names; empty where it cannot be read."""
    try:
        return read_manifest(root, verify=False).index_version
    except IndexDamaged:
        return ""
