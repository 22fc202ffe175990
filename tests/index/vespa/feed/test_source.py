"""An embeddings folder and a file of changes as operations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from devtools.embeddings import make_embeddings, random_items
from devtools.vespa_fakes.document_server import DocumentServer
from devtools.vespa_fakes.feed_process import FEED, settings_for
from index.filters import fold
from index.vespa.feed.changes import ChangesSource
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.operations import Operation
from index.vespa.feed.source import EmbeddingsSource
from index.vespa.tensors import parse_bfloat16_hex
from tests.index.vespa.answers import VERSION

QUICK = replace(FEED, failures_max=100, request_timeout=0.3)


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    items = random_items(40, seed=3)
    items[3]["brand"] = "Straße"
    vectors = np.random.default_rng(1).standard_normal((40, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[5] = 0.0
    return make_embeddings(tmp_path / "embeddings", items=items, vectors=vectors)


async def test_an_embeddings_folder_is_fed(embeddings: Path) -> None:
    folder = EmbeddingsFolder.open(embeddings)
    async with DocumentServer() as server:
        where, journal = settings_for(server.url, folder), Journal(None, "test", 3)
        report = await feed(where, EmbeddingsSource(folder), journal, feeding=QUICK)
        documents = server.documents
    assert [failure.item_id for failure in report.failures] == ["item-5"]  # a vector without direction
    assert set(documents) == {f"item-{i}" for i in range(40)} - {"item-5"}
    assert documents["item-3"]["brand"] == fold("Straße") == "strasse"
    original = random_items(40, seed=3)
    for item, document in documents.items():
        vector = parse_bfloat16_hex(document["embedding"], 128)
        assert abs(float(np.linalg.norm(vector)) - 1) < 0.004
        raw = original[int(item[5:])]
        assert ("in_stock" in document) == (raw["in_stock"] is not None) == ("known_bools" in document)
        assert document.get("price") == raw["price"]


def test_folders_that_cannot_be_fed(embeddings: Path) -> None:
    source = EmbeddingsSource(EmbeddingsFolder.open(embeddings))
    version = settings_for("http://localhost", source.folder).version
    for other in (
        replace(version, bundle_version="other-00000000"),
        replace(version, dimension=64),
        replace(version, attributes={"price": "number"}),
    ):
        with pytest.raises(EmbeddingsError):
            next(source.operations(other, 1, lambda number: False))
    (embeddings / "items.parquet").unlink()
    with pytest.raises(EmbeddingsError, match=r"items\.parquet"):
        next(source.operations(version, 1, lambda number: False))


def test_a_file_of_changes(tmp_path: Path) -> None:
    path = tmp_path / "changes.jsonl"
    lines = [
        {"id": "a", "feed_ver": 5, "attributes": {"price": 1}},
        {"id": "a", "feed_ver": 6, "vector": [2.0] + [0.0] * 7, "attributes": {"category": "A > B"}},
        {"id": "a", "remove": True},
        {"id": "a", "attributes": {"price": "1"}},
        {"id": "a", "atributes": {}},
        [1],
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)) + "\nnot json\n\n")
    found = list(ChangesSource(path).operations(VERSION, 9, lambda number: number == 0))
    kinds = [(number, op.kind if isinstance(op, Operation) else "rejected") for number, op in found]
    assert kinds == [(1, "put"), (2, "remove"), *((number, "rejected") for number in (3, 4, 5, 6))]
    put_, remove = found[0][1], found[1][1]
    assert isinstance(put_, Operation)
    assert put_.fields["category"] == ["a", "a > b"]
    assert put_.fields["embedding"] == "3f80" + "0000" * 7
    assert isinstance(remove, Operation)
    assert remove.feed_ver == 9 + 2  # they count up
