"""What is observed together counts as what is observed one by one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import generate_latest

from service.telemetry.observing import Observations, Timings

BOUNDS = (0.1, 0.5, 1)
#: Below, at, between and above the bounds.
VALUES = (0.0, 0.1, 0.1000001, 0.5, 0.75, 1.0, 2.0, 0.125)


def _exposed(kind: type[Histogram], registry: CollectorRegistry) -> Histogram:
    return kind("seconds", "Time.", ["part"], registry=registry, buckets=BOUNDS)


def test_together_as_one_by_one() -> None:
    one, all_ = CollectorRegistry(), CollectorRegistry()
    parts = [_exposed(Histogram, one), _exposed(Timings, all_)]
    observations = Observations(at_once=True)
    for value in VALUES:
        for part in ("merge", "parse"):
            parts[0].labels(part).observe(value)
            child = parts[1].labels(part)
            assert isinstance(child, Timings)
            observations.note(child, value)
    assert all_.get_sample_value("seconds_count", {"part": "merge"}) == 0
    observations.flush()
    for registry in (one, all_):
        assert registry.get_sample_value("seconds_count", {"part": "merge"}) == len(VALUES)
    counts = [
        [line for line in generate_latest(registry).splitlines() if b"_created" not in line]
        for registry in (one, all_)
    ]
    assert counts[0] == counts[1]


def test_they_are_counted_by_themselves_once_there_are_many_or_others_ask_for_them() -> None:
    registry = CollectorRegistry()
    child = _exposed(Timings, registry).labels("merge")
    assert isinstance(child, Timings)
    many = Observations(at_once=True)
    for _ in range(1000):
        many.note(child, 0.2)
    counted = registry.get_sample_value("seconds_count", {"part": "merge"})
    assert counted is not None
    assert 700 < counted < 1000
    Observations(at_once=False).note(child, 0.2)
    assert registry.get_sample_value("seconds_count", {"part": "merge"}) == counted + 1
