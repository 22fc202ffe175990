"""A base with the changes to it that were acknowledged: what one answer is made from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from index.embedded.buffer_words import BufferWords
from index.embedded.log import LOG_NAME, LogDamaged
from index.embedded.manifest import MANIFEST_NAME, IndexDamaged, IndexManifest, read_manifest
from index.embedded.records import Change, Put
from index.embedded.searched import AS_CALIBRATED, Planning, Tombstones
from index.embedded.segment import Segment
from index.embedded.store import log_reader
from index.embedded.write_buffer import WriteBuffer

#: How often opening is tried, while other processes replace the base that ``index.json`` names.
_ATTEMPTS = 5
#: Of a state that no other thread knows yet.
_NO_LOCK: AbstractContextManager[object] = nullcontext()


class State:
    """A base with its changes. Replaced as a whole when the base is."""

    def __init__(self, root: Path, manifest: IndexManifest, base: Segment) -> None:
        shape = (manifest.experts, manifest.expert_dim)
        self.manifest = manifest
        self.base = base
        self.tombstones = Tombstones(base.rows)
        words = None if base.words is None else BufferWords(base.words)
        #: Those of the rows of `Segment.pictures`.
        self.picture_tombstones = Tombstones(0 if base.pictures is None else base.pictures.rows)
        self.buffer = WriteBuffer(manifest.dim, shape, manifest.attributes, words, manifest.picture_dim)
        self.log = log_reader(root, manifest)
        #: Number of the last change that was applied.
        self.sequence = manifest.sequence

    @classmethod
    def open(cls, root: Path, *, verify: bool, planning: Planning = AS_CALIBRATED) -> State:
        """Map the base and replay its log.

        Raises:
            IndexDamaged: a file is missing or not the one that was built.
        """
        path = str(root / MANIFEST_NAME)
        damaged: Exception = FileNotFoundError(path)
        for _ in range(_ATTEMPTS):
            before = identity(path)
            try:
                manifest = read_manifest(root, verify=verify)
                state = cls(root, manifest, Segment(root / manifest.folder, manifest, planning))
                state.apply(state.log.read())
                return state
            except LogDamaged as error:
                damaged = IndexDamaged(root / manifest.folder / LOG_NAME, f"{error}; {remedy(root)}")
                damaged.__cause__ = error
                if identity(path) == before:
                    raise damaged from error
            except (IndexDamaged, FileNotFoundError) as error:
                damaged = error
                if identity(path) == before:
                    raise
        raise damaged

    def apply(
        self, changes: Sequence[tuple[int, Change]], lock: AbstractContextManager[object] = _NO_LOCK
    ) -> None:
        """Apply changes of the log; for one thread at a time.

        ``lock`` is held for one change at a time, and not while the change's words are counted: searches on
        the event loop wait for it. Of several changes of one item the last is applied: a log that says an
        item's texts a thousand times is read in the time of one.
        """
        last = {change.id: sequence for sequence, change in changes}
        for sequence, change in changes:
            if last[change.id] != sequence:
                continue
            _, found = self.base.ids.find([change.id])
            rows, pictures = found.tolist(), self.base.pictures
            shown = [] if pictures is None else [pictures.row_of(row) for row in rows]
            counted = self.buffer.counted(change) if isinstance(change, Put) else None
            with lock:
                self.sequence = sequence
                for row in rows:
                    self.tombstones.add(row)
                for picture in shown:
                    if picture is not None:
                        self.picture_tombstones.add(picture)
                if isinstance(change, Put):
                    self.buffer.put(change, counted)
                else:
                    self.buffer.remove(change.id)

    @property
    def changes(self) -> int:
        """How many changes were made since the base was written."""
        return self.sequence - self.manifest.sequence

    @property
    def changed_bytes(self) -> int:
        """What those changes take in the log."""
        return self.log.place.offset

    @property
    def items(self) -> int:
        """How many items there are."""
        return self.base.rows - self.tombstones.count + self.buffer.items


def remedy(root: Path) -> str:
    """What can be done about a damaged log."""
    return (
        f"nothing was changed: `mrse index repair {root}` tells what is left and goes on with it, "
        f"`mrse index restore SNAPSHOT {root}` with a snapshot"
    )


def identity(path: str) -> tuple[int, int]:
    """Tells one ``index.json`` from another; takes a microsecond."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- `Path.stat` costs more than the call
    except FileNotFoundError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns
