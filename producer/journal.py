"""How far a job is, kept in Redis beside the values that it writes.

In Redis and not in a file, because mark and values are then written together: after a kill at any moment the
mark says what is stored, on whatever machine the job starts again, and a Redis that lost its values has lost
the mark too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from redis import Redis

from artifacts.cache.keys import PREFIX
from producer.job import Job
from producer.store import JITTER, Mark


class Journal:
    """The mark of a job; one whose `source` differs starts from the beginning.

    The mark expires before the first of the values can, which live for ``ttl_s`` seconds.
    """

    def __init__(self, job: Job, ttl_s: float, now: Callable[[], float] = time.time) -> None:
        self.key = f"{PREFIX}:{job.bundle_version}:produce:{job.name}"
        self._source, self._total = job.source, len(job)
        self._void_at_ms = int(1000 * (now() + ttl_s * (1 - JITTER)))

    def resume(self, redis: Redis) -> int:
        """Rows that are done already."""
        stored: Any = redis.hgetall(self.key)
        if stored.get(b"source") != self._source.encode():
            return 0
        self._void_at_ms = int(stored[b"void_at_ms"])
        return min(int(stored[b"done"]), self._total)

    def mark(self, done: int) -> Mark:
        """The mark for ``done`` rows; a finished job has none."""
        if done >= self._total:
            return Mark(self.key)
        fields: dict[str, str | int] = {"source": self._source, "done": done, "void_at_ms": self._void_at_ms}
        return Mark(self.key, fields, self._void_at_ms)
