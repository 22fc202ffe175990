"""How readings of the settings while serving ended: counted by the only worker, or by the parent of several.

prometheus-client is imported when it is called: it looks where workers count together when it is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from common.metrics import NAMESPACE

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge

#: How one ended: all workers have them, or everything stays as it was where it could not be served.
Reload = Literal["taken", "refused"]
RELOADS: tuple[Reload, ...] = get_args(Reload)


def reload_metrics(registry: CollectorRegistry) -> tuple[Counter, Gauge]:
    """Their number, and when the last was, by ``result``."""
    from prometheus_client import Counter, Gauge

    counted = Counter(
        "reloads",
        "Readings of the settings while serving.",
        ["result"],
        namespace=NAMESPACE,
        registry=registry,
    )
    for result in RELOADS:
        counted.labels(result)
    at = Gauge(
        "reload_timestamp_seconds",
        "When the settings were last read while serving, in seconds since 1970, by result.",
        ["result"],
        namespace=NAMESPACE,
        registry=registry,
        multiprocess_mode="livemax",
    )
    return counted, at
