"""The log of changes: every change that was acknowledged is in it, on disk.

A record is the length and the CRC-32 of its payload, then the payload: a sequence number, a kind, and the
change. A process that dies while it writes leaves at the end a record that is short or fails its checksum.
Readers stop before it and look again later; the next writer cuts it off.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from common.arrays import F16
from common.errors import NOT_IN_ORDER, MrseError

_HEAD = struct.Struct("<II")
_BODY = struct.Struct("<QB")
_LENGTH = struct.Struct("<I")
_PUT, _REMOVE = 1, 2


@dataclass(frozen=True, slots=True)
class Put:
    """An item as it is from now on; ``attributes`` holds ``category`` too, missing ones are left out."""

    id: str
    vector: F16
    features: F16
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remove:
    """An item is deleted."""

    id: str


Change = Put | Remove


class LogDamaged(MrseError, ValueError):  # noqa: N818 -- the state of a file
    """A log that is wrong before its end: which changes were acknowledged cannot be told."""

    exit_code = NOT_IN_ORDER


def encode(sequence: int, change: Change) -> bytes:
    """One record."""
    if isinstance(change, Remove):
        payload = _BODY.pack(sequence, _REMOVE) + change.id.encode()
    else:
        head = orjson.dumps({"id": change.id, "attributes": change.attributes})
        arrays = change.vector.tobytes() + change.features.tobytes()
        payload = b"".join((_BODY.pack(sequence, _PUT), _LENGTH.pack(len(head)), head, arrays))
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


class LogReader:
    """Reads the whole records of a log as it grows."""

    def __init__(self, path: Path, dim: int, features: tuple[int, int]) -> None:
        self.path = path
        self._dim = dim
        self._features = features
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        #: Where the next record begins.
        self.offset = 0

    def grown(self) -> bool:
        """Whether there is more than was read; takes a microsecond."""
        return os.fstat(self._descriptor).st_size > self.offset

    def read(self) -> list[tuple[int, Change]]:
        """The whole records since the last call, with their sequence numbers.

        Raises:
            LogDamaged: a record fails its checksum and others follow.
        """
        size = os.fstat(self._descriptor).st_size
        content = os.pread(self._descriptor, size - self.offset, self.offset)
        changes: list[tuple[int, Change]] = []
        used = 0
        for payload, end in _payloads(content):
            changes.append(self._decode(payload))
            used = end
        _check_rest(content[used:], self.offset + used)
        self.offset += used
        return changes

    def __del__(self) -> None:
        with suppress(AttributeError):  # where it could not be opened
            os.close(self._descriptor)

    def _decode(self, payload: memoryview) -> tuple[int, Change]:
        sequence, kind = _BODY.unpack_from(payload)
        rest = payload[_BODY.size :]
        if kind == _REMOVE:
            return sequence, Remove(str(rest, "utf-8"))
        (length,) = _LENGTH.unpack_from(rest)
        head = orjson.loads(rest[_LENGTH.size : _LENGTH.size + length])
        halves = np.frombuffer(rest[_LENGTH.size + length :], dtype=np.float16)
        vector, features = halves[: self._dim], halves[self._dim :].reshape(self._features)
        return sequence, Put(head["id"], vector, features, head["attributes"])


def _check_rest(rest: bytes, at: int) -> None:
    """Check that what follows the last whole record is one unfinished record and no more."""
    if len(rest) >= _HEAD.size:
        length, _ = _HEAD.unpack_from(rest)
        if _HEAD.size + length < len(rest) and length >= _BODY.size:
            raise LogDamaged(f"has a damaged record at byte {at}")


def append(path: Path, at: int, records: Sequence[bytes]) -> None:
    """Write records at an offset, cutting off what lies beyond it, and wait until they are on disk."""
    with path.open("r+b") as file:
        if file.seek(0, os.SEEK_END) != at:
            file.truncate(at)
            file.seek(at)
        file.write(b"".join(records))
        file.flush()
        os.fsync(file.fileno())


def last_sequence(path: Path, otherwise: int) -> int:
    """The last sequence number in a log, without decoding its changes."""
    last = otherwise
    for payload, _ in _payloads(path.read_bytes()):
        (last, _) = _BODY.unpack_from(payload)
    return last


def _payloads(content: bytes) -> Any:
    """The payloads of whole records, and where each record ends."""
    view, place = memoryview(content), 0
    while place + _HEAD.size <= len(content):
        length, checksum = _HEAD.unpack_from(view, place)
        payload = view[place + _HEAD.size : place + _HEAD.size + length]
        if length < _BODY.size or len(payload) < length or zlib.crc32(payload) != checksum:
            return
        place += _HEAD.size + length
        yield payload, place
