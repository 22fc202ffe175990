"""Counts the calls to servers behind an index."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge

from index.watching import CallOutcome


class CallMetrics:
    """Counts calls; see `CallWatch`."""

    def __init__(
        self,
        servers: Iterable[str],
        calls: Callable[..., Counter],
        retries: Callable[..., Counter],
        circuits: Gauge,
        waited: Callable[[float], None],
        shadowed: Callable[[float | None], None],
    ) -> None:
        self._calls = calls
        self._retries = retries
        self._circuits = {server: circuits.labels(server) for server in servers}
        for server, circuit in self._circuits.items():
            circuit.set(0)
            calls(server, "ok")
            retries(server)
        self.waited = waited
        self.shadowed = shadowed

    def ended(self, server: str, outcome: CallOutcome) -> None:
        """See `CallWatch`."""
        self._calls(server, outcome).inc()

    def retried(self, server: str) -> None:
        """See `CallWatch`."""
        self._retries(server).inc()

    def circuit(self, server: str, is_open: bool) -> None:
        """See `CallWatch`."""
        self._circuits[server].set(is_open)
