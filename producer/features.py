"""Item features from an embeddings folder or from an index folder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artifacts.embeddings import EmbeddingsFolder
from common.arrays import F16, Bool
from common.deadline import Deadline

_INDEX_MANIFEST = "index.json"
#: Seconds for all items of a log.
_WITHIN_S = 600.0


@dataclass(frozen=True)
class FeatureTable:
    """Features float16 ``[N, E, d]`` of one bundle; ``ids[n]`` is the item of row ``n``."""

    path: Path
    bundle_version: str
    ids: Sequence[str]
    features: F16


def finite_rows(features: F16) -> Bool:
    """Which rows of ``[n, E, d]`` are finite."""
    return np.asarray(np.isfinite(features).all(axis=(1, 2)))


def open_features(path: Path, wanted: Sequence[str]) -> FeatureTable:
    """The features of the ``wanted`` items from an index folder, or of all items of an embeddings folder.

    Raises:
        EmbeddingsError: the folder cannot be used.
        IndexDamaged: an index folder is not whole.
    """
    if not (path / _INDEX_MANIFEST).is_file():
        return read_embeddings(path)
    from index.embedded.index import EmbeddedIndex  # faiss is not loaded where there is no index

    async def look_up() -> FeatureTable:
        index = EmbeddedIndex.open(path)
        try:
            ids, features = await index.features(wanted, Deadline.after(_WITHIN_S))
            return FeatureTable(path, index.bundle_version, ids, features)
        finally:
            await index.close()

    return asyncio.run(look_up())


def read_embeddings(path: Path) -> FeatureTable:
    """All items of an embeddings folder; the features stay on disk until they are looked at.

    Raises:
        EmbeddingsError: a file is missing or is not what the others say.
    """
    folder = EmbeddingsFolder.open(path)
    return FeatureTable(path, folder.meta.bundle_version, folder.ids(), folder.features)
