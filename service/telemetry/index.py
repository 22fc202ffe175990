"""How searches of the index went, what became of its files, and how calls to servers behind it ended."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache, partial

from prometheus_client import Counter, Gauge

from index.watching import INDEX_EVENTS, CallWatch, IndexEvent
from service.recall.routes import ROUTES
from service.telemetry.calls import CallMetrics
from service.telemetry.children import children, labelled
from service.telemetry.labels import RECALL_CHECKS, Accepted
from service.telemetry.observing import Timings

_COVERAGE = (0.5, 0.9, 0.99, 0.999, 1.0)
#: Searches that a mean is of.
_RECALLS = 200


class IndexMetrics:
    """Counts what an index did.

    Args:
        counter: makes a counter of a name, a help text and labels.
        gauge: makes a gauge.
        histogram: makes a histogram of times of parts of a request, unless it gets other bounds.
        observe: notes an observation.

    Attributes:
        recall_check: counts a live search that was asked again exactly, by what came of it.
    """

    def __init__(
        self,
        counter: Callable[..., Counter],
        gauge: Callable[..., Gauge],
        histogram: Callable[..., Timings],
        observe: Callable[[Timings, float], None],
    ) -> None:
        self._observe = observe
        looked = "Share of the index that a route looked at."
        self._coverage = children(
            histogram("index_coverage_ratio", looked, ["route"], buckets=_COVERAGE), ROUTES
        )
        checked = "Live searches of the embedded index that were asked again exactly, by what came of it."
        self.recall_check = labelled(counter, "index_recall_checks", checked, "result", RECALL_CHECKS)
        self._recall = gauge(
            "index_recall_ratio",
            "Mean recall of the last live searches that were asked again exactly, by the share of all items "
            "that their filter accepts; of several workers the lowest.",
            ["accepted"],
            multiprocess_mode="livemin",
        )
        self._recalls: dict[str, deque[float]] = {}
        happened = "What happened to the index's files beside searches."
        self._event = labelled(counter, "index_events", happened, "event", INDEX_EVENTS)
        self._changed = gauge(
            "index_event_timestamp_seconds",
            "When something last happened to the index's files, in seconds since 1970.",
            ["event"],
            multiprocess_mode="livemax",
        )
        self._calls = counter(
            "index_calls", "Calls to servers behind the index, by outcome.", ["server", "outcome"]
        )
        self._call_retries = counter("index_call_retries", "Calls made a second time.", ["server"])
        self._call_wait = histogram("index_call_wait_seconds", "Waits for one of our own connections.")
        self._shadows = labelled(
            counter,
            "index_shadows",
            "Live searches asked again exactly.",
            "result",
            ("compared", "failed"),
        )
        shadow = "Mean recall at their k of the last searches that were asked again exactly."
        self._shadow_recall = partial(gauge, "index_shadow_recall_ratio", shadow, multiprocess_mode="livemin")
        self._circuits = gauge(
            "index_circuit_open",
            "Whether a server is left alone after failures.",
            ["server"],
            multiprocess_mode="livesum",
        )
        self._shadowed: deque[float] = deque(maxlen=_RECALLS)

    def coverage(self, route: str, share: float) -> None:
        """Observe how much of the index a route looked at."""
        self._observe(self._coverage(route), share)

    def recall(self, accepted: Accepted, recall: float) -> None:
        """Note the recall of a search whose filter accepts such a share of all items."""
        known = self._recalls.setdefault(accepted, deque(maxlen=_RECALLS))
        known.append(recall)
        self._recall.labels(accepted).set(sum(known) / len(known))

    def event(self, event: IndexEvent) -> None:
        """Count what happened to an index's files, and note when it was; any thread may."""
        self._event(event)
        self._changed.labels(event).set(time.time())

    def watch(self, servers: Iterable[str]) -> CallWatch:
        """Count the calls to servers behind an index."""
        return CallMetrics(
            servers,
            cache(self._calls.labels),
            cache(self._call_retries.labels),
            self._circuits,
            partial(self._observe, self._call_wait),
            self._shadow,
        )

    def _shadow(self, recall: float | None) -> None:
        self._shadows("failed" if recall is None else "compared")
        if recall is None:
            return
        if not self._shadowed:
            # Not before: a gauge that is made says 0.
            self._recalled = self._shadow_recall()
        self._shadowed.append(recall)
        self._recalled.set(sum(self._shadowed) / len(self._shadowed))
