"""Writes `docs/metrics.md`: every metric that the service and the follower have, from their registries.

::

    python -m devtools.metrics_page docs/metrics.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, Histogram

from producer.metrics import FollowMetrics
from service.process.connections import connections_of
from service.process.ends import worker_ends
from service.runtime import Runtime
from service.scope import RUNTIME
from service.settings import load_settings

_HEAD = """# Metrics

What `/metrics` tells, in Prometheus' text format. Made from the registries by
`python -m devtools.metrics_page docs/metrics.md`; a test compares. Times are seconds, sizes bytes, ratios and
shares 0 to 1. Labels are of bounded sets: none carries a query, a user, or an item. What to do about them:
[runbook.md](runbook.md).

With several workers any of them answers for all. Counters and histograms are sums, also over workers that
have ended; a gauge is of the workers that live: their `sum`, the `least`, the `most`, or `each` by the label
`pid`, which is the worker's number and not the id of its process (the log tells both: `worker started`).

A histogram has `…_bucket`, `…_sum` and `…_count`.
"""
_COLUMNS = "| metric | type | labels | means |\n|---|---|---|---|\n"
_ACROSS = {"livesum": "sum", "livemin": "least", "livemax": "most", "liveall": "each"}


def page() -> str:
    """The whole page."""
    runtime = Runtime(load_settings(None, {"rules": {"path": "rules.json"}}))
    connections_of({RUNTIME: runtime})
    metrics = runtime.metrics
    metrics.note()
    metrics.index.watch(["vespa:8080"]).shadowed(1.0)  # a gauge that is made late
    worker_ends(metrics.registry)
    follower = "The follower: `mrse produce follow --metrics-port PORT`"
    tables = [("The service", metrics.registry), (follower, FollowMetrics().registry)]
    return _HEAD + "".join(f"\n## {title}\n\n{_COLUMNS}{_rows(each)}\n" for title, each in tables)


def _rows(registry: CollectorRegistry) -> str:
    return "\n".join(sorted(_lines(registry)))


def _lines(registry: CollectorRegistry) -> Iterator[str]:
    for collector in registry._collector_to_names:
        labels = list(getattr(collector, "_labelnames", ()))
        for family in collector.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            kind = family.type
            if isinstance(collector, Gauge) and collector._multiprocess_mode in _ACROSS:
                kind += f", {_ACROSS[collector._multiprocess_mode]}"
            told = family.documentation.replace("|", "\\|")
            if isinstance(collector, Histogram):
                bounds = collector._upper_bounds[:-1]
                told += f" Up to {bounds[-1]:g}."
            yield f"| `{name}` | {kind} | {' '.join(f'`{each}`' for each in labels)} | {told} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
