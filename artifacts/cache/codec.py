"""Values of the cache as bytes: fp16, little-endian, row-major. Bytes of another form count as no value.

A value ends with a u32, the CRC-32 of all before it, so that a flipped bit is no value either. It begins from
the number of the format: a value of another format is none, for readers older and newer than it.

Experts and item features are their numbers. A portrait is, in this order::

    u8 format, u8 experts, u16 expert_dim, u16 behaviours K, u16 distinct items U, u16 of them known F
    u16[K] item of each behaviour, u8[K] its id in `ACTIONS`, i64[K] its time in µs (UTC)
    u16[U] length of each id in bytes, the ids in UTF-8
    f16[F, experts, expert_dim] features of the first F items

An item that a user came back to is stored once, whatever the number of behaviours.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.bundle.portrait import Behaviour
from common.arrays import F16

_WIRE = np.dtype("<f2")

#: Of all values. 1 had no checksum.
FORMAT = 2
_SUM = struct.Struct("<I")
_HEADER = struct.Struct("<BBHHHH")
_U16, _I64 = np.dtype("<u2"), np.dtype("<i8")
_BEHAVIOUR_BYTES = _U16.itemsize + 1 + _I64.itemsize
#: Bounds on a portrait, so that a value that somebody else wrote costs a request little. *Inferred*: several
#: times the longest history of a request, and the longest id that an index takes.
MOST_BEHAVIOURS = 1024
MOST_ID_BYTES = 512
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: A behaviour without a time.
NO_TIME = -(2**63)


class FeatureCodec:
    """Arrays of one fixed shape ``[E, d]``; bytes of another length count as no value."""

    def __init__(self, experts: int, expert_dim: int) -> None:
        self.shape = (experts, expert_dim)
        self.size = experts * expert_dim * _WIRE.itemsize + _SUM.size

    def encode(self, value: F16) -> bytes:
        """The bytes of an array of this shape."""
        if value.shape != self.shape:
            raise ValueError(f"shape {value.shape}, expected {self.shape}")
        return _sealed(value.astype(_WIRE, copy=False).tobytes())

    def decode(self, data: bytes | None) -> F16 | None:
        """The array, or None for bytes that are damaged or of another form, and for numbers not finite."""
        if data is None or len(data) != self.size or not _whole(data):
            return None
        count = self.shape[0] * self.shape[1]
        value: F16 = (
            np.frombuffer(data, dtype=_WIRE, count=count).reshape(self.shape).astype(np.float16, copy=False)
        )
        return value if bool(np.isfinite(value).all()) else None


@dataclass(frozen=True, slots=True)
class StoredPortrait:
    """A user's last behaviours, most recent first, and the features of those of their items that are known.

    ``known`` are distinct ids of items in ``behaviours``, ``features`` float16 ``[len(known), E, d]``.
    Items that are not known are kept too: they are triggers, and may become known.
    """

    behaviours: Sequence[Behaviour]
    known: Sequence[str]
    features: F16


class PortraitCodec:
    """`StoredPortrait` with features of one fixed shape ``[E, d]``."""

    def __init__(self, experts: int, expert_dim: int) -> None:
        self.shape = (experts, expert_dim)
        self._row = experts * expert_dim * _WIRE.itemsize

    def encode(self, portrait: StoredPortrait) -> bytes:
        """The bytes of a portrait.

        Raises:
            ValueError: features of another shape, an unknown action, an id or a history that is too long.
        """
        if portrait.features.shape != (len(portrait.known), *self.shape):
            raise ValueError(f"features {portrait.features.shape} for {len(portrait.known)} known items")
        places = {item_id: place for place, item_id in enumerate(portrait.known)}
        known = len(places)
        if known != len(portrait.known):
            raise ValueError("an item is known twice")
        items = [places.setdefault(b.item_id, len(places)) for b in portrait.behaviours]
        try:
            actions = [ACTIONS.behaviour_ids[b.action] for b in portrait.behaviours]
        except KeyError as error:
            raise ValueError(f"no behaviour is called {error}") from error
        times = [NO_TIME if b.ts is None else microseconds(b.ts) for b in portrait.behaviours]
        return self.pack(items, actions, times, list(map(encoded_id, places)), known, portrait.features)

    def pack(
        self,
        items: Sequence[int],
        actions: Sequence[int],
        times: Sequence[int],
        ids: Sequence[bytes],
        known: int,
        features: F16,
    ) -> bytes:
        """The bytes of a portrait whose parts are at hand; see the module for the layout.

        Raises:
            ValueError: an id or a history that is too long.
        """
        lengths = [len(item_id) for item_id in ids]
        if max(len(items), len(ids)) > MOST_BEHAVIOURS or max(lengths, default=0) > MOST_ID_BYTES:
            raise ValueError(f"over {MOST_BEHAVIOURS} behaviours, or an id of over {MOST_ID_BYTES} bytes")
        body = b"".join(
            (
                _HEADER.pack(FORMAT, *self.shape, len(items), len(ids), known),
                np.array(items, dtype=_U16).tobytes(),
                bytes(actions),
                np.array(times, dtype=_I64).tobytes(),
                np.array(lengths, dtype=_U16).tobytes(),
                *ids,
                features.astype(_WIRE, copy=False).tobytes(),
            )
        )
        return _sealed(body)

    def decode(self, data: bytes | None) -> StoredPortrait | None:
        """The portrait, or None for bytes that are damaged or of another form."""
        if data is None or len(data) < _HEADER.size:
            return None
        version, experts, expert_dim, behaviours, distinct, known = _HEADER.unpack_from(data)
        if version != FORMAT or (experts, expert_dim) != self.shape or known > distinct:
            return None
        if max(behaviours, distinct) > MOST_BEHAVIOURS:
            return None
        lengths_at = _HEADER.size + behaviours * _BEHAVIOUR_BYTES
        ids_at = lengths_at + distinct * _U16.itemsize
        if len(data) < ids_at:
            return None
        lengths = np.frombuffer(data, _U16, distinct, lengths_at).tolist()
        if max(lengths, default=0) > MOST_ID_BYTES:
            return None
        features_at = ids_at + sum(lengths)
        if len(data) != features_at + known * self._row + _SUM.size or not _whole(data):
            return None
        numbers = known * self._row // _WIRE.itemsize
        features: F16 = np.frombuffer(data, _WIRE, numbers, features_at).reshape(known, *self.shape)
        if not np.isfinite(features).all():
            return None
        try:
            ids = _read_ids(data, ids_at, lengths)
            stored = _read_behaviours(data, behaviours, ids)
        except (IndexError, UnicodeDecodeError, OverflowError):
            return None
        if len(set(ids)) != distinct:
            return None
        return StoredPortrait(stored, ids[:known], features.astype(np.float16, copy=False))


def _sealed(body: bytes) -> bytes:
    return body + _SUM.pack(zlib.crc32(body, FORMAT))


def _whole(data: bytes) -> bool:
    """Whether the checksum is that of the bytes before it, of this format."""
    end = len(data) - _SUM.size
    return bool(zlib.crc32(memoryview(data)[:end], FORMAT) == _SUM.unpack_from(data, end)[0])


def encoded_id(item_id: str) -> bytes:
    """An id as a portrait holds it."""
    return item_id.encode("utf-8", "surrogatepass")


def microseconds(ts: datetime) -> int:
    """A time as a portrait holds it: whole microseconds since 1970, UTC."""
    return (ts - _EPOCH) // _MICROSECOND


def _read_ids(data: bytes, at: int, lengths: Sequence[int]) -> list[str]:
    bounds = pairwise(accumulate(lengths, initial=at))
    return [data[start:end].decode("utf-8", "surrogatepass") for start, end in bounds]


def _read_behaviours(data: bytes, count: int, ids: Sequence[str]) -> list[Behaviour]:
    at = _HEADER.size
    items = np.frombuffer(data, _U16, count, at).tolist()
    at += count * _U16.itemsize
    actions = data[at : at + count]
    times = np.frombuffer(data, _I64, count, at + count).tolist()
    names = ACTIONS.behaviours
    if 0 in actions:
        raise IndexError("0 is an empty slot, not a behaviour")
    return [
        Behaviour(ids[item], names[action - 1], None if time == NO_TIME else _EPOCH + time * _MICROSECOND)
        for item, action, time in zip(items, actions, times, strict=True)
    ]
