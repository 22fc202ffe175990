"""Tells whether a fed version may take traffic: counts, sampled items, recall of the graph, latency."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from artifacts.embeddings import EmbeddingsFolder
from common.arrays import F32
from common.deadline import Deadline
from index.vespa.client import VespaIndex
from index.vespa.feed.expected import Stored, expected, filters_of
from index.vespa.feed.ledger import Ledger
from index.vespa.tensors import unit_rows
from index.vespa.version import Version

#: Length of the noise that makes a query of an item's vector; *inferred*.
_QUERY_NOISE: Final = 0.5
#: Seconds for one query, and queries under way at once (latency is measured with these); *inferred*.
_TIMEOUT: Final = 10.0
_CONCURRENCY: Final = 4
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    found: str
    expected: str
    holds: bool


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """All checks. Latencies are milliseconds as seen from here, graph search."""

    checks: tuple[Check, ...]
    recall: float
    latency_p50: float
    latency_p99: float

    @property
    def holds(self) -> bool:
        """Whether every check holds."""
        return all(check.holds for check in self.checks)


async def verify(
    index: VespaIndex,
    folder: EmbeddingsFolder,
    ledger: Ledger | None = None,
    *,
    sampled: int = 500,
    queries: int = 200,
    k: int = 100,
    least_recall: float = 0.95,
    within: float = _TIMEOUT,
) -> VerifyReport:
    """Compare what is deployed and fed with an embeddings folder and what changed since.

    Args:
        index: the client of what is deployed.
        folder: what was fed.
        ledger: what changed since; nothing without one.
        sampled: how many items are looked at: vectors bit by bit, attributes by filters.
        queries: how many measure recall and latency.
        k: of the recall.
        least_recall: share of the exact ``k`` nearest that the graph must find, on average; *inferred*.
        within: seconds for a query; exact search looks at every item.

    Raises:
        IndexUnavailable: Vespa does not answer.
        EmbeddingsError: the folder is damaged.
    """
    random = np.random.default_rng(_SEED)
    wanted = await asyncio.to_thread(
        expected, folder, Ledger() if ledger is None else ledger, sampled, random
    )
    version = Version.from_embeddings(folder)
    items = await index.count(Deadline.after(within))
    vectors = await _wrong_vectors(index, wanted.sample, within)
    attributes = await _wrong_attributes(index, wanted.sample, version, within)
    points = _queries(np.stack([stored.vector for stored in wanted.sample]), random, queries)
    recall, partial, seconds = await _recall(index, points, k, within)
    p50, p99 = (float(np.percentile(seconds, q) * 1000) for q in (50, 99))
    most = wanted.items + wanted.unsure
    counts = f"{wanted.items}" if most == wanted.items else f"{wanted.items} to {most}"
    checks = (
        Check("items", str(items), counts, wanted.items <= items <= most),
        Check("sampled vectors that differ", str(vectors), "0", vectors == 0),
        Check("sampled items whose attributes differ", str(attributes), "0", attributes == 0),
        Check("answers that looked at a part only", str(partial), "0", partial == 0),
        Check("recall", f"{recall:.4f}", f"at least {least_recall}", recall >= least_recall),
    )
    return VerifyReport(checks, recall, p50, p99)


async def _wrong_vectors(index: VespaIndex, sample: Sequence[Stored], within: float) -> int:
    found = await index.vectors([stored.item_id for stored in sample], Deadline.after(within))
    rows = dict(zip(found.ids, found.vectors, strict=True))
    return sum(
        stored.item_id not in rows or not np.array_equal(rows[stored.item_id], stored.vector)
        for stored in sample
    )


async def _wrong_attributes(
    index: VespaIndex, sample: Sequence[Stored], version: Version, within: float
) -> int:
    """Items that filters of their own attributes do not find."""
    limit = asyncio.Semaphore(_CONCURRENCY)

    async def one(stored: Stored) -> bool:
        filters = filters_of(stored.attributes, version)
        async with limit:
            return await index.count(Deadline.after(within), item=stored.item_id, filters=filters) != 1

    return sum(await asyncio.gather(*map(one, sample)))


def _queries(vectors: F32, random: np.random.Generator, count: int) -> F32:
    """Points near items, as real queries are; the items themselves would be found too easily."""
    picked = vectors[random.integers(0, len(vectors), count)]
    scale = _QUERY_NOISE / np.sqrt(vectors.shape[1])
    return unit_rows(picked + random.standard_normal(picked.shape, dtype=np.float32) * scale)


async def _recall(index: VespaIndex, queries: F32, k: int, within: float) -> tuple[float, int, list[float]]:
    """Mean recall at ``k`` of the graph against the exact search, over answers that looked at every item; how
    many did not; and seconds of each graph search."""
    limit = asyncio.Semaphore(_CONCURRENCY)
    seconds: list[float] = []

    async def one(query: F32) -> float | None:
        async with limit:
            started = time.perf_counter()
            (near,) = await index.search(query[None], k, None, Deadline.after(within))
            seconds.append(time.perf_counter() - started)
            exact = await index.search_exact(query, k, None, Deadline.after(within))
        if any(found.coverage < 1.0 or found.degraded for found in (near, exact)):
            return None
        if not exact.ids:
            return 1.0
        # By score, so that ties count whichever item was found.
        found = int((near.scores >= exact.scores[-1] - 1e-6).sum())
        return min(found, len(exact.ids)) / len(exact.ids)

    answers = await asyncio.gather(*(one(query) for query in queries))
    shares = [share for share in answers if share is not None]
    return float(np.mean(shares)) if shares else 0.0, len(answers) - len(shares), seconds
