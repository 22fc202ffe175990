"""``changes.end``: how far the log was acknowledged, so that a log that lost its end is found.

Two slots of 512 bytes, written in turn and in place, each with a checksum: a write that is torn leaves the
other. The note is written when the log is on disk and before anyone is told so. It is itself forced to disk
a second later at most: after a power failure it may be behind the log, never ahead of it.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.files import sync

NOTE_NAME = "changes.end"
#: Magic, the log's identity, offset, sequence, digest; then the CRC-32 of these.
_SLOT = struct.Struct("<8s16sQQ8s")
_CHECKSUM = struct.Struct("<I")
_MAGIC = b"MRSEEND\x02"
_APART = 512
_USED = _APART + _SLOT.size + _CHECKSUM.size


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a log between two frames: its byte, the last change before it, and the digest so far."""

    offset: int
    sequence: int
    digest: bytes


class Note:
    """Reads the note of a log, cheaply and often."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def raw(self) -> bytes:
        """Its bytes: equal as long as nothing more was acknowledged; takes a microsecond."""
        return os.pread(self._descriptor, _USED, 0)

    def __del__(self) -> None:
        with suppress(AttributeError):  # where it could not be opened
            os.close(self._descriptor)


def parse(raw: bytes, identity: bytes | None) -> Place | None:
    """The furthest place that a note of this log, or of any, tells; None where no slot is whole."""
    places = [place for slot in (0, 1) if (place := _slot(raw, slot, identity)) is not None]
    return max(places, key=lambda place: place.offset, default=None)


def create_note(path: Path, identity: bytes, place: Place) -> None:
    """Write a note anew, both slots, on disk when this returns."""
    slot = _packed(identity, place)
    path.write_bytes(slot.ljust(_APART, b"\0") + slot.ljust(_APART, b"\0"))
    sync(path)


def write_note(path: Path, identity: bytes, place: Place, *, durable: bool) -> None:
    """Note a place over the older slot. With the write lock held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        raw = os.pread(descriptor, _USED, 0)
        first, second = (_slot(raw, slot, identity) for slot in (0, 1))
        older = 0 if first is None or (second is not None and first.offset <= second.offset) else 1
        os.pwrite(descriptor, _packed(identity, place), older * _APART)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _packed(identity: bytes, place: Place) -> bytes:
    slot = _SLOT.pack(_MAGIC, identity, place.offset, place.sequence, place.digest)
    return slot + _CHECKSUM.pack(zlib.crc32(slot))


def _slot(raw: bytes, slot: int, identity: bytes | None) -> Place | None:
    packed = raw[slot * _APART : slot * _APART + _SLOT.size]
    checksum = raw[slot * _APART + _SLOT.size :][: _CHECKSUM.size]
    if len(packed) < _SLOT.size or checksum != _CHECKSUM.pack(zlib.crc32(packed)):
        return None
    magic, of, offset, sequence, digest = _SLOT.unpack(packed)
    return Place(offset, sequence, digest) if magic == _MAGIC and identity in (None, of) else None
