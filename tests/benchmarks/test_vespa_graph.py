"""The stand-in for Vespa's graph counts the searches of every way it is asked."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks import vespa_graph


class Exhaustive:
    """What the benchmark asks of hnswlib, by a look at every vector."""

    def __init__(self, **_: Any) -> None:
        self._vectors = np.empty((0, 0), np.float32)

    def add_items(self, vectors: np.ndarray, **_: Any) -> None:
        self._vectors = vectors

    def knn_query(self, queries: np.ndarray, k: int, **_: Any) -> tuple[np.ndarray, None]:
        return np.argsort(-queries @ self._vectors.T, axis=1)[:, :k], None

    def init_index(self, **_: Any) -> None: ...
    def save_index(self, _: str) -> None: ...
    def set_num_threads(self, _: int) -> None: ...
    def set_ef(self, _: int) -> None: ...


def test_every_way_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = ModuleType("hnswlib")
    library.Index = Exhaustive  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hnswlib", library)
    monkeypatch.setattr(vespa_graph, "KS", (1, 5))
    monkeypatch.setattr(vespa_graph, "SELECTIVITIES", (1.0,))
    runs = asyncio.run(vespa_graph.run(300, 3, tmp_path))
    assert runs["as the client asks"]["1"]["1"] == 1
    assert runs["walks of the graph"] == len(vespa_graph.ASKED) * 2 * 3
    assert runs["exact searches"] == 0
