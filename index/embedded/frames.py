"""A frame of the log: the changes of one call, with a digest that chains it to the frame before it."""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from index.embedded.note import Place

#: Marker, bytes of changes, sequence number of the first, number of changes, digest of the frame before.
_HEAD = struct.Struct("<4sIQI8s")
_MARKER = b"\xf5MF\x02"
DIGEST_BYTES = 8
FRAME_BYTES = _HEAD.size + DIGEST_BYTES
#: A search for frames in a damaged log hashes at most so many times the log's size.
_SALVAGE_WORK = 8


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: the place behind it, the sequence number of its first change, and its packed changes."""

    after: Place
    first: int
    changes: memoryview


def frames(content: bytes, place: Place, identity: bytes) -> Iterator[Frame]:
    """The frames of a log's bytes from a place on, up to the first that does not fit."""
    view, start = memoryview(content), place.offset
    while (frame := _frame(view, place.offset - start, start, identity)) is not None:
        if frame.first != place.sequence + 1 or _before(view, place.offset - start) != place.digest:
            return
        place = frame.after
        yield frame


def later_frames(path: Path, offset: int, identity: bytes) -> Iterator[Frame]:
    """Frames of a damaged log that are whole in themselves, wherever they begin behind an offset."""
    if path.stat().st_size <= offset:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        work, at = _SALVAGE_WORK * len(content), content.find(_MARKER, offset)
        while at >= 0 and work > 0:
            head = content[at : at + _HEAD.size]
            length = _HEAD.unpack(head)[1] if len(head) == _HEAD.size else 0
            whole = content[at : at + FRAME_BYTES + length]
            work -= len(whole)
            frame = _frame(memoryview(whole), 0, at, identity)
            if frame is not None:
                yield frame
            at = content.find(_MARKER, at + 1 if frame is None else frame.after.offset)


def _frame(view: memoryview, at: int, start: int, identity: bytes) -> Frame | None:
    """The frame at a byte of ``view``, which is byte ``start`` of the log on; None where none is whole."""
    if len(view) < at + FRAME_BYTES:
        return None
    marker, length, first, count, _ = _HEAD.unpack_from(view, at)
    changes = view[at + FRAME_BYTES : at + FRAME_BYTES + length]
    if marker != _MARKER or len(changes) < length:
        return None
    digest = digest_of(identity, view[at : at + _HEAD.size], changes)
    if view[at + _HEAD.size : at + FRAME_BYTES] != digest:
        return None
    return Frame(Place(start + at + FRAME_BYTES + length, first + count - 1, digest), first, changes)


def _before(view: memoryview, at: int) -> bytes:
    before: bytes = _HEAD.unpack_from(view, at)[4]
    return before


def make_frame(place: Place, identity: bytes, changes: bytes, count: int) -> tuple[bytes, Place]:
    """The frame of ``count`` packed changes behind a place, and the place behind the frame."""
    head = _HEAD.pack(_MARKER, len(changes), place.sequence + 1, count, place.digest)
    digest = digest_of(identity, head, changes)
    after = Place(place.offset + FRAME_BYTES + len(changes), place.sequence + count, digest)
    return b"".join((head, digest, changes)), after


def digest_of(identity: bytes, head: bytes | memoryview, changes: bytes | memoryview) -> bytes:
    """The digest of a head and what follows it, in the log of this identity."""
    hashed = hashlib.blake2b(head, digest_size=DIGEST_BYTES, key=identity)
    hashed.update(changes)
    return hashed.digest()
