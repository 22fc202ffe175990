"""Prometheus metrics of a follower, on a registry of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)

from common.metrics import NAMESPACE
from producer.stream import REASONS

_AGE_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0, 300.0)


class FollowMetrics:
    """What a follower has done, and how far behind it is. No label holds a user or an item."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        named: Any = {"namespace": NAMESPACE, "subsystem": "follow", "registry": self.registry}
        self.processed = Counter("processed", "Entries whose behaviours are in the portraits.", **named)
        self.ignored = Counter("ignored", "Entries that are no behaviour, such as impressions.", **named)
        self.claimed = Counter("claimed", "Entries taken over from a consumer that is gone.", **named)
        self.portraits = Counter("portraits", "Portraits written.", **named)
        self.unknown_items = Counter("unknown_items", "Items of a refresh that have no features.", **named)
        self.outages = Counter("outages", "Calls to Redis that failed.", **named)
        dead = Counter(
            "dead_letters", "Entries put aside as malformed, by the field that is wrong.", ["reason"], **named
        )
        #: Count of dead letters by reason.
        self.dead = {reason: dead.labels(reason) for reason in REASONS}
        #: Of the entry that was just finished; 0 when there is nothing to do.
        self.lag_seconds = Gauge("lag_seconds", "Age of the oldest entry of the last batch.", **named)
        self.pending = Gauge("pending", "Entries that the group has taken and not finished.", **named)
        arrival = "From an entry's arrival in the stream to its portrait being written."
        self.age = Histogram("age_seconds", arrival, buckets=_AGE_S, **named)

    def serve(self, port: int, host: str = "0.0.0.0") -> Callable[[], None]:
        """Answer ``GET /metrics`` on a thread; returns a function that stops it."""
        server, thread = start_http_server(port, host, self.registry)

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return close
