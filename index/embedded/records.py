"""A change, and its bytes in the log."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from common.arrays import F16

_KIND = struct.Struct("<B")
_LENGTH = struct.Struct("<I")
_PUT, _REMOVE = 1, 2


@dataclass(frozen=True, slots=True)
class Put:
    """An item as it is from now on; ``attributes`` holds ``category`` too, missing ones are left out.

    So are empty ``texts``, all of them in an index that is not searched by words.
    ``picture`` float16 ``[picture_dim]`` is its picture feature; None where it has none.
    """

    id: str
    vector: F16
    features: F16
    attributes: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    picture: F16 | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """An item is deleted."""

    id: str


Change = Put | Remove


def encode(change: Change) -> bytes:
    """One change: its kind, then an id, or JSON of id and attributes with its arrays behind it.

    These are vector and features, and the picture feature where it has one.

    Raises:
        TypeError: an attribute is no value of JSON.
    """
    if isinstance(change, Remove):
        return _KIND.pack(_REMOVE) + change.id.encode()
    fields: dict[str, Any] = {"id": change.id, "attributes": change.attributes}
    if change.texts:
        fields["texts"] = change.texts
    head = orjson.dumps(fields)
    arrays = change.vector.tobytes() + change.features.tobytes()
    if change.picture is not None:
        arrays += change.picture.tobytes()
    return b"".join((_KIND.pack(_PUT), _LENGTH.pack(len(head)), head, arrays))


def decode(record: memoryview, dim: int, features: tuple[int, int]) -> Change:
    """The change of `encode`, whose vector has ``dim`` values and whose features have a shape.

    Raises:
        ValueError: it is no such record; also `struct.error` and KeyError.
    """
    (kind,) = _KIND.unpack_from(record)
    rest = record[_KIND.size :]
    if kind == _REMOVE:
        return Remove(str(rest, "utf-8"))
    (length,) = _LENGTH.unpack_from(rest)
    head = orjson.loads(rest[_LENGTH.size : _LENGTH.size + length])
    halves = np.frombuffer(rest[_LENGTH.size + length :], dtype=np.float16)
    end = dim + features[0] * features[1]
    vector, stored = halves[:dim], halves[dim:end].reshape(features)
    picture = halves[end:] if len(halves) > end else None
    return Put(head["id"], vector, stored, head["attributes"], head.get("texts", {}), picture)


def pack(changes: Sequence[Change]) -> bytes:
    """Changes that are taken together or not at all; each is its length, then `encode`."""
    parts: list[bytes] = []
    for change in changes:
        record = encode(change)
        parts += (_LENGTH.pack(len(record)), record)
    return b"".join(parts)


def unpack(packed: memoryview, dim: int, features: tuple[int, int]) -> list[Change]:
    """The changes of `pack`; raises as `decode` does."""
    changes: list[Change] = []
    place = 0
    while place < len(packed):
        (length,) = _LENGTH.unpack_from(packed, place)
        place += _LENGTH.size
        changes.append(decode(packed[place : place + length], dim, features))
        place += length
    return changes
