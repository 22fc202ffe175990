"""An index as of the last change: its base, the changes since, and how it keeps up with both.

Any number of processes serve one index folder. Each looks at the size of the log before every answer, so
that what one process acknowledged is in every process's next answer. Any process may make changes, under
the folder's write lock.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic

from common.files import sync
from common.memory import give_back_after
from index.embedded.frames import make_frame
from index.embedded.log import LogDamaged, LogReader, acknowledge, append
from index.embedded.manifest import MANIFEST_NAME, IndexDamaged
from index.embedded.note import NOTE_NAME
from index.embedded.repair import finish_tail, move_to_current_format, settle
from index.embedded.searched import Planning
from index.embedded.state import State, identity, remedy
from index.embedded.store import RESERVE, write_lock
from index.port import IndexFull, IndexUnavailable
from index.watching import IndexEvent

log = logging.getLogger("mrse.index")

#: Seconds after which the note of what was acknowledged is forced to disk at the latest.
NOTE_EVERY_S = 1.0
#: Seconds between two looks at whether a mapped file was cut.
_LOOK_EVERY_S = 0.05
#: Seconds after which what a state held is free, once nobody has it.
_FREED_S = 1.0


class LiveIndex:
    """The state of an index folder, kept up with its log and its base. For any thread.

    Raises:
        IndexDamaged: a file is missing or not the one that was built.
    """

    def __init__(self, root: Path, *, verify: bool, planning: Planning, reserve: int = RESERVE) -> None:
        self.root = root
        self._planning = planning
        self._reserve = reserve
        self._manifest_path = str(root / MANIFEST_NAME)
        self._seen = identity(self._manifest_path)
        #: As of the last look.
        self.state = State.open(root, verify=verify, planning=planning)
        #: What is wrong with the log of the state, of which it then does not hold every change.
        self.damage: str | None = None
        #: Why what the folder holds by now cannot be opened, while the state of before answers.
        self.unopened: str | None = None
        #: Held while a change is applied to a state and while changes are read, on the event loop too; never
        #: while words are counted or a base is opened.
        self.lock = threading.Lock()
        #: Held by the one thread that reads what is new.
        self._catching_up = threading.Lock()
        #: Whether changes that others made are being read: until they are applied, answers wait.
        self.reading = False
        #: Told of what happens to the log.
        self.told: Callable[[IndexEvent], None] = lambda event: None
        self._synced = self._looked = 0.0
        self._unsynced: Path | None = None
        if isinstance(self.state.log, LogReader) and self.state.log.beyond():
            self._finish_tail()

    def _finish_tail(self) -> None:
        try:
            settle(self.root)
        except OSError as error:  # a folder that is only to be read, or a full disk
            log.warning("%s: an unfinished change stays at its end: %s", self.state.log.path, error)
        else:
            self.current()

    @property
    def behind(self) -> bool:
        """Whether there are changes to apply, or a base to move to, before an answer."""
        return self.reading or self.state.log.grown() or self.replaced

    @property
    def replaced(self) -> bool:
        """Whether there is a base to move to."""
        return identity(self._manifest_path) != self._seen

    def check_files(self) -> None:
        """Look now and then at whether the mapped files are as long as they were.

        To read where a mapped file was cut ends the process: a signal comes, not an error.

        Raises:
            IndexUnavailable: ``damaged``: one was cut.
        """
        now = monotonic()
        if now - self._looked > _LOOK_EVERY_S:
            if (cut := self.state.base.cut()) is not None:
                raise IndexUnavailable("damaged", cut)
            self._looked = now

    def current(self) -> State:
        """The state with every change that was acknowledged by now.

        Where the log is damaged since, `damage` says how, and the state stays as it was.
        """
        if not self.behind:
            return self.state
        with self._catching_up:
            self.reading = True
            try:
                return self._caught_up()
            finally:
                self.reading = False

    def _caught_up(self) -> State:
        """The state with what is new; with `_catching_up` held."""
        now = identity(self._manifest_path)
        if now != self._seen:
            self._swap()
            self._seen = now
        state = self.state
        if state.log.grown():
            try:
                changes = state.log.read()
            except LogDamaged as error:
                self._damaged(error)
            else:
                state.apply(changes, self.lock)
        return state

    def _damaged(self, error: Exception) -> None:
        self.damage = f"{self.state.log.path} {error}; {remedy(self.root)}"
        log.error("answers go on without later changes: %s", self.damage)
        self.told("damaged")

    def _swap(self) -> None:
        """Move to the base that ``index.json`` names now, unless it is no successor of this one."""
        try:
            state = State.open(self.root, verify=False, planning=self._planning)
        except (IndexDamaged, FileNotFoundError) as error:
            # The base that is open goes on being searched, whatever happened to the folder.
            self._not_opened(f"{self.root} cannot be opened, the index goes on as it was: {error}")
            return
        here, there = self.state.manifest, state.manifest
        same = {"bundle_version", "dim", "attributes"}
        alike = here.model_dump(include=same) == there.model_dump(include=same)
        if alike and here.picture_dim == there.picture_dim:
            left, self.state = self.state, state
            moved = {"index": there.index_version, "items": state.items, "pending": state.changes}
            log.info("moved to another base", extra=moved)
            # Changes since the base before may take what `rebuild_after_mb` allows. A search, or the rebuild,
            # may hold them for seconds yet: what is given back before that is little, and nothing came after.
            weakref.finalize(left, give_back_after, _FREED_S).atexit = False
            self.unopened = None
            if self.damage is not None:
                self.damage = None
                self.told("mended")
        else:
            versions = f"{there.bundle_version}, and not of {here.bundle_version}"
            self._not_opened(f"{self.root} is of the bundle {versions}; the index goes on as it was")

    def _not_opened(self, why: str) -> None:
        self.unopened = why
        log.error("%s", why)
        self.told("unopened")

    def commit(self, change: Callable[[State], Iterable[tuple[bytes, int]]]) -> None:
        """Make what ``change`` says of the current state: on disk, and in every answer, when this returns.

        Args:
            change: gives packed changes, each time of one call and with their number.

        Raises:
            IndexFull: the disk has less room than is reserved; nothing was done.
            IndexUnavailable: ``damaged``: changes cannot be written behind a damaged log.
            OSError: the disk; nothing was done.
        """
        with write_lock(self.root):
            # Under the write lock neither log nor base change, so nothing here needs another lock, and
            # searches go on while this waits for the disk.
            state, reader = self._writable()
            written, place = [], reader.place
            for packed, count in change(state):
                frame, place = make_frame(place, reader.identity, packed, count)
                written.append(frame)
            if not written:
                return
            self._check_room(place.offset - reader.place.offset)
            append(reader.path, reader.place, b"".join(written))
            durable = monotonic() - self._synced > NOTE_EVERY_S
            try:
                acknowledge(reader.path.parent, reader.identity, place, durable=durable)
            except BaseException:
                os.truncate(reader.path, reader.place.offset)
                raise
            self._unsynced = None if durable else reader.path.parent / NOTE_NAME
            self._synced = monotonic() if durable else self._synced
            with self._catching_up:  # searches go on meanwhile: these changes are not answered yet
                self._caught_up()

    def settle(self) -> None:
        """Force the note of what was acknowledged to disk, if it is not there yet."""
        note, self._unsynced = self._unsynced, None
        if note is not None:
            try:
                sync(note)
            except OSError as error:  # of a base that was replaced since, whose note is on disk
                log.debug("%s: %s", note, error)

    def _writable(self) -> tuple[State, LogReader]:
        """The state that changes are made to, and its log, which ends where it was acknowledged."""
        state = self.current()
        if state.manifest.format == 1:
            move_to_current_format(self.root)
            state = self.current()
        reader = state.log
        if self.damage is None:
            try:
                if not reader.is_at(reader.path):
                    raise LogDamaged("is no longer there, or another file")
                if isinstance(reader, LogReader) and reader.beyond():
                    finish_tail(self.root, reader)
                    self.told("unfinished")
                    state = self.current()
            except LogDamaged as error:
                self._damaged(error)
        if self.damage is not None or not isinstance(reader, LogReader):
            raise IndexUnavailable("damaged", self.damage or f"{self.root} is of another bundle now")
        return state, reader

    def _check_room(self, size: int) -> None:
        free = shutil.disk_usage(self.root).free
        if free < self._reserve + size:
            raise IndexFull(f"{free:,} bytes are free, of which {self._reserve:,} are kept back")
