"""Follows a stream of user behaviours and keeps the portraits up to date.

An entry is acknowledged after its portrait is written, so a kill at any moment loses none: Redis delivers
what was not acknowledged again, after some seconds to another consumer, and adding a behaviour twice changes
nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from artifacts.bundle.portrait import Behaviour
from producer.metrics import FollowMetrics
from producer.refresh import Refresher
from producer.stream import BehaviourStream, DeadLetter, Entry, MalformedEntryError, added_at, parse

log = logging.getLogger("mrse.produce")


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """Options of a follower, all *inferred*."""

    #: Entries taken at once.
    count: int = 256
    #: Longest wait for a first entry (seconds); a stop may take as long.
    wait_s: float = 0.5
    #: Seconds without an acknowledgement after which another consumer's entry is taken over.
    claim_idle_s: float = 5.0
    #: Seconds between two looks for such entries.
    claim_every_s: float = 1.0
    #: Seconds between two attempts while Redis is away: at first, and at most.
    retry_s: float = 0.1
    retry_most_s: float = 5.0


class Follower:
    """Reads entries, adds their behaviours to the portraits, and acknowledges the entries.

    ``now`` gives seconds since 1970, on a clock that agrees with that of Redis.
    """

    def __init__(
        self,
        stream: BehaviourStream,
        refresher: Refresher,
        metrics: FollowMetrics,
        options: FollowOptions,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._stream = stream
        self._refresher = refresher
        self._metrics = metrics
        self._options = options
        self._now = now
        self._claim_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Follow until ``stop`` is set, and finish the batch at hand. While Redis is away, try again."""
        pause = self._options.retry_s
        joined = False
        while not stop.is_set():
            try:
                if not joined:
                    self._stream.join()
                    joined = True
                self.step()
                pause = self._options.retry_s
            except RedisError as error:
                # A group that is gone (the stream was deleted, Redis lost its data) is made again.
                joined = False
                self._metrics.outages.inc()
                if not _passing(error):
                    raise
                log.warning("redis is away, trying again", extra={"error": type(error).__name__})
                stop.wait(pause)
                pause = min(2 * pause, self._options.retry_most_s)
        try:
            self._stream.leave()
        except RedisError as error:
            log.info("could not leave the group", extra={"error": type(error).__name__})

    def step(self) -> int:
        """Finish entries taken over from a consumer that is gone, or else new ones; returns how many."""
        entries: list[Entry] = []
        if time.monotonic() >= self._claim_at:
            entries = self._stream.claim(self._options.count, self._options.claim_idle_s)
            self._metrics.claimed.inc(len(entries))
            if len(entries) < self._options.count:  # a full page may have another behind it
                self._claim_at = time.monotonic() + self._options.claim_every_s
            self._metrics.pending.set(self._stream.pending())
        if not entries:
            entries = self._stream.read(self._options.count, self._options.wait_s)
        if not entries:
            self._metrics.lag_seconds.set(0.0)
            return 0
        self._finish(entries)
        return len(entries)

    def _finish(self, entries: Sequence[Entry]) -> None:
        now = datetime.fromtimestamp(self._now(), UTC)
        behaviours: dict[str, list[Behaviour]] = {}
        dead: list[DeadLetter] = []
        ignored = 0
        for entry in entries:
            try:
                parsed = parse(entry, now)
            except MalformedEntryError as error:
                dead.append((entry, error))
                continue
            if parsed is None:
                ignored += 1
            else:
                behaviours.setdefault(parsed[0], []).append(parsed[1])
        if behaviours:
            self._refresher.add(behaviours)
        self._stream.finish([entry_id for entry_id, _ in entries], dead)
        self._count(entries, dead, ignored, len(behaviours))

    def _count(
        self, entries: Sequence[Entry], dead: Sequence[DeadLetter], ignored: int, portraits: int
    ) -> None:
        metrics = self._metrics
        metrics.processed.inc(len(entries) - len(dead) - ignored)
        metrics.ignored.inc(ignored)
        metrics.portraits.inc(portraits)
        for (entry_id, _), error in dead:
            metrics.dead[error.reason].inc()
            log.warning("malformed entry put aside", extra={"entry": entry_id.decode(), "why": str(error)})
        ages = [max(0.0, self._now() - added_at(entry_id)) for entry_id, _ in entries]
        metrics.lag_seconds.set(max(ages))
        for age in ages:
            metrics.age.observe(age)


def _passing(error: RedisError) -> bool:
    """Whether the error may pass: Redis is away, starting, full, or has lost the stream or the group."""
    if isinstance(error, RedisConnectionError | RedisTimeout):
        return True
    words = (
        "UNBLOCKED",
        "NOGROUP",
        "LOADING",
        "OOM",
        "READONLY",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "BUSY",
        "TRYAGAIN",
    )
    return isinstance(error, ResponseError) and str(error).startswith(words)
