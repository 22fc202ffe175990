"""Where live changes come from: standard input, or a Redis Stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from common.errors import NOT_IN_ORDER, MrseError
from index.vespa.feed.follow import Line

if TYPE_CHECKING:
    from redis.asyncio import Redis

#: Bytes that are read of standard input at once, and of the longest line (a vector may take 80,000).
_CHUNK: Final = 1 << 16
_LONGEST: Final = 1 << 20
#: Entries of a stream taken at once, milliseconds to wait for the first, and the field that holds a change.
_COUNT: Final = 500
_WAIT_MS: Final = 500
FIELD: Final = b"change"
#: Seconds between tries while Redis is away.
_RETRY: Final = 1.0
#: The one consumer: what a killed feed took and did not finish is the next one's.
_CONSUMER: Final = "feed"


class LinesLost(MrseError):  # noqa: N818 -- a state of the world
    """Nothing more can be read."""

    exit_code = NOT_IN_ORDER


class PipedLines:
    """Lines of a pipe, one change each; their versions rise with the time when they were read.

    Args:
        pipe: read from a thread, whatever is there at once.
        now: seconds since 1970.
    """

    def __init__(self, pipe: BinaryIO, now: Callable[[], float] = time.time) -> None:
        self._pipe = pipe
        self._now = now
        self._rest = b""
        self._number = 0
        self._version = 0
        self._ended = False

    async def next(self) -> Sequence[Line] | None:
        """See `Lines.next`.

        Raises:
            LinesLost: a line that does not end.
        """
        if self._ended:
            return None
        chunk = await asyncio.to_thread(self._pipe.read1, _CHUNK)  # type: ignore[attr-defined]
        self._ended = not chunk
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if self._ended and self._rest:
            whole.append(self._rest)
        if len(self._rest) > _LONGEST:
            raise LinesLost(f"line {self._number + 1} has more than {_LONGEST:,} bytes")
        lines = []
        for text in whole:
            self._number += 1
            if text.strip():
                self._version = max(self._version + 1, int(self._now() * 1e6))
                lines.append(Line(f"line {self._number}", text, self._version))
        return lines

    async def done(self) -> None:
        """See `Lines.done`: a pipe gives nothing twice."""


class StreamLines:
    """Entries of a Redis Stream, whose field ``change`` is the JSON of one; its id is the change's version.

    A group reads the stream from its beginning, and what was not acknowledged again. Entries are acknowledged
    when they are stored. While Redis is away nothing comes.
    """

    def __init__(self, redis: Redis, stream: str, group: str, *, retry: float = _RETRY) -> None:
        self._redis = redis
        self._retry = retry
        self._stream = stream
        self._group = group
        self._joined = False
        #: ``0``: what was taken before and is not done with; then ``>``, what is new.
        self._from = "0"
        self._taken: list[bytes] = []

    async def next(self) -> Sequence[Line] | None:
        """See `Lines.next`."""
        from redis.exceptions import ConnectionError as Away
        from redis.exceptions import RedisError, ResponseError

        try:
            if not self._joined:
                await self._join()
            answer: Any = await self._redis.xreadgroup(
                self._group, _CONSUMER, {self._stream: self._from}, count=_COUNT, block=_WAIT_MS
            )
        except (Away, TimeoutError):
            await asyncio.sleep(self._retry)
            return []
        except ResponseError as error:
            if not str(error).startswith(("NOGROUP", "LOADING", "UNBLOCKED", "MASTERDOWN", "BUSY")):
                raise LinesLost(f"redis: {error}") from error
            self._joined = False  # the stream was deleted, or Redis lost its data
            await asyncio.sleep(self._retry)
            return []
        except RedisError as error:
            raise LinesLost(f"redis: {error}") from error
        entries = answer[0][1] if answer else []
        if not entries:
            self._from = ">"
        self._taken = [entry_id for entry_id, _ in entries]
        # An entry that was trimmed away after it was taken has no fields.
        lines = [
            Line(entry_id.decode(), fields.get(FIELD, b""), _version(entry_id))
            for entry_id, fields in entries
            if fields
        ]
        if not lines:
            await self.done()
        return lines

    async def done(self) -> None:
        """See `Lines.done`; entries that Redis does not hear of now come again, which does no harm."""
        from redis.exceptions import RedisError

        try:
            if self._taken:
                await self._redis.xack(self._stream, self._group, *self._taken)
        except RedisError:
            self._from = "0"

    async def _join(self) -> None:
        from redis.exceptions import ResponseError

        try:
            await self._redis.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._joined, self._from = True, "0"


def _version(entry_id: bytes) -> int:
    """Microseconds since 1970: the milliseconds of an entry's id, and its number within them."""
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds) * 1000 + min(int(number), 999)
