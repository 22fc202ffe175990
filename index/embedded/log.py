"""The log of changes: every change that was acknowledged is in it, on disk, and what is missing is told.

It begins with a header: the log's identity, and the base that its changes are made to. Frames follow. A frame
is the changes of one call, which are taken together or not at all. It carries the digest of the frame before
it and one of its own, over its head, that digest and its changes, so that a frame that is changed, left out,
or put in another log does not fit. `note` beside it tells how far the log was acknowledged: up to there each
byte must fit, or the log is damaged; what lies beyond is of a process that died or a disk that was full.

Readers follow the note, so nobody sees a change before it is acknowledged.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from common.errors import NOT_IN_ORDER, MrseError
from common.files import sync
from index.embedded.frames import DIGEST_BYTES, FRAME_BYTES, Frame, digest_of, frames, make_frame
from index.embedded.note import NOTE_NAME, Note, Place, create_note, parse, write_note
from index.embedded.records import Change, pack, unpack

LOG_NAME = "changes.log"
#: Magic, identity, digest of the base's version, and the last change that the base includes.
_HEADER = struct.Struct("<8s16s16sQ")
_MAGIC = b"MRSELOG\x02"
#: Changes in a frame where they come from no call.
_TOGETHER = 500
#: Bytes of a log that are in memory at a time where it is only looked at.
_WINDOW = 1 << 24


class LogDamaged(MrseError, ValueError):  # noqa: N818 -- the state of a file
    """A log that does not hold all that was acknowledged.

    ``known`` is the last place up to which it does; None where nothing of it can be believed. ``sequence`` is
    the last change that was acknowledged; None where that cannot be told.
    """

    exit_code = NOT_IN_ORDER

    def __init__(self, reason: str, known: Place | None = None, sequence: int | None = None) -> None:
        if sequence is not None and known is not None and sequence > known.sequence:
            lost = sequence - known.sequence
            reason = f"{reason}; of the acknowledged changes the last {lost:,} may be lost"
        super().__init__(reason)
        self.known = known
        self.sequence = sequence


class LogReader:
    """Reads the acknowledged changes of a log as it grows.

    Raises:
        LogDamaged: the log or its note is missing, or of another base.
    """

    def __init__(self, folder: Path, base: str, sequence: int, dim: int, features: tuple[int, int]) -> None:
        self.path = folder / LOG_NAME
        self._dim = dim
        self._features = features
        try:
            self._descriptor = _opened(self.path)
            header = os.pread(self._descriptor, _HEADER.size + DIGEST_BYTES, 0)
            #: Tells this log from any other.
            self.identity, start = _start(header, base, sequence)
        except LogDamaged as error:
            raise _without_a_start(error, folder / NOTE_NAME, sequence) from error
        try:
            self._note = Note(folder / NOTE_NAME)
        except FileNotFoundError:
            reason = f"its note {NOTE_NAME} is missing, so whether it is whole cannot be told"
            raise LogDamaged(reason, start) from None
        self._noted = b""
        #: Where the next frame begins.
        self.place = start

    def grown(self) -> bool:
        """Whether more was acknowledged than was read; takes a microsecond."""
        return self._note.raw() != self._noted

    def read(self) -> list[tuple[int, Change]]:
        """The acknowledged changes since the last call, with their sequence numbers.

        Raises:
            LogDamaged: they are not all there.
        """
        # What cannot be read is not tried again with every answer.
        self._noted = self._note.raw()
        known = parse(self._noted, self.identity)
        if known is None:
            reason = f"its note {NOTE_NAME} is damaged, so whether it is whole cannot be told"
            raise LogDamaged(reason, self.place)
        return self._read_to(known)

    def beyond(self) -> int:
        """Bytes of the log behind what was read."""
        return os.fstat(self._descriptor).st_size - self.place.offset

    def is_at(self, path: Path) -> bool:
        """Whether a path still names the file that is read."""
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _read_to(self, known: Place) -> list[tuple[int, Change]]:
        if known.offset < self.place.offset:
            raise LogDamaged(f"its note {NOTE_NAME} tells of less than was read", self.place)
        changes: list[tuple[int, Change]] = []
        for frame in acknowledged_frames(self._descriptor, self.place, known, self.identity):
            try:
                held = unpack(frame.changes, self._dim, self._features)
            except (ValueError, KeyError, struct.error) as error:
                at = frame.after.offset - len(frame.changes) - FRAME_BYTES
                raise LogDamaged(f"has changes of another shape at byte {at}") from error
            changes += enumerate(held, start=frame.first)
        self.place = known
        return changes

    def __del__(self) -> None:
        with suppress(AttributeError):
            os.close(self._descriptor)


def acknowledged_frames(descriptor: int, place: Place, known: Place, identity: bytes) -> Iterator[Frame]:
    """The frames of an open log from a place to the one that was acknowledged, some at a time in memory.

    Raises:
        LogDamaged: they are not all there.
    """
    window = _WINDOW
    while place.offset < known.offset:
        content = _whole(descriptor, place.offset, min(known.offset, place.offset + window))
        before = place
        for frame in frames(content, place, identity):
            place = frame.after
            yield frame
        if place == before:
            if place.offset + window >= known.offset or len(content) < window:
                break
            window *= 8  # for a frame that is longer
    if place != known:
        short = os.fstat(descriptor).st_size < known.offset
        where = f"{'ends early, and fits up to' if short else 'is damaged at'} byte {place.offset}"
        raise LogDamaged(f"{where} of {known.offset} that were acknowledged", place, known.sequence)


def check_log(folder: Path, base: str, sequence: int) -> Iterator[int]:
    """Look at every acknowledged byte of a log, some at a time in memory; gives the bytes looked at so far.

    Raises:
        LogDamaged: they are not all there, or no slot of the note is whole.
    """
    descriptor = _opened(folder / LOG_NAME)
    try:
        identity, place = _start(os.pread(descriptor, _HEADER.size + DIGEST_BYTES, 0), base, sequence)
        raw = (folder / NOTE_NAME).read_bytes() if (folder / NOTE_NAME).exists() else b""
        known = parse(raw, identity)
        if known is None:
            raise LogDamaged(f"its note {NOTE_NAME} is {'damaged' if raw else 'missing'}", place)
        for frame in acknowledged_frames(descriptor, place, known, identity):
            yield frame.after.offset
    finally:
        os.close(descriptor)


def create_log(folder: Path, base: str, sequence: int, changes: Sequence[Change] = ()) -> None:
    """Write the log of a base and its note into a folder, on disk when this returns.

    Args:
        folder: of the base.
        base: the base's version.
        sequence: the last change that the base includes.
        changes: those that follow.
    """
    identity = os.urandom(16)
    header = _HEADER.pack(_MAGIC, identity, _base(base), sequence)
    place = Place(_HEADER.size + DIGEST_BYTES, sequence, digest_of(identity, header, b""))
    with (folder / LOG_NAME).open("wb") as file:
        file.write(header + place.digest)
        for first in range(0, len(changes), _TOGETHER):
            together = changes[first : first + _TOGETHER]
            frame, place = make_frame(place, identity, pack(together), len(together))
            file.write(frame)
    sync(folder / LOG_NAME)
    create_note(folder / NOTE_NAME, identity, place)


def append(path: Path, place: Place, written: bytes) -> None:
    """Write frames at a place, which is the log's end, and wait until they are on disk.

    With the write lock held. Where it fails, the log is what it was.

    Raises:
        OSError: such as of a full disk.
        LogDamaged: the log does not end there.
    """
    with path.open("r+b", buffering=0) as file:
        if (end := file.seek(0, os.SEEK_END)) != place.offset:
            raise LogDamaged(f"has {end} bytes, expected {place.offset}", place)
        try:
            view = memoryview(written)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(place.offset)
            raise


def acknowledge(folder: Path, identity: bytes, place: Place, *, durable: bool) -> None:
    """Note that the log is on disk up to a place. With the write lock held."""
    write_note(folder / NOTE_NAME, identity, place, durable=durable)


def read_start(path: Path, base: str, sequence: int) -> tuple[bytes, Place]:
    """A log's identity, and the place of its first frame.

    Raises:
        LogDamaged: it is missing, or has no header, or is of another base.
    """
    descriptor = _opened(path)
    try:
        return _start(os.pread(descriptor, _HEADER.size + DIGEST_BYTES, 0), base, sequence)
    finally:
        os.close(descriptor)


def _without_a_start(error: LogDamaged, note: Path, sequence: int) -> LogDamaged:
    """Add to the error of a log that cannot be read at all how many changes its note tells of."""
    told = parse(note.read_bytes(), None) if note.exists() else None
    if told is None or told.sequence < sequence:
        return error
    return LogDamaged(str(error), Place(0, sequence, b""), told.sequence)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise LogDamaged("is missing") from None


def _start(header: bytes, base: str, sequence: int) -> tuple[bytes, Place]:
    packed = header[: _HEADER.size]
    if len(header) < _HEADER.size + DIGEST_BYTES:
        raise LogDamaged(f"has {len(header)} bytes, less than its header")
    magic, identity, of, since = _HEADER.unpack(packed)
    digest = digest_of(identity, packed, b"")
    if magic != _MAGIC or header[_HEADER.size :] != digest:
        raise LogDamaged("has a damaged header")
    if of != _base(base) or since != sequence:
        raise LogDamaged(f"is not the log of {base} and its {sequence} changes")
    return identity, Place(len(header), sequence, digest)


def _base(version: str) -> bytes:
    return hashlib.blake2b(version.encode(), digest_size=16).digest()


def _whole(descriptor: int, start: int, end: int) -> bytes:
    """The bytes of a file from ``start`` to ``end``, or to where it ends."""
    parts: list[bytes] = []
    while start < end and (part := os.pread(descriptor, min(end - start, 1 << 26), start)):
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
