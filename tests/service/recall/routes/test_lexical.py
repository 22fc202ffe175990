"""The lexical route, by itself and in a service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from common.deadline import Deadline
from index.embedded.build import build_index
from index.filters import Filter
from index.port import Neighbours
from service.recall.routes.lexical import Lexical, LexicalSettings
from service.recall.routes.neighbours import NeighbourCache
from service.recall.routes.outcome import RouteOutcome
from service.recall.routes.route import RouteRequest
from tests.service.conftest import Demo
from tests.service.http.test_health import value
from tests.support import shop
from tests.support.index import MemoryIndex
from tests.support.serving import make_settings, serving

ADMIN = {"Authorization": "Bearer secret-of-sixteen"}


class Words:
    """A `LexicalIndex` that answers what it is given."""

    def __init__(self, found: Neighbours) -> None:
        self.found = found
        self.asked: list[tuple[Sequence[str], int]] = []

    async def search_text(
        self, texts: Sequence[str], k: int, filters: Filter | None, deadline: Deadline
    ) -> list[Neighbours]:
        self.asked.append((texts, k))
        return [self.found]


async def run(lexical: Words | None, text: str = "red shoes") -> tuple[RouteOutcome, dict[str, Any]]:
    """The route's outcome, and what it explains."""
    index = MemoryIndex("b", ["i1"], np.ones((1, 2), np.float32), np.zeros((1, 3, 4), np.float16))
    cache = NeighbourCache(index, 0, lambda known: None)
    request = RouteRequest(
        text=text,
        user_id=None,
        embedding=np.ones(2, np.float32),
        k=7,
        filters=None,
        history=[],
        now=datetime(2026, 1, 1, tzinfo=UTC),
        deadline=Deadline.after(30),
        tables={"lexical": LexicalSettings(enabled=True, half=10.0)},
        index=index,
        heads=cache,
        neighbours=cache,
        lexical=lexical,
    )
    outcome = await Lexical().run(request, {})
    return outcome, Lexical().explain(request.notes.get("lexical"))


async def test_items_come_best_first_with_their_bm25_and_a_value_below_1() -> None:
    words = Words(Neighbours(["a", "b"], np.array([30.0, 10.0], np.float32), 0.5, ("timeout",)))
    outcome, told = await run(words)
    assert words.asked == [(["red shoes"], 7)]
    assert (outcome.status, outcome.returned, outcome.coverage, outcome.reason) == ("ok", 2, 0.5, "timeout")
    assert [tuple(each) for each in outcome.candidates] == [
        ("a", 0.75, {"route": "lexical", "rank": 1, "score": 30.0}),
        ("b", 0.5, {"route": "lexical", "rank": 2, "score": 10.0}),
    ]
    assert told == {"lexical": {"items": 2, "best": 30.0, "last": 10.0}}


async def test_where_there_is_nothing_to_search_by_or_in_it_says_so() -> None:
    nothing = Neighbours([], np.empty(0, np.float32))
    outcome, told = await run(None)
    assert (outcome.status, outcome.reason) == ("skipped", "the index holds no texts")
    assert told == {"lexical": None}
    outcome, _ = await run(Words(nothing), text="")
    assert (outcome.status, outcome.reason) == ("skipped", "no words to search by")
    outcome, told = await run(Words(nothing), text="zebra")
    assert (outcome.status, outcome.returned) == ("ok", 0)
    assert told == {"lexical": {"items": 0, "best": None, "last": None}}


@pytest.fixture(scope="module")
def client(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service over an index with texts; the route is on in an arm of an experiment."""
    folder: Path = tmp_path_factory.mktemp("words")
    shop.write_embeddings(demo.bundle, folder / "embeddings", texts=True)
    build_index(folder / "embeddings", folder / "index")
    recall = {"q2i": {"share": 0.3}, "i2i": {"share": 0.0}, "lexical": {"enabled": True, "share": 0.6}}
    experiments = {"words": {"off": {}, "on": {"weight": 0, "forced": True, "recall": recall}}}
    server = {"admin_token": "secret-of-sixteen"}
    settings = make_settings(demo.bundle.path, folder / "index", experiments=experiments, server=server)
    with serving(settings) as running, httpx.Client(base_url=running.url, timeout=60) as made:
        yield made


ON = {"X-Experiment": "words=on"}


def update(client: httpx.Client, texts: dict[str, str]) -> httpx.Response:
    body = {"items": [{"id": "i5", "texts": texts}]}
    return client.post("/admin/index/update", json=body, headers=ADMIN)


def test_the_words_of_a_query_find_items_and_are_told(client: httpx.Client) -> None:
    body = {"query": "orbit wool hat", "k": 10, "explain": True, "filters": {"colour": ["red", "blue"]}}
    answer = client.post("/recall", json=body, headers=ON).json()
    route = answer["routes"]["lexical"]
    assert (route["status"], route["coverage"]) == ("ok", 1.0)
    assert answer["explain"]["lexical"]["items"] == route["returned"]
    assert answer["explain"]["stages_ms"]["lexical"] >= 0
    named = {item["id"] for item in shop.items() if "orbit" in item["title"] and "wool" in item["title"]}
    accepted = {item["id"] for item in shop.items() if item["colour"] in ("red", "blue")}
    found = {item["item_id"]: item["sources"] for item in answer["items"]}
    assert named & accepted <= found.keys() <= accepted
    assert all("lexical" in [each["route"] for each in found[item_id]] for item_id in named & accepted)
    assert value(client, "mrse_stage_duration_seconds_count", stage="lexical") >= 1
    assert value(client, "mrse_index_coverage_ratio_count", route="lexical") >= 1


def test_it_is_off_by_default_and_the_old_routes_answer_as_before(client: httpx.Client) -> None:
    body = {"query": "red running shoes", "k": 20}
    answer = client.post("/recall", json=body).json()
    assert answer["routes"]["lexical"]["reason"] == "turned off"
    assert {source["route"] for item in answer["items"] for source in item["sources"]} <= {"q2i", "i2i"}
    assert [word for word in answer["degraded"] if "lexical" in word] == []


def test_an_item_that_is_put_is_found_by_its_title_in_the_next_answer(client: httpx.Client) -> None:
    ask = {"query": "quagga 3000", "k": 5}
    assert client.post("/recall", json=ask, headers=ON).json()["routes"]["lexical"]["returned"] == 0
    changed = update(client, {"title": "Quagga 3000"})
    assert changed.json()["written"] == 1
    answer = client.post("/recall", json=ask, headers=ON).json()
    assert answer["routes"]["lexical"]["returned"] == 1
    assert "i5" in {item["item_id"] for item in answer["items"]}
    refused = update(client, {"x": "y"})
    assert refused.status_code == 422
    assert "'x' is no text field of this index" in refused.json()["detail"]


def test_an_index_without_texts_says_why_the_route_gives_nothing(demo: Demo) -> None:
    recall = {"lexical": {"enabled": True}}
    with (
        serving(make_settings(demo.bundle.path, demo.index, recall=recall)) as running,
        httpx.Client(base_url=running.url, timeout=60) as client,
    ):
        answer = client.post("/recall", json={"query": "red shoes", "k": 5}).json()
    assert answer["routes"]["lexical"] == {
        "status": "skipped",
        "returned": 0,
        "coverage": 0.0,
        "took_ms": answer["routes"]["lexical"]["took_ms"],
        "reason": "the index holds no texts",
    }
    assert answer["partial"] is False
