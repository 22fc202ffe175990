"""The groups of what comes in beside requests: items by content, and events. Defaults are *inferred*."""

from __future__ import annotations

from pydantic import Field

from service.settings.caches import RedisUrl
from service.settings.groups import Group


class Items(Group):
    """Items by content (``PUT /items``): the bundle's item tower runs on a thread of its own."""

    #: Items that share a run. The run holds a core for some milliseconds an item, whoever waits for it.
    max_batch: int = Field(default=8, ge=1, le=256)
    #: Items that each worker works on at once, of all calls together; more are refused with 503.
    queue: int = Field(default=512, ge=1)
    #: Processes that decode their pictures, apart from those of queries; started by the first picture.
    picture_lanes: int = Field(default=1, ge=1, le=64)


class Events(Group):
    """What users did (``POST /events``), written to the Redis Stream that ``mrse produce follow`` reads."""

    #: Name of the stream. Without it events are refused with 501.
    stream: str | None = Field(default=None, min_length=1, max_length=128)
    #: Redis of the stream, where it is another than ``redis.url``: one that must not evict keys.
    redis_url: RedisUrl | None = None
    #: Entries that the stream keeps, about. Those that a follower has yet to finish are kept beyond that, up
    #: to twice as many; then events are refused with 503.
    kept: int = Field(default=1_000_000, ge=1000)
    #: Longest wait for Redis, ms.
    timeout_ms: float = Field(default=2000.0, gt=0)
    #: Whether events are acknowledged only when they are on the disk of Redis, which must be 7.2 or later
    #: with ``appendonly``, rather than in its memory.
    on_disk: bool = False
