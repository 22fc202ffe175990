"""Tells whether a fed version may take traffic: counts, sampled vectors, recall of the graph, latency."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from artifacts.embeddings import EmbeddingsFolder
from common.arrays import F32, I64
from common.deadline import Deadline
from index.vespa.client import VespaIndex
from index.vespa.tensors import bfloat16, from_bfloat16, unit_rows

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
    *,
    vectors: int = 500,
    queries: int = 200,
    k: int = 100,
    least_recall: float = 0.95,
) -> VerifyReport:
    """Compare what is deployed and fed with an embeddings folder; what is expected is *inferred*.

    Args:
        index: the client of what is deployed.
        folder: what was fed.
        vectors: how many are read back and compared bit by bit.
        queries: how many measure recall and latency.
        k: of the recall.
        least_recall: share of the exact ``k`` nearest that the graph must find, on average.

    Raises:
        IndexUnavailable: Vespa does not answer.
        EmbeddingsError: the folder is damaged.
    """
    random = np.random.default_rng(_SEED)
    stored = _stored_rows(folder, random.permutation(folder.meta.rows)[:vectors])
    items = await index.count(Deadline.after(_TIMEOUT))
    wrong = await _wrong_vectors(index, stored)
    points = _queries(np.stack(list(stored.values())), random, queries)
    recall, seconds = await _recall(index, points, k)
    p50, p99 = (float(np.percentile(seconds, q) * 1000) for q in (50, 99))
    checks = (
        Check("items", str(items), str(folder.meta.rows), items == folder.meta.rows),
        Check("sampled vectors that differ", str(wrong), "0", wrong == 0),
        Check("recall", f"{recall:.4f}", f"at least {least_recall}", recall >= least_recall),
    )
    return VerifyReport(checks, recall, p50, p99)


def _stored_rows(folder: EmbeddingsFolder, rows: I64) -> dict[str, F32]:
    """Ids and unit vectors of some rows, as they should be stored: rounded to bfloat16."""
    ids = folder.ids()
    order = np.sort(rows)
    vectors = from_bfloat16(bfloat16(unit_rows(folder.vectors[order])))
    return {ids[row]: vector for row, vector in zip(order, vectors, strict=True)}


async def _wrong_vectors(index: VespaIndex, expected: dict[str, F32]) -> int:
    found = await index.vectors(list(expected), Deadline.after(_TIMEOUT))
    rows = dict(zip(found.ids, found.vectors, strict=True))
    return sum(
        item not in rows or not np.array_equal(rows[item], vector) for item, vector in expected.items()
    )


def _queries(vectors: F32, random: np.random.Generator, count: int) -> F32:
    """Points near items, as real queries are; the items themselves would be found too easily."""
    picked = vectors[random.integers(0, len(vectors), count)]
    scale = _QUERY_NOISE / np.sqrt(vectors.shape[1])
    return unit_rows(picked + random.standard_normal(picked.shape, dtype=np.float32) * scale)


async def _recall(index: VespaIndex, queries: F32, k: int) -> tuple[float, list[float]]:
    """Mean recall at ``k`` of the graph against the exact search, and seconds of each graph search."""
    limit = asyncio.Semaphore(_CONCURRENCY)
    seconds: list[float] = []

    async def one(query: F32) -> float:
        async with limit:
            started = time.perf_counter()
            (near,) = await index.search(query[None], k, None, Deadline.after(_TIMEOUT))
            seconds.append(time.perf_counter() - started)
            exact = await index.search_exact(query, k, None, Deadline.after(_TIMEOUT))
        if not exact.ids:
            return 1.0
        # By score, so that ties count whichever item was found.
        found = int((near.scores >= exact.scores[-1] - 1e-6).sum())
        return min(found, len(exact.ids)) / len(exact.ids)

    shares = await asyncio.gather(*(one(query) for query in queries))
    return float(np.mean(shares)), seconds
