"""The documents that the feeder really sends, as Vespa's own document reader understands them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.embeddings import EmbeddingsFolder
from devtools.embeddings import make_embeddings, random_items, unit_vectors
from devtools.vespa_peer.peer import Judge
from index.vespa import names
from index.vespa.feed.operations import Operation, Operations
from index.vespa.feed.source import EmbeddingsSource
from index.vespa.text import term
from tests.support.vespa_peer import VERSION

Read = Callable[[Sequence[Operation]], list[dict[str, Any]]]
VECTOR = unit_vectors(1, 128)[0]


@pytest.fixture(scope="module")
def read(vespa_judge: Judge, vespa_application: Path) -> Read:
    """Sends operations through the reader; all must be taken, whole, with a condition that holds."""

    def documents(operations: Sequence[Operation]) -> list[dict[str, Any]]:
        requests = [_as_sent(operation) for operation in operations]
        verdicts = vespa_judge.feed(vespa_application, requests)["documents"]
        for verdict in verdicts:
            assert verdict["ok"], verdict
            assert verdict["condition"] == "true"
            assert verdict.get("fullyApplied", True)
        return verdicts

    return documents


def _as_sent(operation: Operation) -> dict[str, Any]:
    request = Operations(VERSION).request(operation, 1.0)
    parts = urlsplit(request.path)
    prefix = f"/document/v1/{names.NAMESPACE}/{VERSION.document_type}/docid/"
    assert parts.path.startswith(prefix)
    return {
        "method": request.method,
        "id": f"id:{names.NAMESPACE}:{VERSION.document_type}::{unquote(parts.path.removeprefix(prefix))}",
        "condition": parse_qs(parts.query)["condition"][0],
        "body": None if request.body is None else request.body.decode(),
    }


def _cells(tensor: str) -> np.ndarray:
    cells = re.fullmatch(r"tensor<bfloat16>\(x\[128\]\):\[(.*)\]", tensor)
    assert cells, tensor[:80]
    return np.array([float(cell) for cell in cells[1].split(",")], dtype=np.float32)


def test_a_put_is_read_as_it_was_meant(read: Read) -> None:
    attributes: dict[str, Any] = {
        "brand": "ÉCLAIR",
        "price": 12.5,
        "in_stock": False,
        "tags": ["Red", "New In"],
        "category": ["shoes", "shoes > running"],
    }
    (document,) = read([Operations(VERSION).put("a", VECTOR, attributes, 7)])
    fields = document["fields"]
    np.testing.assert_array_equal(
        _cells(fields.pop("embedding")), VECTOR.astype(ml_dtypes.bfloat16).astype(np.float32)
    )
    assert fields == {
        "item_id": "a",
        "feed_ver": "7",
        "brand": "éclair",
        "price": "12.5",
        "in_stock": "false",
        "known_bools": "{in_stock=1}",
        "tags": "[red, new in]",
        "category": "[shoes, shoes > running]",
    }


def test_updates_assign_and_leave_the_vector(read: Read) -> None:
    make = Operations(VERSION)
    first, second = read(
        [
            make.update("a", {"price": 2, "in_stock": True, "brand": None}, 8),
            make.update("a", {"in_stock": None, "tags": []}, 9),
        ]
    )
    assert first["fields"] == {
        "price": "[assign 2.0]",
        "in_stock": "[assign true]",
        "brand": "[clear]",
        "known_bools": "[add in_stock 1]",
        "feed_ver": "[assign 8]",
    }
    assert second["fields"] == {
        "in_stock": "[clear]",
        "tags": "[clear]",
        "known_bools": "[remove in_stock]",
        "feed_ver": "[assign 9]",
    }


def test_removes(read: Read) -> None:
    read([Operations(VERSION).remove("a", 9)])


_ids = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), min_size=1, max_size=128)


@given(
    item=_ids,
    brand=st.text(max_size=50),
    price=st.floats(allow_nan=False, allow_infinity=False),
    tags=st.lists(st.text(max_size=20), max_size=4),
)
def test_any_item_is_read_as_it_was_meant(
    read: Read, item: str, brand: str, price: float, tags: list[str]
) -> None:
    attributes = {"brand": brand, "price": price, "tags": tags}
    (document,) = read([Operations(VERSION).put(item, VECTOR, attributes, 7)])
    fields = document["fields"]
    assert fields["item_id"] == item
    assert fields["brand"] == term(brand)
    assert float(fields["price"]) == price
    assert fields.get("tags", "[]") == f"[{', '.join(map(term, tags))}]"


def test_an_embeddings_folder_is_read_whole(read: Read, tmp_path: Path) -> None:
    items = random_items(50)
    folder = make_embeddings(tmp_path / "e", items=items, bundle_version=VERSION.bundle_version)
    source = EmbeddingsSource(EmbeddingsFolder.open(folder))
    operations = [op for _, op in source.operations(VERSION, 5, lambda number: False)]
    assert all(isinstance(operation, Operation) for operation in operations)
    documents = read([operation for operation in operations if isinstance(operation, Operation)])
    for document, item, vector in zip(documents, items, source.folder.vectors, strict=True):
        cells = _cells(document["fields"]["embedding"])
        np.testing.assert_allclose(cells, vector.astype(np.float32), atol=2e-3)
        assert abs(float(np.linalg.norm(cells)) - 1.0) < 4e-3
        assert ("price" in document["fields"]) == (item["price"] is not None)
