"""A user who is forgotten has no portrait left, and nobody else loses one."""

from __future__ import annotations

from pathlib import Path

from redis.asyncio import Redis

from artifacts.bundle.text import normalise
from artifacts.cache.forget import forget_user
from artifacts.cache.keys import item_key, query_key, user_key
from devtools.redis import redis_server

#: Ids that look like patterns, or hold each other.
USERS = ["u1", "u1*", "*", "u?", "[u1]", "u\\1", "a:u:u1", "x:u1", "ü-^"]
VERSIONS = ["demo-1a2b3c4d", "demo-5e6f7a8b"]


async def test_one_user_is_forgotten_and_no_other(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        redis = Redis.from_url(server.url)
        others = {item_key(VERSIONS[0], "u1"), query_key(VERSIONS[0], normalise("u1"))}
        keys = {user_key(version, user) for version in VERSIONS for user in USERS} | others
        for user in USERS:
            for key in keys:
                await redis.set(key, b"1")
            assert await forget_user(redis, user, VERSIONS[:1]) == 1
            assert await forget_user(redis, user) == 1
            assert await forget_user(redis, user) == 0
            left = {key.decode() async for key in redis.scan_iter()}
            assert left == keys - {user_key(version, user) for version in VERSIONS}
        assert await forget_user(redis, "u1", []) == 0
        await redis.aclose()
