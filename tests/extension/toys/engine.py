"""Exact search over an embeddings folder, without filters; its table has one key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from artifacts.embeddings import EmbeddingsFolder
from common.arrays import F16, F32
from common.deadline import Deadline
from index.engine import Engine, EngineSettings, OpenedIndex
from index.engines import register
from index.filters import Filter
from index.port import IndexStats, Neighbours, StoredVectors


class PlainSettings(EngineSettings):
    most: int = 1000


class PlainIndex:
    def __init__(self, folder: EmbeddingsFolder, most: int) -> None:
        self._folder, self._most = folder, most
        self._ids = folder.ids()
        self._rows = {item_id: row for row, item_id in enumerate(self._ids)}
        self._vectors = folder.vectors.astype(np.float32)
        self.version, self.bundle_version = "plain", folder.meta.bundle_version
        self.revision, self.attributes = 0, {}

    async def search(
        self, vectors: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        scores = vectors @ self._vectors.T
        top = np.argsort(-scores, axis=1, kind="stable")[:, : min(k, self._most)]
        return [
            Neighbours([self._ids[row] for row in rows], score[rows])
            for rows, score in zip(top, scores, strict=True)
        ]

    async def vectors(self, ids: Sequence[str], deadline: Deadline) -> StoredVectors:
        known = [item_id for item_id in ids if item_id in self._rows]
        return StoredVectors(known, self._vectors[[self._rows[item_id] for item_id in known]])

    async def features(self, ids: Sequence[str], deadline: Deadline) -> tuple[list[str], F16]:
        known = [item_id for item_id in ids if item_id in self._rows]
        return known, self._folder.features[[self._rows[item_id] for item_id in known]]

    async def stats(self) -> IndexStats:
        return IndexStats("plain", len(self._ids), "exact")

    async def close(self) -> None:
        pass


class PlainEngine(Engine[PlainSettings]):
    name = "plain"
    settings = PlainSettings
    preload = ("numpy",)

    def open(self, path: Path, settings: PlainSettings, *, queue: int) -> OpenedIndex:
        index = PlainIndex(EmbeddingsFolder.open(path), settings.most)
        return OpenedIndex(index=index, features=index)


register(PlainEngine())
