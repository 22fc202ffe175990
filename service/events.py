"""Behaviours of users, written to the Redis Stream that `mrse produce follow` reads.

An event that was acknowledged is in the stream until whoever follows it is through with it: entries are
trimmed above ``events.kept``, but none that a consumer group has yet to finish, as long as one of its
consumers was there within a day. A stream that grows to twice as many refuses further events.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from artifacts.behaviours import DEAD_SUFFIX, ENTRY_PREFIX
from common.calling import redis_call
from common.deadline import Clock
from service.errors import NotTaken, Overloaded, Unavailable
from service.redis_errors import REDIS_AWAY
from service.settings import Settings

log = logging.getLogger("mrse.events")

#: Connections; calls that find none wait, within the time for Redis.
_CONNECTIONS = 8
#: Attempts behind the first one, within that time each: every event has its time, so that twice is as once.
_RETRIES = 2
#: Seconds between two looks at how long the stream is.
_LOOK_EVERY_S = 1.0
#: Milliseconds without a sign of any of its consumers after which a group counts as left behind.
_LEFT_MS = 86_400_000
#: How many times ``events.kept`` the stream may hold.
_MOST = 2
#: Entries that one step of forgetting looks at; Redis answers nobody else for a millisecond or so.
_STEP = 1000
_FORGET = """
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[4])
local removed = 0
for _, entry in ipairs(entries) do
  for place = 1, #entry[2], 2 do
    if entry[2][place] == ARGV[2] and entry[2][place + 1] == ARGV[3] then
      removed = removed + redis.call('XDEL', KEYS[1], entry[1])
      break
    end
  end
end
if #entries < tonumber(ARGV[4]) then return {removed, ''} end
return {removed, '(' .. entries[#entries][1]}
"""


class EventStream:
    """One stream, shared by all workers.

    Args:
        settings: the group ``events``, and ``redis.url``.
        clock: seconds.
    """

    def __init__(self, settings: Settings, clock: Clock = time.monotonic) -> None:
        knobs = settings.events
        url = knobs.redis_url or settings.redis.url
        self._knobs = knobs
        self._clock = clock
        self._missing = None
        if knobs.stream is None:
            self._missing = "events are not taken here: events.stream names no stream"
        elif url is None:
            self._missing = "events are not taken here: there is no Redis, see redis.url and events.redis_url"
        self._name = knobs.stream or ""
        self._looked = -_LOOK_EVERY_S
        self._asked = False
        self._full = False
        self._redis: Redis | None = None
        if url is not None and knobs.stream is not None:
            timeout_s = knobs.timeout_ms / 1000
            pool = BlockingConnectionPool.from_url(
                url.get_secret_value(),
                max_connections=_CONNECTIONS,
                timeout=timeout_s,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), _RETRIES),
            )
            self._redis = Redis.from_pool(pool)

    async def add(self, entries: Sequence[Mapping[str, str]]) -> None:
        """Add entries, all or none; they are in the stream when this returns.

        Args:
            entries: the fields of each, see `artifacts.behaviours`; with their time, since they may be sent
                again.

        Raises:
            NotTaken: no stream is set.
            Overloaded: the stream is full of entries that nobody has finished.
            Unavailable: Redis does not answer, or takes none; they may be there all the same.
        """
        if self._redis is None:
            raise NotTaken(self._missing or "")
        try:
            await self._look()
            if self._full:
                raise Overloaded("the followers of the stream are too far behind")
            await self._write(self._redis, entries)
        except REDIS_AWAY as error:
            log.warning("events were not written", extra={"error": type(error).__name__})
            detail = (
                "redis did not take the events; some may be there all the same: send them again as they are"
            )
            raise Unavailable(detail) from error

    async def forget(self, user_id: str) -> int:
        """Remove a user's entries, and those among the dead letters; how many there were.

        Raises:
            Unavailable: Redis does not answer; some may still be there.
        """
        if self._redis is None:
            return 0
        user, removed = user_id.encode("utf-8", "surrogatepass"), 0
        try:
            for name, field in ((self._name + DEAD_SUFFIX, ENTRY_PREFIX + b"user"), (self._name, b"user")):
                start = b"-"
                while start:
                    found: Any = await self._redis.eval(_FORGET, 1, name, start, field, user, _STEP)
                    removed, start = removed + int(found[0]), found[1]
        except REDIS_AWAY as error:
            raise Unavailable(
                "redis does not answer; events of the user may still be there, try again"
            ) from error
        return removed

    async def close(self) -> None:
        """Release connections."""
        if self._redis is not None:
            await self._redis.aclose(close_connection_pool=True)

    async def _write(self, redis: Redis, entries: Sequence[Mapping[str, str]]) -> None:
        pipe = redis.pipeline(transaction=False)
        pipe.execute_command("MULTI")
        for entry in entries:
            pipe.execute_command("XADD", self._name, "*", *(part for pair in entry.items() for part in pair))
        pipe.execute_command("EXEC")
        if self._knobs.on_disk:
            pipe.execute_command("WAITAOF", 1, 0, int(self._knobs.timeout_ms / 2))
        with redis_call("XADD", len(entries), redis.connection_pool.connection_kwargs):
            answers: list[Any] = await pipe.execute()
        for failed in (each for each in answers[1 + len(entries)] if isinstance(each, Exception)):
            raise failed  # such as that the key is no stream
        if self._knobs.on_disk and answers[-1][0] < 1:
            raise TimeoutError("not on the disk of Redis in time")

    async def _look(self) -> None:
        """Trim the stream now and then, and see whether it is full."""
        now, redis = self._clock(), self._redis
        assert redis is not None
        if now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        await self._ask_policy(redis)
        kept, name = self._knobs.kept, self._name
        length = await redis.xlen(name)
        if length > kept:
            unfinished = await self._unfinished(redis)
            if unfinished is None:
                await redis.xtrim(name, maxlen=kept, approximate=True)
            else:
                await redis.xtrim(name, minid=unfinished, approximate=True, limit=length - kept)
            length = await redis.xlen(name)
        was, self._full = self._full, length >= _MOST * kept
        if self._full != was:
            log.warning(
                "the stream is full" if self._full else "the stream has room again", extra={"length": length}
            )

    async def _ask_policy(self, redis: Redis) -> None:
        """Warn, once, of a Redis that may throw the whole stream away when its memory is full."""
        if not self._asked:
            self._asked = True
            with suppress(RedisError):  # such as that this user may not ask: it is no reason to refuse events
                policy = (await redis.info("memory")).get("maxmemory_policy", "")
                if policy.startswith("allkeys"):
                    log.warning("redis may evict the stream of events", extra={"maxmemory_policy": policy})

    async def _unfinished(self, redis: Redis) -> bytes | None:
        """The first entry that a group may have yet to finish; None where nobody follows."""
        first: list[tuple[int, int]] = []
        for group in await redis.xinfo_groups(self._name):
            consumers = await redis.xinfo_consumers(self._name, group["name"])
            if any(each["idle"] < _LEFT_MS for each in consumers):
                pending = await redis.xpending(self._name, group["name"])
                first.append(_place(pending["min"] or group["last-delivered-id"]))
        return b"%d-%d" % min(first) if first else None


def _place(entry_id: bytes) -> tuple[int, int]:
    ms, _, number = entry_id.partition(b"-")
    return int(ms), int(number)
