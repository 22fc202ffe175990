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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from common.arrays import F16, F32, I64
from common.files import sync
from index.embedded.forward import put_value
from index.embedded.frames import make_frame
from index.embedded.log import LogDamaged, LogReader, acknowledge, append
from index.embedded.manifest import MANIFEST_NAME, IndexDamaged
from index.embedded.note import NOTE_NAME
from index.embedded.repair import finish_tail, move_to_current_format, settle
from index.embedded.searched import Planning
from index.embedded.selection import Selection
from index.embedded.state import State, identity, remedy
from index.embedded.store import RESERVE, write_lock
from index.embedded.top import best, largest
from index.embedded.workers import Step
from index.embedded.write_buffer import WriteBuffer, search_snapshot
from index.filters import Filter
from index.port import ExactAnswer, IndexFull, IndexUnavailable, Neighbours
from index.watching import IndexEvent

log = logging.getLogger("mrse.index")

#: What a row of the write buffer costs, in rows of the base: it is twice as wide, and its filter is not kept.
_BUFFERED = 3
#: Seconds after which the note of what was acknowledged is forced to disk at the latest.
NOTE_EVERY_S = 1.0
#: Seconds between two looks at whether a mapped file was cut.
_LOOK_EVERY_S = 0.05


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
        #: Held while a change is applied to a state and while changes are read, on the event loop too; never
        #: while words are counted or a base is opened.
        self.lock = threading.Lock()
        #: Held by the one thread that reads what is new.
        self._catching_up = threading.Lock()
        #: Whether changes that others made are being read: until they are applied, answers wait.
        self._reading = False
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
        return self._reading or self.state.log.grown() or self.replaced

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
            self._reading = True
            try:
                return self._caught_up()
            finally:
                self._reading = False

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
            log.error("%s cannot be opened, the index goes on as it was: %s", self.root, error)
            return
        here, there = self.state.manifest, state.manifest
        same = {"bundle_version", "dim", "attributes"}
        alike = here.model_dump(include=same) == there.model_dump(include=same)
        if alike and here.picture_dim == there.picture_dim:
            self.state = state
            moved = {"index": there.index_version, "items": state.items, "pending": state.changes}
            log.info("moved to another base", extra=moved)
            if self.damage is not None:
                self.damage = None
                self.told("mended")

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

    # What is asked of a state: the one of `current`, or `state` where the index is not `behind`. That takes
    # two system calls, so a request asks it once for each thing that it asks of the index.

    def search(
        self, state: State, queries: F32, k: int, accepted: Filter | None, step: Step
    ) -> list[Neighbours]:
        """The ``k`` nearest items of each query; raises what ``step`` raises."""
        selection = state.base.selections.get(accepted, step)
        return [self._nearest(state, query, k, selection, accepted, step) for query in queries]

    def search_exact(
        self, state: State, query: F32, k: int, accepted: Filter | None, step: Step
    ) -> ExactAnswer:
        """The ``k`` nearest items of a query, without probing; raises what ``step`` raises."""
        usual = state.base.selections.get(accepted, step)
        selection = replace(usual, matches=None, rows=usual.rows if usual.bits is None else None)
        near = self._nearest(state, query, k, selection, accepted, step)
        return ExactAnswer(near, selection.count / max(1, state.base.rows))

    def search_pictures(
        self, state: State, queries: F32, k: int, accepted: Filter | None, step: Step
    ) -> list[Neighbours]:
        """The ``k`` items whose pictures are nearest to each query; raises what ``step`` raises."""
        return [self._nearest_pictures(state, query, k, accepted, step) for query in queries]

    def top(self, state: State, attribute: str, k: int, accepted: Filter | None, step: Step) -> Neighbours:
        """The ``k`` items with the largest values of a number attribute; raises what ``step`` raises."""
        selection = state.base.selections.get(accepted, step)
        while True:
            step(state.buffer.rows)
            rows, values = state.base.ordered.top(attribute, k, selection, state.tombstones, step)
            with self.lock:
                put, given = state.buffer.numbers(attribute, accepted)
                stale = not state.tombstones.alive[rows].all()
            if not stale:
                break
        put, given = best(put, given, k)
        names = [state.buffer.ids[row] for row in put.tolist()]
        return Neighbours(*largest(state.base.ids.ids(rows), values, names, given, k))

    def _nearest_pictures(
        self, state: State, query: F32, k: int, accepted: Filter | None, step: Step
    ) -> Neighbours:
        pictures = state.base.pictures
        while True:
            step(state.buffer.rows * _BUFFERED)
            rows, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
            if pictures is not None:
                selection = pictures.searched.selections.get(accepted, step)
                found, scores = pictures.searched.search(query, k, selection, state.picture_tombstones, step)
                rows = pictures.items[found]
            with self.lock:
                snapshot = state.buffer.picture_snapshot(accepted)
                stale = not state.tombstones.alive[rows].all()
            if not stale:
                break
        ids = state.base.ids.ids(rows)
        if len(snapshot[0]):
            ids, scores = merged(ids, scores, state.buffer, search_snapshot(snapshot, query, k), k)
        return Neighbours(ids, scores)

    def _nearest(
        self,
        state: State,
        query: F32,
        k: int,
        selection: Selection,
        accepted: Filter | None,
        step: Step,
    ) -> Neighbours:
        while True:
            step(state.buffer.rows * _BUFFERED)
            rows, scores = state.base.search(query, k, selection, state.tombstones, step)
            if not state.changes:
                return Neighbours(state.base.ids.ids(rows), scores)
            with self.lock:
                snapshot = state.buffer.snapshot(accepted)
                stale = not state.tombstones.alive[rows].all()
            # A row that got a tombstone since the base was searched makes it be searched again.
            if not stale:
                break
        ids = state.base.ids.ids(rows)
        if len(snapshot[0]):
            ids, scores = merged(ids, scores, state.buffer, search_snapshot(snapshot, query, k), k)
        return Neighbours(ids, scores)

    def vectors(self, state: State, ids: Sequence[str]) -> tuple[list[str], F32]:
        """Known ids in the order asked, and their vectors, float32 ``[n, dim]``."""
        known, base, put, order = self._find(state, ids)
        vectors = state.base.vectors.decode(base)
        return known, vectors if order is None else np.concatenate([vectors, state.buffer.vectors(put)])[
            order
        ]

    def features(self, state: State, ids: Sequence[str]) -> tuple[list[str], F16]:
        """Known ids in the order asked, and their features, float16 ``[n, experts, expert_dim]``."""
        known, base, put, order = self._find(state, ids)
        features = state.base.features[base]
        return known, features if order is None else np.concatenate([features, state.buffer.features(put)])[
            order
        ]

    def values(
        self, state: State, ids: Sequence[str], names: Sequence[str]
    ) -> tuple[list[str], dict[str, list[Any]]]:
        """Known ids in the order asked, and some of their attributes, a list for each name."""
        known, base, put, order = self._find(state, ids)
        kinds, found = state.manifest.attributes, {}
        for name in names:
            held = state.base.forward.values(name, kinds[name], base)
            if order is not None:
                held += [put_value(name, kinds[name], state.buffer.value(row, name)) for row in put]
                held = [held[place] for place in order]
            found[name] = held
        return known, found

    def texts(self, state: State, ids: Sequence[str], name: str) -> dict[str, str]:
        """A text field of the known ids that have it; reads the texts' file, so not for the event loop."""
        known, base, put, order = self._find(state, ids)
        words = state.base.words
        held = [""] * len(base) if words is None else words.texts.column(name, base.tolist())
        if order is not None:
            held += [state.buffer.text(row, name) for row in put]
            held = [held[place] for place in order]
        return {item_id: text for item_id, text in zip(known, held, strict=True) if text}

    def _find(self, state: State, ids: Sequence[str]) -> tuple[list[str], I64, list[int], list[int] | None]:
        """Known ids; their rows in the base, and in the write buffer; and where each id is among these rows.

        The last is None where all are in the base, in the order of the ids.
        """
        if not state.buffer.rows and not state.tombstones.count:
            return *state.base.ids.find(ids), [], None
        with self.lock:
            put = {item_id: row for item_id in ids if (row := state.buffer.row(item_id)) is not None}
        in_base, rows = state.base.ids.find([item_id for item_id in ids if item_id not in put])
        alive = state.tombstones.alive[rows]
        living = [item_id for item_id, lives in zip(in_base, alive.tolist(), strict=True) if lives]
        places = {item_id: place for place, item_id in enumerate([*living, *put])}
        known = [item_id for item_id in ids if item_id in places]
        return known, rows[alive], list(put.values()), [places[item_id] for item_id in known]


def merged(
    ids: list[str], scores: F32, buffer: WriteBuffer, found: tuple[I64, F32], k: int
) -> tuple[list[str], F32]:
    """The ``k`` best of the base's results and the write buffer's; equal scores with the base's first."""
    rows, more = found
    ids = ids + [buffer.ids[row] for row in rows.tolist()]
    scores = np.concatenate([scores, more])
    order = np.argsort(-scores, kind="stable")[:k]
    return [ids[place] for place in order.tolist()], scores[order]
