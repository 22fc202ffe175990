"""Writes to Redis for producers: transactions, with times to live that do not end together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError, WatchError
from redis.retry import Retry

from service.masking import mask_url
from service.produce.errors import ProduceError

#: redis-py types a pipeline's methods for its synchronous and its asynchronous form at once.
Pipeline = Any
Also = Callable[[Pipeline], None]
#: From what is stored under each key to what shall be; None leaves a key as it is.
Change = Callable[[Sequence[bytes | None]], Sequence[bytes | None]]

#: Share of the time to live by which it is varied, either way.
JITTER = 0.1
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


class Store:
    """Values with a time to live.

    Args:
        redis: the client.
        ttl_s: seconds that a value lives, give or take `JITTER`.
    """

    def __init__(self, redis: Redis, ttl_s: float) -> None:
        self.redis = redis
        self.ttl_s = ttl_s

    def put(self, keys: Sequence[str], values: Sequence[bytes], also: Also) -> None:
        """Write values, and whatever ``also`` adds, all of it or nothing."""
        with self.redis.pipeline(transaction=True) as pipe:
            self._set(pipe, keys, values)
            also(pipe)
            pipe.execute()

    def update(self, keys: Sequence[str], change: Change, also: Also) -> None:
        """As `put`, for values that depend on what is there; another writer in between means once more."""
        while True:
            transaction: Pipeline = self.redis.pipeline(transaction=True)
            with transaction as pipe:
                try:
                    stored: Sequence[bytes | None] = [None] * len(keys)
                    if keys:
                        pipe.watch(*keys)
                        stored = cast("list[bytes | None]", pipe.mget(keys))
                    pairs = [(k, v) for k, v in zip(keys, change(stored), strict=True) if v is not None]
                    pipe.multi()
                    self._set(pipe, [key for key, _ in pairs], [value for _, value in pairs])
                    also(pipe)
                    pipe.execute()
                except WatchError:
                    continue
                return

    def _set(self, pipe: Pipeline, keys: Sequence[str], values: Sequence[bytes]) -> None:
        low, high = int(1000 * self.ttl_s * (1 - JITTER)), int(1000 * self.ttl_s * (1 + JITTER))
        for key, value in zip(keys, values, strict=True):
            # pipe.set() looks at a dozen options first, which costs more than the rest of this loop.
            pipe.execute_command("SET", key, value, "PX", random.randint(low, high))
