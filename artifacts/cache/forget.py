"""Takes a user out of the shared cache, on request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis

from artifacts.cache.keys import PREFIX, user_key

#: Keys that Redis looks at in one step of a walk; a step of this size holds it for about a millisecond.
_STEP = 1000
_GLOB = str.maketrans({sign: f"\\{sign}" for sign in "\\*?[]^-"})


async def forget_user(redis: Redis, user_id: str, bundle_versions: Iterable[str] | None = None) -> int:
    """Remove the portraits of a user; what another writes afterwards is not undone.

    Args:
        redis: the shared cache.
        user_id: whom to forget.
        bundle_versions: whose portraits to remove, which costs one command. None: of every version, for
            which Redis walks through all its keys.

    Returns:
        how many portraits there were.

    Raises:
        RedisError: Redis did not do it, or not all of it.
    """
    if bundle_versions is not None:
        keys: list[Any] = [user_key(version, user_id) for version in bundle_versions]
        return int(await redis.unlink(*keys)) if keys else 0
    removed, name = 0, user_id.encode("utf-8", "surrogatepass")
    pattern = user_key("*", user_id.translate(_GLOB)).encode("utf-8", "surrogatepass")
    async for key in redis.scan_iter(match=pattern, count=_STEP):
        # An id may hold colons, so that the pattern also finds users whose id only ends as this one.
        prefix, _, kind, found = (key if isinstance(key, bytes) else key.encode()).split(b":", 3)
        if (prefix, kind, found) == (PREFIX.encode(), b"u", name):
            removed += int(await redis.unlink(key))
    return removed
