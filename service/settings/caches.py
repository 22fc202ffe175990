"""The groups of the caches: in process, and in Redis, which workers and the Embed-Producer share."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from service.settings.groups import Group


class Cache(Group):
    """The caches in process."""

    #: Query experts kept, about 1 KB each. 0: none.
    entries: int = Field(default=50_000, ge=0)
    #: How long they are kept.
    ttl_s: float = Field(default=3600.0, gt=0)
    #: Neighbours of I2I's triggers: lists kept for each index, about 4 KB each, until it changes. A list over
    #: 16 KB counts as several. 0: none.
    neighbours: int = Field(default=4096, ge=0)
    #: Queries without a history: embeddings and results of Q2I kept for each index, about 15 KB each at
    #: k = 200; the results until the index changes. A result over 16 KB counts as several. 0: none.
    queries: int = Field(default=1024, ge=0)


def _redis_url(url: SecretStr) -> SecretStr:
    """Refuse what the client cannot connect to, before anything is loaded; the message shows no password."""
    try:
        parts = urlsplit(url.get_secret_value())
        usable = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        expected = "Input should be redis://host:port/0, rediss://… with TLS, or unix://…"
        raise PydanticCustomError("redis_url", expected)
    return url


RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]


class RedisSettings(Group):
    """The shared cache, which is used when ``url`` is set."""

    #: ``redis://host:6379/0``, ``rediss://…`` with TLS, or ``unix://…``; without it nothing is shared.
    url: RedisUrl | None = None
    #: Longest wait for Redis in one request. Without Redis an answer is slower, never an error.
    timeout_ms: float = Field(default=20.0, gt=0)
    #: Longest wait for a connection to Redis.
    connect_timeout_ms: float = Field(default=200.0, gt=0)
    #: How long Redis keeps what the service writes to it.
    ttl_s: float = Field(default=86_400.0, gt=0)
    #: Values that may wait to be written; more are dropped and counted.
    write_queue: int = Field(default=4096, ge=1)
    #: Failures in a row after which Redis is left alone.
    breaker_failures: int = Field(default=3, ge=1)
    #: How long it is left alone; then one request tries.
    breaker_open_s: float = Field(default=2.0, gt=0)
