"""What a process uses of the machine, also where several workers count together.

prometheus-client's own collector tells of the process that is asked. Workers that share their metrics note
theirs instead: what is used of memory and files is a sum over those that live, processor time one over those
that have ended too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.process_collector import ProcessCollector


class _Told(NamedTuple):
    help_text: str
    across: Literal["livesum", "livemin", "livemax"]


_GAUGES = {
    "process_virtual_memory_bytes": _Told("Virtual memory size in bytes.", "livesum"),
    "process_resident_memory_bytes": _Told("Resident memory size in bytes.", "livesum"),
    "process_start_time_seconds": _Told("When the oldest worker started, in seconds since 1970.", "livemin"),
    "process_open_fds": _Told("Number of open file descriptors.", "livesum"),
    "process_max_fds": _Told("Most file descriptors that a worker may open.", "livemin"),
}
_CPU = "process_cpu_seconds"


def watch_process(registry: CollectorRegistry, shared: bool) -> Callable[[], None]:
    """Have the ``process_*`` metrics of this process in a registry.

    Args:
        registry: gets them.
        shared: whether workers count together.

    Returns:
        notes them, where workers share; it reads some files of ``/proc``, and takes a fraction of a
        millisecond. Elsewhere than on Linux there is nothing to read.
    """
    if not shared:
        ProcessCollector(registry=registry)
        return lambda: None
    collector = ProcessCollector(registry=None)
    gauges: dict[str, Gauge] = {}
    cpu = Counter(_CPU, "Total user and system CPU time spent in seconds.", registry=registry)
    counted = 0.0

    def note() -> None:
        nonlocal counted
        for family in collector.collect():
            for sample in family.samples:
                if family.name == _CPU:
                    cpu.inc(max(0.0, sample.value - counted))
                    counted = sample.value
                elif (told := _GAUGES.get(sample.name)) is not None:
                    if sample.name not in gauges:
                        gauges[sample.name] = Gauge(
                            sample.name, told.help_text, registry=registry, multiprocess_mode=told.across
                        )
                    gauges[sample.name].set(sample.value)

    return note
