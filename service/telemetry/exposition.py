"""What a scraper gets: the text format, or OpenMetrics, which has exemplars, for those that take it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from common.metrics import NAMESPACE
from service.telemetry.exemplars import Kept, with_exemplars, written

#: The histogram whose buckets have exemplars.
TIMED = f"{NAMESPACE}_request_duration_seconds"
_OPEN = "application/openmetrics-text"
#: Lines of what was loaded once.
_NO_LONGER_LOADED = re.compile(rb"^%s_bundle_info\{.*\} 0\.0\n" % NAMESPACE.encode(), re.MULTILINE)


def takes_open(accept: str | None) -> bool:
    """Whether a scraper takes OpenMetrics, by its header ``Accept``."""
    return accept is not None and _OPEN in accept


def content_type(is_open: bool) -> str:
    """The header ``Content-Type`` of an exposition."""
    return openmetrics.CONTENT_TYPE_LATEST if is_open else CONTENT_TYPE_LATEST


def exposed(registry: Collector, kept: Kept, is_open: bool) -> bytes:
    """The exposition of a registry, as OpenMetrics with exemplars or as text without."""
    if not is_open:
        return generate_latest(registry)
    text: bytes = openmetrics.generate_latest(_Exemplary(registry, kept))  # type: ignore[no-untyped-call]
    return text


def merged(folder: Path, is_open: bool = False) -> bytes:
    """The exposition of all workers that share a folder."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return _NO_LONGER_LOADED.sub(b"", exposed(registry, written(folder) if is_open else {}, is_open))


def noted(folder: Path, name: str) -> list[float]:
    """What the living workers that share a folder last noted in a gauge."""
    files = [str(file) for file in folder.glob("gauge_*.db")]
    families: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
    return [
        sample.value
        for family in families
        if family.name == f"{NAMESPACE}_{name}"
        for sample in family.samples
    ]


class _Exemplary(Collector):
    """A registry whose times of requests have exemplars."""

    def __init__(self, registry: Collector, kept: Kept) -> None:
        self._registry, self._kept = registry, kept

    def collect(self) -> Iterator[Metric]:
        return with_exemplars(self._registry.collect(), TIMED, self._kept)
