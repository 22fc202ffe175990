"""Recall of the graph against exact search, for queries and for filters of several selectivities."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from common.arrays import F32
from common.deadline import Deadline
from index.filters import AnyOf, Filter, Range, terms
from index.vespa.client import VespaIndex
from index.vespa.feed.expected import Stored
from index.vespa.shadow import recall_of
from index.vespa.version import Version

#: Queries under way at once; latency is measured with these. *Inferred*.
CONCURRENCY: Final = 4
#: Shares of the items that filters let pass, each with its least: Vespa searches exactly below 0.02 and walks
#: the graph over matching items only below 0.2.
BANDS: Final[Mapping[str, tuple[float, float]]] = {
    "over 20%": (0.2, 0.98),
    "2 to 20%": (0.02, 0.2),
    "under 2%": (0.0, 0.02),
}
#: Filters whose share is looked up, and of a band that are used, at most; *inferred*.
_CANDIDATES: Final = 60
_FILTERS: Final = 4


@dataclass(slots=True)
class Measured:
    """Recalls of answers that looked at every item, how many did not, and seconds of graph searches."""

    recalls: list[float] = field(default_factory=list)
    partial: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Mean recall; 0 where there is none."""
        return float(np.mean(self.recalls)) if self.recalls else 0.0


async def measure(
    index: VespaIndex, queries: F32, k: int, within: float, filters: Sequence[Filter | None] = (None,)
) -> Measured:
    """Ask each query ``[n, dim]`` with and without the graph, with one of the filters in turn.

    Raises:
        IndexUnavailable: Vespa does not answer.
    """
    limit, found = asyncio.Semaphore(CONCURRENCY), Measured()

    async def one(number: int, query: F32) -> None:
        accepted = filters[number % len(filters)]
        async with limit:
            started = time.perf_counter()
            (near,) = await index.search(query[None], k, accepted, Deadline.after(within))
            found.seconds.append(time.perf_counter() - started)
            exact = await index.search_exact(query, k, accepted, Deadline.after(within))
        if any(answer.coverage < 1.0 or answer.degraded for answer in (near, exact)):
            found.partial += 1
        else:
            found.recalls.append(recall_of(near, exact))

    await asyncio.gather(*(one(number, query) for number, query in enumerate(queries)))
    return found


async def filters_by_share(
    index: VespaIndex, sample: Sequence[Stored], version: Version, items: int, within: float
) -> dict[str, list[Filter]]:
    """Filters of values that items of the sample have, by the one of the `BANDS` that they are of.

    Raises:
        IndexUnavailable: Vespa does not answer.
    """
    limit = asyncio.Semaphore(CONCURRENCY)

    async def share(filters: Filter) -> float:
        async with limit:
            return await index.count(Deadline.after(within), filters=filters) / max(1, items)

    candidates = list(_candidates(sample, version))[:_CANDIDATES]
    shares = await asyncio.gather(*map(share, candidates))
    return {
        name: [each for each, found in zip(candidates, shares, strict=True) if least < found <= most][
            :_FILTERS
        ]
        for name, (least, most) in BANDS.items()
    }


def _candidates(sample: Sequence[Stored], version: Version) -> dict[Filter, None]:
    """Filters of one value each, of every attribute in turn."""
    by_name: list[dict[Filter, None]] = []
    for name, kind in version.attributes.items():
        values = [stored.attributes[name] for stored in sample if stored.attributes.get(name) is not None]
        made: dict[Filter, None] = {}
        if kind == "number":
            numbers = np.asarray(values, dtype=np.float64)
            cuts = np.nanquantile(numbers, (0.01, 0.1, 0.5)) if len(numbers) else ()
            made |= dict.fromkeys(Filter((Range(name, high=float(cut)),)) for cut in cuts)
        elif kind == "bool":
            made |= dict.fromkeys(Filter((AnyOf(name, (bool(value),)),)) for value in values)
        else:
            for value in values:
                if isinstance(value, str | list | tuple):
                    found = terms(name, value)
                    # Of a category the most special and the most general.
                    made |= dict.fromkeys(
                        Filter((AnyOf(name, (each,)),)) for each in (*found[-1:], *found[:1])
                    )
        by_name.append(made)
    turns = max(map(len, by_name), default=0)
    return {
        filters: None for turn in range(turns) for made in by_name for filters in list(made)[turn : turn + 1]
    }
