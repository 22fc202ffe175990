"""Reads the log of an index of format 1, which earlier versions write; the first change moves it to `log`.

A record is the length and the CRC-32 of its payload, then the payload: a sequence number, a kind, and the
change. There is no note of what was acknowledged, so a log that lost its end cannot be told from one that
has none.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from index.embedded.log import LOG_NAME, LogDamaged
from index.embedded.note import Place
from index.embedded.records import Change, decode

_HEAD = struct.Struct("<II")
_SEQUENCE = struct.Struct("<Q")
_LEAST = _SEQUENCE.size + 1
#: Bytes of an unfinished record in which others are looked for.
_LOOKED_AT = 1 << 20


class OldLogReader:
    """Reads the whole records of a log of format 1 as it grows.

    Raises:
        LogDamaged: it is missing.
    """

    def __init__(self, folder: Path, sequence: int, dim: int, features: tuple[int, int]) -> None:
        self.path = folder / LOG_NAME
        self.identity = b""
        self._dim = dim
        self._features = features
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise LogDamaged("is missing") from None
        self._seen = (0, 0)
        #: Where the next record begins; these logs have no digest.
        self.place = Place(0, sequence, b"")

    def grown(self) -> bool:
        """Whether the file is another than at the last `read`; takes a microsecond."""
        return self._size() != self._seen

    def read(self) -> list[tuple[int, Change]]:
        """The whole records since the last call, with their sequence numbers.

        Raises:
            LogDamaged: a record fails its checksum or is missing, and others follow.
        """
        self._seen = self._size()
        start = self.place
        content = os.pread(self._descriptor, self._seen[0] - start.offset, start.offset)
        changes: list[tuple[int, Change]] = []
        place = start
        for payload, end in old_records(content):
            (sequence,) = _SEQUENCE.unpack_from(payload)
            if sequence != place.sequence + 1:
                reason = f"misses the changes {place.sequence + 1} to {sequence - 1} at byte {place.offset}"
                raise LogDamaged(reason, place, sequence)
            changes.append((sequence, decode(payload[_SEQUENCE.size :], self._dim, self._features)))
            place = Place(start.offset + end, sequence, b"")
        rest = content[place.offset - start.offset :]
        if _more_than_one(rest) or any(sequence > place.sequence for sequence in _later(rest)):
            raise LogDamaged(f"has a damaged record at byte {place.offset}", place)
        self.place = place
        return changes

    def beyond(self) -> int:
        """Bytes of the log behind what was read: of a record that is not finished."""
        return os.fstat(self._descriptor).st_size - self.place.offset

    def is_at(self, path: Path) -> bool:
        """Whether a path still names the file that is read."""
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _size(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns

    def __del__(self) -> None:
        with suppress(AttributeError):
            os.close(self._descriptor)


def old_records(content: bytes | memoryview) -> Iterator[tuple[memoryview, int]]:
    """The payloads of whole records, and where each record ends."""
    view, place = memoryview(content), 0
    while place + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(view, place)
        payload = view[place + _HEAD.size : place + _HEAD.size + length]
        if length < _LEAST or len(payload) < length or zlib.crc32(payload) != checksum:
            return
        place += _HEAD.size + length
        yield payload, place


def _more_than_one(rest: bytes) -> bool:
    """Whether what follows the last whole record is more than one unfinished record."""
    if len(rest) < _HEAD.size:
        return False
    length, _ = _HEAD.unpack_from(rest)
    return bool(_HEAD.size + length < len(rest) and length >= _LEAST)


def _later(rest: bytes) -> Iterator[int]:
    """Sequence numbers of whole records that begin anywhere behind the first byte of ``rest``."""
    view, work = memoryview(rest), 8 * len(rest)
    for place in range(1, min(_LOOKED_AT, len(rest) - _HEAD.size - _LEAST)):
        length, checksum = _HEAD.unpack_from(view, place)
        if not _LEAST <= length <= len(rest) - place - _HEAD.size or work < 0:
            continue
        work -= length
        payload = view[place + _HEAD.size : place + _HEAD.size + length]
        if zlib.crc32(payload) == checksum:
            yield _SEQUENCE.unpack_from(payload)[0]


def salvage(path: Path, dim: int, features: tuple[int, int]) -> Iterator[tuple[int, Change]]:
    """The changes of whole records of a damaged log, wherever they begin."""
    content = memoryview(path.read_bytes() if path.exists() else b"")
    start = 0
    while start < len(content):
        end = 0
        for payload, behind in old_records(content[start:]):
            end = behind
            (sequence,) = _SEQUENCE.unpack_from(payload)
            yield sequence, decode(payload[_SEQUENCE.size :], dim, features)
        # Where a record is damaged the next whole one is looked for, byte by byte.
        start += end + 1
