"""An exact index in memory behind the `ItemIndex` port, with delays and faults to order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from artifacts.attributes import AttributeKind
from common.arrays import F16, F32
from common.deadline import Deadline
from index.filters import Filter
from index.port import IndexStats, IndexUnavailable, Neighbours, StoredValues, StoredVectors


class MemoryIndex:
    """`ItemIndex` and `ItemFeatures` over arrays. Filters are parsed but match everything.

    ``delay_s`` holds back each search for one vector (Q2I) and ``batch_delay_s`` each for several (I2I);
    ``unreached`` holds items that `vectors` does not reach, and says so by its coverage.
    ``fail`` names operations (``search``, ``vectors``, ``values``, ``features``) that raise
    `IndexUnavailable`.
    """

    def __init__(self, bundle_version: str, ids: Sequence[str], vectors: F32, features: F16) -> None:
        self.bundle_version = bundle_version
        self.version = f"{bundle_version}.memory"
        self.revision = None
        self.attributes: Mapping[str, AttributeKind] = {"category": "list", "price": "number"}
        self._ids = list(ids)
        self._rows = {item_id: row for row, item_id in enumerate(ids)}
        self._vectors = vectors
        self._features = features
        #: Of items; what `values` gives.
        self.prices: Mapping[str, float] = {}
        self.delay_s = 0.0
        self.batch_delay_s = 0.0
        self.coverage = 1.0
        self.unreached: set[str] = set()
        self.fail: set[str] = set()
        self.searches = 0
        self.cancelled = 0
        self.closed = False

    async def search(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        self.searches += 1
        self._maybe_fail("search")
        delay = self.delay_s if len(vectors) == 1 else self.batch_delay_s
        if delay:
            try:
                await asyncio.sleep(delay)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        scores = vectors @ self._vectors.T
        answers = []
        for row in scores:
            top = np.argsort(-row, kind="stable")[:k]
            degraded = () if self.coverage == 1.0 else ("timeout",)
            answers.append(Neighbours([self._ids[i] for i in top], row[top], self.coverage, degraded))
        return answers

    async def vectors(self, ids: Sequence[str], deadline: Deadline) -> StoredVectors:
        self._maybe_fail("vectors")
        known = [item_id for item_id in ids if item_id in self._rows and item_id not in self.unreached]
        vectors = self._vectors[[self._rows[item_id] for item_id in known]]
        if self.unreached and len(known) < len(ids):
            return StoredVectors(known, vectors, 0.5, ("non-ideal-state",))
        return StoredVectors(known, vectors)

    async def values(self, ids: Sequence[str], names: Sequence[str], deadline: Deadline) -> StoredValues:
        self._maybe_fail("values")
        known = [item_id for item_id in ids if item_id in self._rows]
        return StoredValues(known, {name: [self.prices.get(item_id) for item_id in known] for name in names})

    async def features(self, ids: Sequence[str], deadline: Deadline) -> tuple[list[str], F16]:
        self._maybe_fail("features")
        known = [item_id for item_id in ids if item_id in self._rows]
        return known, self._features[[self._rows[item_id] for item_id in known]]

    async def stats(self) -> IndexStats:
        return IndexStats("memory", len(self._ids), "exact")

    async def close(self) -> None:
        self.closed = True

    def _maybe_fail(self, operation: str) -> None:
        if operation in self.fail:
            raise IndexUnavailable("unavailable", f"{operation} was told to fail")
