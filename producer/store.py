"""Writes to Redis for producers: values and mark together, with times to live that end at different times."""

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

from common.errors import NOT_IN_ORDER, MrseError
from common.masking import mask_url

#: redis-py types a pipeline's methods for its synchronous and its asynchronous form at once.
Pipeline = Any
#: From the values stored under some keys to the values to store there.
Change = Callable[[Sequence[bytes | None]], Sequence[bytes]]

#: Largest share of the time to live by which a value's own is longer or shorter.
JITTER = 0.1
#: Writes many values and a mark in one command, which costs the client a quarter of as many SETs. An error,
#: such as memory running out, ends the script before the mark; a transaction would still set it.
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


class ProduceError(MrseError):
    """Redis cannot be used; what was written stays, and starting again goes on from there."""

    exit_code = NOT_IN_ORDER


class AddressError(MrseError, ValueError):
    """What was given is no address of a Redis."""


def connect(url: str) -> Redis:
    """A client that tries again for some seconds, so that a job outlives a short outage.

    Raises:
        AddressError: it is no address of a Redis.
    """
    try:
        return Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_S,
            socket_timeout=_ANSWER_S,
            retry=Retry(ExponentialBackoff(cap=2.0, base=0.05), _ATTEMPTS),
        )
    except ValueError as error:  # it may quote what was given, which may hold a password
        raise AddressError("the address of Redis is none: it is written as redis://host:6379/0") from error


@contextmanager
def as_produce_error(url: str) -> Iterator[None]:
    """Raise an error of Redis as a `ProduceError` that names the address, without its password."""
    try:
        yield
    except (RedisError, OSError) as error:
        said = str(error).rstrip(".")
        raise ProduceError(
            f"redis {mask_url(url)}: {said}; start the command again and it goes on where it stopped"
        ) from error


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a job is: ``fields`` under ``key``, until ``void_at_ms``. Without fields the job is done."""

    key: str
    fields: Mapping[str, str | int] | None = None
    void_at_ms: int = 0


class Store:
    """Values that live for ``ttl_s`` seconds, give or take `JITTER`."""

    def __init__(self, redis: Redis, ttl_s: float) -> None:
        self.redis = redis
        self.ttl_s = ttl_s

    def put(self, keys: Sequence[str], values: Sequence[bytes], mark: Mark | None = None) -> None:
        """Write values, then the mark, in one piece."""
        self.redis.eval(*self._write(keys, values, mark))

    def update(self, keys: Sequence[str], change: Change, mark: Mark | None = None) -> None:
        """As `put`, for values that depend on those stored; again where another writer came between."""
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
