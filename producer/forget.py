"""Takes a user out of what the producers keep: the behaviours on a stream, then the portraits."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from artifacts.behaviours import DEAD_SUFFIX, ENTRY_PREFIX
from artifacts.cache.forget import forget_user

#: Entries that are looked at in one step.
_STEP = 1000
#: Seconds that Redis has for one of them.
_WAIT_S = 5.0


async def forget_portraits(url: str, user_id: str) -> int:
    """Remove a user's portraits of every bundle version; how many there were.

    Raises:
        RedisError: Redis did not do it.
    """
    async with AsyncRedis.from_url(url, socket_timeout=_WAIT_S) as redis:
        return await forget_user(redis, user_id)


def forget_behaviours(redis: Redis, stream: str, user_id: str) -> int:
    """Remove a user's entries from a stream and from its dead letters; how many there were.

    Raises:
        RedisError: Redis did not do it, or not all of it.
    """
    dead = _remove(redis, stream + DEAD_SUFFIX, ENTRY_PREFIX + b"user", user_id)
    return dead + _remove(redis, stream, b"user", user_id)


def _remove(redis: Redis, stream: str, field: bytes, user_id: str) -> int:
    wanted, removed, start = user_id.encode("utf-8", "surrogatepass"), 0, "-"
    while True:
        entries: Any = redis.xrange(stream, min=start, count=_STEP)
        if not entries:
            return removed
        ids = [entry_id for entry_id, fields in entries if fields.get(field) == wanted]
        removed += int(redis.xdel(stream, *ids)) if ids else 0
        start = f"({entries[-1][0].decode()}"
