"""Recall of probed lists against exact search, with filters of every share and correlation."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from common.deadline import Deadline
from devtools.embeddings import make_embeddings
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.probe import EXACT
from index.embedded.searched import Planning
from index.filters import parse_filter

ROWS, DIM, TOPICS = 20_000, 32, 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recall")
    rng = np.random.default_rng(3)
    topics = rng.standard_normal((TOPICS, DIM), dtype=np.float32)
    topic = rng.integers(TOPICS, size=ROWS)
    vectors = topics[topic] + 0.8 * rng.standard_normal((ROWS, DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = [
        {"id": str(row), "topic": float(topic[row]), "random": float(value)}
        for row, value in enumerate(rng.random(ROWS).tolist())
    ]
    embeddings = make_embeddings(
        root / "e",
        items=items,
        vectors=vectors,
        attributes={"topic": "number", "random": "number"},
        expert_dim=4,
    )
    manifest = build_index(embeddings, root / "index", cluster_rows=1)
    assert manifest.kind == "ivf_fp16"
    assert manifest.probing is not None
    assert min(manifest.probing.recall.values()) >= 0.97
    return root


FILTERS: dict[str, dict[str, object]] = {
    "none": {},
    **{f"random {share}": {"random": {"lt": share}} for share in (0.005, 0.02, 0.1, 0.5, 0.95)},
    **{f"{count} topics": {"topic": {"lt": count}} for count in (1, 5, 25)},
    "both": {"topic": {"lt": 25}, "random": {"lt": 0.2}},
}


@pytest.mark.parametrize("raw", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("k", [10, 100])
def test_recall(folder: Path, raw: dict[str, object], k: int) -> None:
    assert recall(folder, raw, k) >= 0.95


def recall(folder: Path, raw: dict[str, object], k: int) -> float:
    """Mean share of the exact results that an index finds, for queries near items."""
    rng = np.random.default_rng(4)
    queries = np.load(folder / "e" / "embeddings.npy")[rng.integers(ROWS, size=40)].astype(np.float32)
    queries += 0.5 * rng.standard_normal(queries.shape, dtype=np.float32) / DIM**0.5
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)

    async def both() -> list[float]:
        probed = EmbeddedIndex.open(folder / "index", verify=False, planning=Planning(exact_rows=0))
        exact = EmbeddedIndex.open(folder / "index", verify=False, planning=Planning(reach=EXACT))
        accepted = parse_filter(raw, probed.attributes)
        ours = await probed.search(queries, k, accepted, Deadline.after(60))
        truth = await exact.search(queries, k, accepted, Deadline.after(60))
        await probed.close()
        await exact.close()
        assert [len(each.ids) for each in ours] == [len(each.ids) for each in truth]
        return [
            len(set(mine.ids) & set(theirs.ids)) / len(theirs.ids)
            for mine, theirs in zip(ours, truth, strict=True)
        ]

    return float(np.mean(asyncio.run(both())))
