"""Writes to Redis for producers: in one piece, with times to live that do not end together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError, WatchError
from redis.retry import Retry

from common.masking import mask_url
from producer.errors import ProduceError

#: redis-py types a pipeline's methods for its synchronous and its asynchronous form at once.
Pipeline = Any
#: From what is stored under each key to what shall be.
Change = Callable[[Sequence[bytes | None]], Sequence[bytes]]

#: Share of the time to live by which it is varied, either way.
JITTER = 0.1
#: Many values in one command: a quarter of what as many SETs cost the client, and the same for Redis. An
#: error, such as memory running out, ends it before the mark, which a transaction would still have set.
_WRITE = """
local n = tonumber(ARGV[1])
for i = 1, n do redis.call('SET', KEYS[i], ARGV[2 * i], 'PX', ARGV[2 * i + 1]) end
if KEYS[n + 1] then
  if ARGV[2 * n + 2] then
    redis.call('HSET', KEYS[n + 1], unpack(ARGV, 2 * n + 3))
    redis.call('PEXPIREAT', KEYS[n + 1], ARGV[2 * n + 2])
  else
    redis.call('DEL', KEYS[n + 1])
  end
end
"""
_CONNECT_S, _ANSWER_S, _ATTEMPTS = 5.0, 30.0, 5


def connect(url: str) -> Redis:
    """A client that tries again for some seconds before it gives up: a job outlives a short outage."""
    return Redis.from_url(
        url,
        socket_connect_timeout=_CONNECT_S,
        socket_timeout=_ANSWER_S,
        retry=Retry(ExponentialBackoff(cap=2.0, base=0.05), _ATTEMPTS),
    )


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turns errors of Redis into `ProduceError`, with the address and no password."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise ProduceError(
            f"redis {mask_url(url)}: {error}; start the command again and it goes on where it stopped"
        ) from error


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a job is: ``fields`` under ``key``, until ``void_at_ms``. Without fields it is done."""

    key: str
    fields: Mapping[str, str | int] | None = None
    void_at_ms: int = 0


class Store:
    """Values with a time to live.

    Args:
        redis: the client.
        ttl_s: seconds that a value lives, give or take `JITTER`.
    """

    def __init__(self, redis: Redis, ttl_s: float) -> None:
        self.redis = redis
        self.ttl_s = ttl_s

    def put(self, keys: Sequence[str], values: Sequence[bytes], mark: Mark | None = None) -> None:
        """Write values, then the mark; nothing else comes in between."""
        self.redis.eval(*self._write(keys, values, mark))

    def update(self, keys: Sequence[str], change: Change, mark: Mark | None = None) -> None:
        """As `put`, for values that depend on what is there; another writer in between means once more."""
        while True:
            transaction: Pipeline = self.redis.pipeline(transaction=True)
            with transaction as pipe:
                try:
                    pipe.watch(*keys)
                    values = change(cast("list[bytes | None]", pipe.mget(keys)))
                    pipe.multi()
                    pipe.eval(*self._write(keys, values, mark))
                    pipe.execute()
                except WatchError:
                    continue
                return

    def _write(self, keys: Sequence[str], values: Sequence[bytes], mark: Mark | None) -> tuple[Any, ...]:
        """Script, number of keys, keys and arguments, as ``eval`` takes them."""
        low, span = 1000 * self.ttl_s * (1 - JITTER), 2000 * self.ttl_s * JITTER
        command: list[str | int | bytes] = [_WRITE, len(keys) + (mark is not None), *keys]
        if mark is not None:
            command.append(mark.key)
        command.append(len(keys))
        for value in values:
            command += (value, int(low + span * random.random()))
        if mark is not None and mark.fields is not None:
            command.append(mark.void_at_ms)
            for field in mark.fields.items():
                command += field
        return tuple(command)
