"""User behaviours on a Redis Stream: how an entry (`artifacts.behaviours`) is read, and by whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from redis import Redis
from redis.exceptions import ResponseError

from artifacts.actions import ACTIONS
from artifacts.behaviours import AHEAD, DEAD_SUFFIX, ENTRY_PREFIX, MAX_ID_CHARACTERS
from artifacts.bundle.portrait import Behaviour

#: What can be wrong with an entry; the labels of the count of dead letters.
Reason = Literal["user", "item", "action", "ts", "encoding"]
REASONS: tuple[Reason, ...] = get_args(Reason)
#: Dead letters that the stream keeps, about.
_DEAD_KEPT = 100_000

Fields = Mapping[bytes, bytes]
Entry = tuple[bytes, Fields]


class MalformedEntryError(ValueError):
    """An entry that cannot be read; ``reason`` is the field that is wrong."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


#: A malformed entry and what is wrong with it.
DeadLetter = tuple[Entry, MalformedEntryError]


def added_at(entry_id: bytes) -> float:
    """When an entry was added: seconds since 1970, on the clock of Redis. The id begins with it."""
    return int(entry_id.partition(b"-")[0]) / 1000


def parse(entry: Entry, now: datetime) -> tuple[str, Behaviour] | None:
    """User and behaviour of an entry; None where its action is no behaviour.

    Without ``ts``, the time is when the entry was added, which is the same at every delivery.

    Raises:
        MalformedEntryError: a field is missing or cannot be read.
    """
    entry_id, fields = entry
    user, item = _name(fields, "user"), _name(fields, "item")
    action = _text(fields, "action")
    if action not in ACTIONS.names:
        wanted = ", ".join(ACTIONS.behaviours)
        raise MalformedEntryError("action", f"action is {action[:64]!r}, expected one of {wanted}")
    if action not in ACTIONS.behaviours:
        return None
    return user, Behaviour(item, action, _time(fields, entry_id, now))


def _name(fields: Fields, field: Literal["user", "item"]) -> str:
    value = _text(fields, field)
    if not 0 < len(value) <= MAX_ID_CHARACTERS:
        message = f"{field} has {len(value)} characters, expected 1 to {MAX_ID_CHARACTERS}"
        raise MalformedEntryError(field, message)
    return value


def _text(fields: Fields, field: Literal["user", "item", "action", "ts"]) -> str:
    value = fields.get(field.encode())
    if value is None:
        raise MalformedEntryError(field, f"there is no {field}")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise MalformedEntryError("encoding", f"{field} is not UTF-8") from error


def _time(fields: Fields, entry_id: bytes, now: datetime) -> datetime:
    if b"ts" not in fields:
        return datetime.fromtimestamp(added_at(entry_id), UTC)
    text = _text(fields, "ts")
    try:
        ts = datetime.fromisoformat(text)
        ts = ts.astimezone(UTC) if ts.tzinfo else ts
    except (ValueError, OverflowError) as error:
        raise MalformedEntryError("ts", f"ts is {text[:64]!r}, expected ISO 8601") from error
    if ts.tzinfo is None:
        raise MalformedEntryError("ts", f"ts is {text[:64]!r}, which has no time zone")
    if ts > now + AHEAD:
        raise MalformedEntryError("ts", f"ts is {text[:64]!r}, over a day ahead")
    return ts


class BehaviourStream:
    """A ``consumer``, by a name that no other running one has, of one group on a stream.

    Dead letters go to ``<name>:dead``. A group that is missing is made from the stream's beginning, so that
    nothing is left out.
    """

    def __init__(self, redis: Redis, name: str, group: str, consumer: str) -> None:
        self._redis = redis
        self.name = name
        self.dead_name = name + DEAD_SUFFIX
        self.group = group
        self._consumer = consumer
        self._cursor: Any = "0-0"

    def join(self) -> None:
        """Make the group where there is none, and the stream with it."""
        try:
            self._redis.xgroup_create(self.name, self.group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def read(self, count: int, wait_s: float) -> list[Entry]:
        """New entries; waits for the first one, and for no more."""
        block = max(1, int(wait_s * 1000))
        answer: Any = self._redis.xreadgroup(
            self.group, self._consumer, {self.name: ">"}, count=count, block=block
        )
        return _entries(answer[0][1]) if answer else []

    def claim(self, count: int, idle_s: float) -> list[Entry]:
        """Entries that another consumer took and has not acknowledged for ``idle_s`` seconds."""
        idle_ms = int(idle_s * 1000)
        answer: Any = self._redis.xautoclaim(
            self.name, self.group, self._consumer, idle_ms, start_id=self._cursor, count=count
        )
        self._cursor = answer[0]
        return _entries(answer[1])

    def finish(self, ids: Sequence[bytes], dead: Sequence[DeadLetter]) -> None:
        """Acknowledge entries and add the dead letters to their stream, in one transaction."""
        with self._redis.pipeline(transaction=True) as pipe:
            for (entry_id, fields), error in dead:
                about: dict[Any, Any] = {"id": entry_id, "reason": error.reason}
                about |= {"message": str(error), "group": self.group}
                about |= {ENTRY_PREFIX + field: value for field, value in fields.items()}
                pipe.xadd(self.dead_name, about, maxlen=_DEAD_KEPT, approximate=True)
            if ids:
                pipe.xack(self.name, self.group, *ids)
            pipe.execute()

    def pending(self) -> int:
        """Entries that the group has taken and not acknowledged."""
        summary = self._redis.xpending(self.name, self.group)
        return int(summary["pending"])

    def leave(self) -> None:
        """Remove this consumer from the group, where it has acknowledged all that it took."""
        consumers = self._redis.xinfo_consumers(self.name, self.group)
        mine = [c for c in consumers if c["name"] == self._consumer.encode()]
        if mine and mine[0]["pending"] == 0:
            self._redis.xgroup_delconsumer(self.name, self.group, self._consumer)


def _entries(answer: Sequence[tuple[bytes | None, Fields | None]]) -> list[Entry]:
    """Without entries that were trimmed from the stream after a consumer took them."""
    return [(entry_id, fields) for entry_id, fields in answer if entry_id is not None and fields is not None]
