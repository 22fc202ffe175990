"""What services tell of the arms of ``towers`` on ``/metrics``, added up over services and restarts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from cli.release.towers import TOWERS

_COUNTED = {
    "mrse_arm_requests_total": "outcome",
    "mrse_arm_empty_total": None,
    "mrse_arm_partial_total": None,
    "mrse_arm_request_duration_seconds_bucket": "le",
}
#: Of requests that failed by our own fault, as in the alerts.
FAULTS = frozenset({"deadline", "internal", "model-failed", "not-ready", "overloaded", "unavailable"})


@dataclass(frozen=True)
class Told:
    """What one service tells at a time.

    Attributes:
        counters: by ``metric|arm|label``, of the arms of ``towers``.
        loaded: bundle and index of each arm; the index without its changes.
        ready: whether all its workers can answer.
        refused: reloads that it refused.
    """

    counters: Mapping[str, float]
    loaded: Mapping[str, tuple[str, str]]
    ready: bool
    refused: float


def read_exposition(text: str) -> Told:
    """Read the answer of ``/metrics``.

    Raises:
        ValueError: it is no exposition.
    """
    counters: dict[str, float] = {}
    loaded: dict[str, tuple[str, str]] = {}
    ready, refused = False, 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            if sample.name in _COUNTED:
                if labels.get("experiment") == TOWERS:
                    label = _COUNTED[sample.name]
                    key = f"{sample.name}|{labels['arm']}|{labels[label] if label else ''}"
                    counters[key] = counters.get(key, 0.0) + sample.value
            elif sample.name == "mrse_bundle_info":
                if sample.value:
                    loaded[labels["arm"]] = labels["bundle"], labels["index"].partition("+")[0]
            elif sample.name == "mrse_ready":
                ready = sample.value > 0
            elif sample.name == "mrse_reloads_total" and labels.get("result") == "refused":
                refused += sample.value
    return Told(counters, loaded, ready, refused)


@dataclass
class Tally:
    """Counters of several services since a moment, whichever of them begin anew meanwhile.

    Attributes:
        seen: the last reading of each service.
        total: what was counted since the first reading, of all.
    """

    seen: dict[str, dict[str, float]] = field(default_factory=dict)
    total: dict[str, float] = field(default_factory=dict)

    def begin(self, told: Mapping[str, Told]) -> None:
        """Count from these readings on."""
        self.seen = {service: dict(its.counters) for service, its in told.items()}
        self.total = {}

    def add(self, told: Mapping[str, Told]) -> None:
        """Add what was counted since the last reading; a service that is new since then counts from 0."""
        for service, its in told.items():
            before = self.seen.get(service, {})
            for key, value in its.counters.items():
                last = before.get(key, 0.0)
                self.total[key] = self.total.get(key, 0.0) + (value - last if value >= last else value)
            self.seen[service] = dict(its.counters)

    def as_dict(self) -> dict[str, Any]:
        """For the state."""
        return {"seen": self.seen, "total": self.total}


@dataclass(frozen=True)
class Counts:
    """What became of an arm's requests.

    Attributes:
        requests: all of them.
        failed: by our own fault.
        answered, empty, partial: of those that were answered.
        buckets: how many were answered within so many seconds, by upper bound.
    """

    requests: float
    failed: float
    answered: float
    empty: float
    partial: float
    buckets: Mapping[float, float]

    @property
    def timed(self) -> float:
        """Answers of which the time is known."""
        return max(self.buckets.values(), default=0.0)

    def slower_than(self, seconds: float) -> float:
        """Share of the answers that took longer, by the bucket's even spread; 0 without any."""
        within, lower = 0.0, 0.0
        for bound in sorted(self.buckets):
            count = self.buckets[bound]
            if bound > seconds:
                if bound != float("inf"):
                    within += (count - within) * (seconds - lower) / (bound - lower)
                break
            within, lower = count, bound
        return 1 - within / self.timed if self.timed else 0.0

    def quantile(self, at: float) -> float:
        """Seconds that a share ``at`` of the answers took at most, as Prometheus reckons; NaN without any."""
        bounds = sorted(self.buckets)
        whole = self.buckets[bounds[-1]] if bounds else 0.0
        if not whole:
            return float("nan")
        wanted, before, lower = at * whole, 0.0, 0.0
        for bound in bounds:
            count = self.buckets[bound]
            if count >= wanted:
                if bound == float("inf") or count == before:
                    return lower
                return lower + (bound - lower) * (wanted - before) / (count - before)
            before, lower = count, bound
        return lower


def counts_of(total: Mapping[str, float], arm: str) -> Counts:
    """What an arm counted."""

    def of(metric: str) -> dict[str, float]:
        start = f"mrse_arm_{metric}|{arm}|"
        return {key.removeprefix(start): value for key, value in total.items() if key.startswith(start)}

    outcomes = of("requests_total")
    return Counts(
        requests=sum(outcomes.values()),
        failed=sum(outcomes.get(fault, 0.0) for fault in FAULTS),
        answered=outcomes.get("answered", 0.0),
        empty=sum(of("empty_total").values()),
        partial=sum(of("partial_total").values()),
        buckets={float(bound): value for bound, value in of("request_duration_seconds_bucket").items()},
    )


def less(total: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """What was counted after ``before``."""
    return {key: value - before.get(key, 0.0) for key, value in total.items()}


def differing(told: Iterable[Told], wanted: Mapping[str, tuple[str, str | None]]) -> list[str]:
    """How what services have loaded differs from what they should; an index of None may be any."""
    found = []
    for its in told:
        for arm in sorted(wanted.keys() | its.loaded.keys()):
            if arm not in wanted:
                found.append(f"{arm} is still there")
                continue
            bundle, index = wanted[arm]
            has = its.loaded.get(arm)
            if has is None:
                found.append(f"{arm} is not loaded")
            elif has[0] != bundle or (index is not None and has[1] != index):
                found.append(f"{arm} is {has[0]} over {has[1]}")
    return found
