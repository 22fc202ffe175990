"""Tells whether a fed version may take traffic: counts, sampled items, recall of the graph, latency."""

from __future__ import annotations

import asyncio
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
from index.vespa.feed.recall import CONCURRENCY, Measured, filters_by_share, measure
from index.vespa.tensors import unit_rows
from index.vespa.version import Version

#: Length of the noise that makes a query of an item's vector; *inferred*.
_QUERY_NOISE: Final = 0.5
#: Seconds for one query, and queries that measure each band of selectivity; *inferred*.
_TIMEOUT: Final = 10.0
_FILTERED: Final = 40
_SEED: Final = 0
#: Items that a search by an item's own picture looks at, and the cosine of pictures that are the same.
_PICTURES: Final = 10
_SAME: Final = 0.99


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
    points: F32 | None = None,
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
        queries: how many measure recall and latency: points near items of the sample.
        points: embeddings ``[n, dim]`` of real queries in place of these.
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
    if points is None:
        points = _queries(np.stack([stored.vector for stored in wanted.sample]), random, queries)
    whole = await measure(index, points, k, within)
    by_share = await filters_by_share(index, wanted.sample, version, wanted.items, within)
    filtered = {
        name: await measure(index, points[:_FILTERED], k, within, filters)
        for name, filters in by_share.items()
        if filters
    }
    partial = sum(each.partial for each in (whole, *filtered.values()))
    p50, p99 = (float(np.percentile(whole.seconds, q) * 1000) for q in (50, 99))
    most = wanted.items + wanted.unsure
    counts = f"{wanted.items}" if most == wanted.items else f"{wanted.items} to {most}"
    checks = (
        Check("items", str(items), counts, wanted.items <= items <= most),
        Check("sampled vectors that differ", str(vectors), "0", vectors == 0),
        Check("sampled items whose attributes differ", str(attributes), "0", attributes == 0),
        *await _pictures(index, wanted.sample, within),
        Check("answers that looked at a part only", str(partial), "0", partial == 0),
        _recall("recall", whole, least_recall),
        *(_recall(f"recall where {name} match", found, least_recall) for name, found in filtered.items()),
    )
    return VerifyReport(checks, whole.mean, p50, p99)


def _recall(name: str, found: Measured, least: float) -> Check:
    return Check(name, f"{found.mean:.4f}", f"at least {least}", found.mean >= least)


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
    limit = asyncio.Semaphore(CONCURRENCY)

    async def one(stored: Stored) -> bool:
        filters = filters_of(stored.attributes, version)
        async with limit:
            return await index.count(Deadline.after(within), item=stored.item_id, filters=filters) != 1

    return sum(await asyncio.gather(*map(one, sample)))


async def _pictures(index: VespaIndex, sample: Sequence[Stored], within: float) -> list[Check]:
    """Whether items are found by their own pictures; nothing where the version holds none."""
    if not index.picture_dim:
        return []
    limit = asyncio.Semaphore(CONCURRENCY)

    async def lost(stored: Stored, picture: F32) -> bool:
        async with limit:
            (near,) = await index.search_pictures(picture[None], _PICTURES, None, Deadline.after(within))
        # Others may have the same picture, and stand before it.
        return stored.item_id not in near.ids and (near.scores > _SAME).sum() != _PICTURES

    pictured = [(stored, stored.picture) for stored in sample if stored.picture is not None]
    found = sum(await asyncio.gather(*(lost(*each) for each in pictured)))
    return [Check("sampled items that their own picture does not find", str(found), "0", found == 0)]


def _queries(vectors: F32, random: np.random.Generator, count: int) -> F32:
    """Points near items, as real queries are; the items themselves would be found too easily."""
    picked = vectors[random.integers(0, len(vectors), count)]
    scale = _QUERY_NOISE / np.sqrt(vectors.shape[1])
    return unit_rows(picked + random.standard_normal(picked.shape, dtype=np.float32) * scale)
