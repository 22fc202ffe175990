"""Vectors, attributes, filters and exact answers for the search benchmark."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from devtools import embeddings

DIM, K, TOPICS, STYLES = 128, 200, 500, 20
#: ``random`` draws from all rows, ``topic`` takes whole topics: near some queries and far from others.
FILTERS: dict[str, dict[str, float]] = {
    "none": {},
    **{f"random {share:.1%}": {"random": share} for share in (0.001, 0.01, 0.1, 0.5)},
    **{f"topic {share:.1%}": {"topic": share * TOPICS} for share in (0.002, 0.01, 0.1, 0.5)},
}


@dataclass(frozen=True)
class Case:
    """A filter and the exact answers under it: ids int64 ``[queries, <= K]``, -1 where there are fewer."""

    name: str
    limits: dict[str, float]
    truth: np.ndarray
    matches: int


def make_data(folder: Path, rows: int, queries: int) -> None:
    """Write the data, unless it is there: topics of styles of items, spread over decaying directions.

    Neither uniform nor well separated: an item's topic is not always the nearest, and queries lie off
    the items, as a query tower's do.
    """
    if (folder / "data.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    spread = np.arange(1, DIM + 1, dtype=np.float32) ** -0.5
    spread /= np.linalg.norm(spread)

    def cloud(count: int, scale: float) -> np.ndarray:
        return scale * rng.standard_normal((count, DIM), dtype=np.float32) * spread

    styles = np.repeat(cloud(TOPICS, 1.0), STYLES, axis=0) + cloud(TOPICS * STYLES, 0.7)
    popularity = rng.permutation(np.arange(1, TOPICS * STYLES + 1) ** -0.6)
    popularity /= popularity.sum()
    style = rng.choice(TOPICS * STYLES, rows, p=popularity)
    vectors = np.lib.format.open_memmap(
        folder / "vectors.npy", mode="w+", dtype=np.float16, shape=(rows, DIM)
    )
    for start in range(0, rows, 65_536):
        chunk = style[start : start + 65_536]
        vectors[start : start + 65_536] = _unit(styles[chunk] + cloud(len(chunk), 0.7))
    vectors.flush()
    asked = rng.choice(TOPICS * STYLES, queries, p=popularity)
    off = 0.4 * rng.standard_normal((queries, DIM), dtype=np.float32) / np.float32(DIM**0.5)
    np.save(folder / "queries.npy", _unit(styles[asked] + cloud(queries, 0.6) + off))
    # Topics in an order that has nothing to do with where they lie.
    np.savez(
        folder / "attributes.npz", random=rng.random(rows), topic=rng.permutation(TOPICS)[style // STYLES]
    )
    _write_truth(folder, rows)
    (folder / "data.json").write_text(json.dumps({"rows": rows, "queries": queries}))


def _write_truth(folder: Path, rows: int) -> None:
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries = np.load(folder / "queries.npy")
    attributes = np.load(folder / "attributes.npz")
    answers: dict[str, Any] = {}
    for name, limits in FILTERS.items():
        mask = np.ones(rows, dtype=np.bool_)
        for field, limit in limits.items():
            mask &= attributes[field] < limit
        kept = np.flatnonzero(mask)
        heap = faiss.ResultHeap(len(queries), K, keep_max=True)
        for start in range(0, len(kept), 131_072):
            chunk = kept[start : start + 131_072]
            scores, places = faiss.knn(
                queries,
                vectors[chunk].astype(np.float32),
                min(K, len(chunk)),
                metric=faiss.METRIC_INNER_PRODUCT,
            )
            heap.add_result(scores, chunk[places])
        heap.finalize()
        answers[name] = heap.I[:, : min(K, len(kept))]
        answers[f"{name} matches"] = len(kept)
    np.savez(folder / "truth.npz", **answers)


def cases(folder: Path) -> list[Case]:
    """Every filter with its answers."""
    with np.load(folder / "truth.npz") as truth:
        return [
            Case(name, limits, truth[name], int(truth[f"{name} matches"])) for name, limits in FILTERS.items()
        ]


def write_embeddings(folder: Path, target: Path) -> None:
    """The same data as an embeddings folder; features are small and empty."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    attributes = np.load(folder / "attributes.npz")
    columns = attributes["random"].tolist(), attributes["topic"].astype(np.float64).tolist()
    items = [
        {"id": f"{row:07d}", "category": "", "random": random, "topic": topic}
        for row, (random, topic) in enumerate(zip(*columns, strict=True))
    ]
    embeddings.write_embeddings(
        target,
        items,
        vectors,
        np.zeros((len(vectors), 3, 64), dtype=np.float16),
        bundle_version="bench-00000000",
        attributes={"random": "number", "topic": "number"},
        data="benchmark",
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
