"""Metrics by the value of a label: children are made once and kept: `labels()` costs more than to count."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TypeVar

from prometheus_client import Counter

from service.telemetry.observing import Timings

M = TypeVar("M", Counter, Timings)
#: Makes a counter of a name, a help text and labels.
MakeCounter = Callable[[str, str, list[str]], Counter]


def children(metric: M, values: Iterable[str]) -> Callable[[str], M]:
    """What gives a metric's child by the value of its only label; those of ``values`` are made at once."""
    child = cache(metric.labels)
    for value in values:
        child(value)
    return child


def labelled(
    counter: MakeCounter, name: str, text: str, label: str, values: Iterable[str]
) -> Callable[[str], None]:
    """What counts by the value of a label."""
    child = children(counter(name, text, [label]), values)
    return lambda value: child(value).inc()


def counted(
    counter: MakeCounter, name: str, text: str, label: str, values: Iterable[str]
) -> Callable[[str, int], None]:
    """As `labelled`, of several at once."""
    child = children(counter(name, text, [label]), values)
    return lambda value, many: child(value).inc(many)


def lookups(counter: MakeCounter, name: str, text: str) -> Callable[[bool], None]:
    """What counts lookups by whether something was there."""
    count = labelled(counter, f"{name}_lookups", text, "result", ("hit", "miss"))
    return lambda there: count("hit" if there else "miss")
