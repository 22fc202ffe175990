"""What the supervisor counts: how workers ended, and how reloads did."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from common.metrics import NAMESPACE
from service.process.shared_metrics import count_as, forget_gauges
from service.telemetry.reloads import reload_metrics

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter

#: The number under which the supervisor counts; those of workers begin at 0.
_SUPERVISOR = 9999


def counting(folder: Path | None) -> tuple[Callable[[int, str | None], None], Callable[[str], None]]:
    """What is told of each worker that has ended, and of each reload: counts them.

    The gauges of the worker that has ended are removed.
    """
    if folder is None:
        return lambda number, how: None, lambda result: None
    count_as(_SUPERVISOR)
    from prometheus_client import CollectorRegistry  # after the folder is named

    registry = CollectorRegistry()
    ends = worker_ends(registry)
    reloads, at = reload_metrics(registry)

    def ended(number: int, how: str | None) -> None:
        forget_gauges(folder, number)
        if how is not None:
            ends.labels(how).inc()

    def reloaded(result: str) -> None:
        reloads.labels(result).inc()
        at.labels(result).set(time.time())

    return ended, reloaded


def worker_ends(registry: CollectorRegistry) -> Counter:
    """What a parent of workers counts, by ``how`` they ended."""
    from prometheus_client import Counter

    ends = Counter(
        "worker_ends",
        "Workers that ended unasked, by how; where there are several.",
        ["how"],
        namespace=NAMESPACE,
        registry=registry,
    )
    for how in ("signal", "exit", "failed", "hung"):
        ends.labels(how)
    return ends
