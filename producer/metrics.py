"""Prometheus metrics of a follower, on a registry of their own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from common.metrics import NAMESPACE
from producer.stream import REASONS, Reason

_SUBSYSTEM = "follow"
_AGE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0, 300.0)


class FollowMetrics:
    """What a follower has done, and how far behind it is. No label holds a user or an item."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.processed = self._counter("processed", "Entries whose behaviours are in the portraits.")
        self.ignored = self._counter("ignored", "Entries that are no behaviour, such as impressions.")
        self.claimed = self._counter("claimed", "Entries taken over from a consumer that is gone.")
        self.portraits = self._counter("portraits", "Portraits written.")
        self.unknown_items = self._counter("unknown_items", "Items of a refresh that have no features.")
        self.outages = self._counter("outages", "Calls to Redis that failed.")
        dead = Counter(
            "dead_letters",
            "Entries put aside as malformed, by the field that is wrong.",
            ["reason"],
            namespace=NAMESPACE,
            subsystem=_SUBSYSTEM,
            registry=self.registry,
        )
        self._dead = {reason: dead.labels(reason) for reason in REASONS}
        #: Of the entry that was just finished; 0 when there is nothing to do.
        self.lag_seconds = self._gauge("lag_seconds", "Age of the oldest entry of the last batch.")
        self.pending = self._gauge("pending", "Entries that the group has taken and not finished.")
        self.age = Histogram(
            "age_seconds",
            "From an entry's arrival in the stream to its portrait being written.",
            namespace=NAMESPACE,
            subsystem=_SUBSYSTEM,
            registry=self.registry,
            buckets=_AGE,
        )

    def dead(self, reason: Reason) -> None:
        """Count a dead letter."""
        self._dead[reason].inc()

    def serve(self, port: int, host: str = "0.0.0.0") -> Callable[[], None]:
        """Answer ``GET /metrics`` on a thread; returns a function that stops it."""
        server, thread = start_http_server(port, host, self.registry)

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return close

    def _counter(self, name: str, about: str) -> Counter:
        return Counter(name, about, namespace=NAMESPACE, subsystem=_SUBSYSTEM, registry=self.registry)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, namespace=NAMESPACE, subsystem=_SUBSYSTEM, registry=self.registry)
