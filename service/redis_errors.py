"""What the Redis client raises where Redis cannot be used now."""

from __future__ import annotations

from redis.exceptions import RedisError

#: RuntimeError is what uvloop says of a connection that was reset since it was last used.
REDIS_AWAY = (RedisError, OSError, TimeoutError, RuntimeError)
