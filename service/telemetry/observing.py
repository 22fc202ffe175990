"""Observations that are counted together: one by one, each costs several times as much."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable

from prometheus_client import Histogram

#: Observations that wait to be counted, at most.
_AT_ONCE = 256


class Timings(Histogram):
    """A histogram that takes many values at once: it changes its sum once, and each bucket once."""

    def observe_all(self, values: Iterable[float]) -> None:
        """Observe each value, none of them NaN; as `Histogram.observe` otherwise."""
        bounds, total = self._upper_bounds, 0.0
        fallen: defaultdict[int, int] = defaultdict(int)
        for value in values:
            total += value
            fallen[bisect_left(bounds, value)] += 1
        self._sum.inc(total)
        for place, many in fallen.items():
            self._buckets[place].inc(many)


class Observations:
    """Keeps what was observed until there is enough, or somebody asks. For one event loop.

    Args:
        at_once: False counts each as it comes, for somebody else asks for the counts.
    """

    def __init__(self, at_once: bool) -> None:
        self._most = _AT_ONCE if at_once else 1
        self._observed: list[tuple[Timings, float]] = []

    def note(self, histogram: Timings, value: float) -> None:
        """Observe a value."""
        self._observed.append((histogram, value))
        if len(self._observed) >= self._most:
            self.flush()

    def flush(self) -> None:
        """Count what was observed."""
        observed, self._observed = self._observed, []
        values: defaultdict[Timings, list[float]] = defaultdict(list)
        for histogram, value in observed:
            values[histogram].append(value)
        for histogram, its in values.items():
            histogram.observe_all(its)
