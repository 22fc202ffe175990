"""A catalogue for the recall benchmark: texts embedded with the bundle, and items spread around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from artifacts.bundle import Bundle, ItemText, ItemTower
from artifacts.embeddings import EmbeddingsMeta, EmbeddingsWriter
from benchmarks.produce import make_queries
from index.embedded.build import build_index
from index.embedded.manifest import MANIFEST_NAME

#: Texts that are embedded; the other items lie around them, so that queries have real neighbours.
TEXTS, SPREAD = 10_000, 0.35


def make_index(bundle: Bundle, folder: Path, rows: int) -> Path:
    """The index of that many items, made unless it is there; ids are ``item-0000000`` and so on."""
    index = folder / "index"
    if (index / MANIFEST_NAME).exists():
        return index
    vectors, features = _embed(bundle, make_queries(bundle, min(TEXTS, rows)))
    rng = np.random.default_rng(11)
    meta = EmbeddingsMeta(
        bundle_version=bundle.version,
        rows=rows,
        dim=vectors.shape[1],
        experts=features.shape[1],
        expert_dim=features.shape[2],
        data="benchmark",
    )
    writer = EmbeddingsWriter(folder / "embeddings", meta, {"price": "number"})
    for start in range(0, rows, 65_536):
        chosen = rng.integers(0, len(vectors), min(65_536, rows - start))
        noise = rng.standard_normal((len(chosen), vectors.shape[1]), dtype=np.float32)
        near = vectors[chosen] + noise * np.float32(SPREAD / vectors.shape[1] ** 0.5)
        end = start + len(chosen)
        writer.embeddings[start:end] = near / np.linalg.norm(near, axis=1, keepdims=True)
        writer.features[start:end] = features[chosen]
    prices = rng.random(rows).tolist()
    items = ({"id": f"item-{row:07d}", "category": "", "price": price} for row, price in enumerate(prices))
    writer.write_items(items)
    build_index(writer.finish().path, index)
    return index


def _embed(bundle: Bundle, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings ``[n, dim]`` and features ``[n, 3, d]`` of items that have these titles and no picture."""
    tower = ItemTower(bundle)
    vectors, features = [], []
    for start in range(0, len(texts), 256):
        features.append(tower.features([ItemText(title) for title in texts[start : start + 256]]))
        vectors.append(tower.embeddings(features[-1]))
    return np.concatenate(vectors), np.concatenate(features)
