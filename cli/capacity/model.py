"""From items and queries a second to machines, by the constants; for the traffic of the peak."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cli.capacity.constants import CapacityError, Constants

_GB = 1e9
_MB = 1e6
#: Half-precision numbers.
_F16 = 2
#: Of a portrait beside its features: item id, action, time.
_BEHAVIOUR_BYTES = 32
#: Releases of which files are kept beside what serves (`mrse release`, ``keep``), and the one being made.
_RELEASES = 4
#: For one that is away: for an upgrade, or by accident.
_LEAST = 2


@dataclass(frozen=True)
class Load:
    """What is asked of it.

    Attributes:
        items: of the catalogue.
        qps: recalls a second at the peak.
        hit_ratio: share of the recalls whose query was asked before, of those without a history answered from
            memory, of the others encoded already.
        history: share of the recalls that come with a history or a portrait.
        users: of whom portraits are stored; 0: none.
        queries: encoded queries that Redis keeps.
        cores, memory_gb: of a machine.
        busy: share of a machine's cores that is used at the peak.
    """

    items: float
    qps: float
    hit_ratio: float = 0.6
    history: float = 0.3
    users: float = 0.0
    queries: float = 100_000
    cores: int = 8
    memory_gb: float = 32.0
    busy: float = 0.5

    def __post_init__(self) -> None:
        for name, least in (("items", 1), ("qps", 0), ("users", 0), ("queries", 0), ("cores", 1)):
            if not least <= getattr(self, name) <= 1e12:
                raise CapacityError(
                    f"{name} is at least {least} and at most 1e12, not {getattr(self, name):g}"
                )
        for name in ("hit_ratio", "history"):
            if not 0 <= getattr(self, name) <= 1:
                raise CapacityError(f"{name} is from 0 to 1, not {getattr(self, name):g}")
        if not 0 < self.busy <= 1 or not 0 < self.memory_gb <= 1e6:
            raise CapacityError("busy is above 0 and at most 1, memory_gb above 0")


@dataclass(frozen=True)
class Embedded:
    """A service over the embedded index.

    Attributes:
        cpu_ms: CPU of a recall.
        replicas: machines; None where the index fits none of them.
        memory_gb: of each, with two indexes while a canary is out.
        index_gb: of one index, on disk and in memory.
        disk_gb: of each machine: the indexes that a release keeps.
    """

    cpu_ms: float
    replicas: int | None
    memory_gb: float
    index_gb: float
    disk_gb: float


@dataclass(frozen=True)
class OverVespa:
    """A service over Vespa.

    Attributes:
        cpu_ms: CPU of a recall in the service, without searching.
        replicas: machines of the service.
        groups, nodes: content groups, and nodes in each while two versions stand side by side.
        memory_gb: of one copy of one version.
        containers: query containers of so many cores.
    """

    cpu_ms: float
    replicas: int
    groups: int
    nodes: int
    memory_gb: float
    containers: int


@dataclass(frozen=True)
class Capacity:
    """What a load needs.

    Attributes:
        engine: which is advised.
        redis_gb: of encoded queries and portraits; with Vespa, ``redis_items_gb`` of item features beside.
        embed_hours: of one machine's cores, to embed the catalogue anew.
    """

    load: Load
    engine: Literal["embedded", "vespa"]
    embedded: Embedded
    vespa: OverVespa
    redis_gb: float
    redis_items_gb: float
    embed_hours: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def search_ms(items: float, constants: Constants) -> float:
    """CPU of a search over so many items: as their number up to where lists begin, then as its root."""
    found, rows = constants.measured, constants.assumed.cluster_rows

    def grows(number: float) -> float:
        return number / rows if number <= rows else math.sqrt(number / rows)

    return found.search_ms * grows(items) / grows(found.items)


def reckon(load: Load, constants: Constants) -> Capacity:
    """What a load needs, by the constants."""
    found, assumed = constants.measured, constants.assumed
    per_machine = 1000 * load.cores * load.busy
    hits, miss = load.hit_ratio, 1 - load.hit_ratio
    alone = hits * (1 - load.history)  # answered from memory
    searched = search_ms(load.items, constants)
    # Without the search: of a known query with a history, of a new one, and what a history adds to that.
    known = max(found.history_ms - found.search_ms, 0.0)
    new = max(found.miss_ms - found.search_ms, 0.0) + load.history * known
    cpu = alone * found.hit_ms + hits * load.history * known + miss * new + (1 - alone) * searched
    index = load.items * found.index_bytes / _GB
    own = (load.cores * found.worker_mb + found.shared_mb) * _MB / _GB
    memory = own + 2 * index
    fits = memory <= load.memory_gb
    # Over Vespa nothing is answered from memory, and nothing is searched here.
    remote = hits * known + miss * new
    one_copy = load.items * assumed.vespa_item_bytes / _GB
    room = load.memory_gb * assumed.vespa_memory_share
    recalls = assumed.vespa_recalls_per_core * load.cores * load.busy
    queries = assumed.vespa_queries_per_core * load.cores * load.busy
    value = found.features * _F16
    keyed = assumed.redis_key_bytes
    portrait = found.history * (value + _BEHAVIOUR_BYTES) + keyed
    return Capacity(
        load=load,
        engine="embedded" if fits and load.items <= assumed.embedded_items else "vespa",
        embedded=Embedded(
            cpu_ms=cpu,
            replicas=_machines(load.qps * cpu / per_machine) if fits else None,
            memory_gb=memory,
            index_gb=index,
            disk_gb=_RELEASES * index,
        ),
        vespa=OverVespa(
            cpu_ms=remote,
            replicas=_machines(load.qps * remote / per_machine),
            groups=_machines(load.qps / recalls),
            nodes=math.ceil(2 * one_copy / room),
            memory_gb=one_copy,
            containers=_machines(2 * load.qps / queries),
        ),
        redis_gb=(load.queries * (value + keyed) + load.users * portrait) / _GB,
        redis_items_gb=load.items * (value + keyed) / _GB,
        embed_hours=load.items * found.embed_ms / 1000 / load.cores / 3600,
    )


def _machines(wanted: float) -> int:
    return max(_LEAST, math.ceil(wanted))
