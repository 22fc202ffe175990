"""Browsing: the nearest items of each of a user's interests, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from index.embedded.build import build_index
from index.port import Neighbours
from service.http.answers import RecallAnswer
from service.recall.routes.u2i import _best
from tests.support import shop
from tests.support.answers import read
from tests.support.serving import make_settings, serving

HISTORY = [{"item_id": f"i{n}", "action": "click", "ts": f"2026-11-{20 - n:02}T10:00:00Z"} for n in (1, 5, 9)]


@pytest.fixture(scope="module")
def browsing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("interests")
    bundle = shop.bundle(root / "bundle", interests=True)
    shop.write_embeddings(bundle, root / "embeddings")
    build_index(root / "embeddings", root / "index")
    off = {"i2i": {"enabled": False}}
    arms = {
        "control": {},
        "weak": {"weight": 0, "recall": {"u2i": {"weak_pull": 0.2}}},
        "strong": {"weight": 0, "recall": {"u2i": {"weak_pull": 0.9}}},
    }
    settings = make_settings(
        Path(bundle.path),
        root / "index",
        recall=off,
        experiments={"pull": arms},
        access={"anonymous": ["read", "experiments"]},
    )
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def ask(client: httpx.Client, arm: str = "control", **body: object) -> RecallAnswer:
    headers = {"X-Experiment": f"pull={arm}"}
    response = client.post("/recall", json={"k": 20, "explain": True, **body}, headers=headers)
    assert response.status_code == 200, response.text
    return read(RecallAnswer, response.content)


def test_each_interest_brings_its_nearest_items(browsing: httpx.Client) -> None:
    answer = ask(browsing, history=HISTORY)
    assert answer["routes"]["u2i"]["status"] == "ok"
    assert answer["routes"]["u2i"]["returned"] == 20
    sources = {
        item["item_id"]: source
        for item in answer["items"]
        for source in item["sources"]
        if source["route"] == "u2i"
    }
    # The bundle's interests lie at the newest and the oldest item: both come first, as close as can be.
    for item in ("i1", "i9"):
        assert sources[item]["rank"] == 1
        assert sources[item]["score"] == pytest.approx(1.0, abs=2e-2)
    assert answer["explain"]["interests"] == [20, 20]
    assert answer["explain"]["pull"] == pytest.approx(0.3, abs=1e-4)


def test_filters_hold_for_interests(browsing: httpx.Client) -> None:
    answer = ask(browsing, history=HISTORY, filters={"category": ["Shoes"]})
    every = ask(browsing, query="shoes", k=1000, filters={"category": ["Shoes"]})["items"]
    assert answer["routes"]["u2i"]["returned"]
    assert {item["item_id"] for item in answer["items"]} <= {item["item_id"] for item in every}


def test_who_asks_for_something_gets_no_interests_but_for_weak_queries(browsing: httpx.Client) -> None:
    asked = {"query": "red shoes", "history": HISTORY}
    assert ask(browsing, **asked)["routes"]["u2i"]["status"] == "skipped"
    assert ask(browsing, "strong", **asked)["routes"]["u2i"]["status"] == "skipped"
    assert ask(browsing, "weak", **asked)["routes"]["u2i"]["status"] == "ok"
    assert ask(browsing, "weak", query="red shoes")["routes"]["u2i"]["reason"] == "no history"


def test_a_bundle_without_interests_browses_as_before(client: httpx.Client) -> None:
    answer = ask(client, history=HISTORY)
    assert answer["routes"]["u2i"]["status"] == "skipped"
    assert answer["routes"]["u2i"]["reason"] == "the bundle gives no interests"
    assert answer["routes"]["q2i"]["status"] == "ok"


def test_an_item_counts_by_its_nearest_interest() -> None:
    first = Neighbours(["a", "b", "c"], np.array([0.9, 0.5, 0.4], np.float32))
    second = Neighbours(["b", "d", "a"], np.array([0.8, 0.4, 0.3], np.float32))
    found = _best([first, second], 3, 0.1)
    assert [(c.item_id, round(c.value, 4)) for c in found] == [("a", 1.0), ("b", 0.9), ("c", 0.5)]
    assert [c.source["rank"] for c in found] == [1, 1, 3]
