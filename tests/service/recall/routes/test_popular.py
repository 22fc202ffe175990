"""Those of whom nothing is known get what is popular, under their filters, and are told so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from artifacts.attributes import AttributeKind
from common.deadline import Deadline
from devtools import embeddings
from index.embedded.build import build_index
from index.port import Neighbours
from service.http.answers import RecallAnswer
from service.recall.routes.popular import Popular
from tests.service.conftest import Demo
from tests.support import shop
from tests.support.answers import check_problem, read
from tests.support.serving import make_settings, serving

ATTRIBUTES: dict[str, AttributeKind] = {**shop.ATTRIBUTES, "popularity": "number"}


def popularity(number: int) -> float | None:
    """Of the sixty items every third is unknown to all; the others are the more popular the later."""
    return None if number % 3 == 0 else float(number)


@pytest.fixture(scope="module")
def index(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("popular")
    _, vectors, features = shop.embed(demo.bundle)
    rows = [item | {"popularity": popularity(number)} for number, item in enumerate(shop.items())]
    embeddings.write_embeddings(
        root / "embeddings",
        rows,
        vectors,
        features,
        bundle_version=demo.bundle.version,
        attributes=ATTRIBUTES,
        data="0" * 16,
    )
    build_index(root / "embeddings", root / "index")
    return root / "index"


@pytest.fixture(scope="module")
def popular(demo: Demo, index: Path) -> Iterator[httpx.Client]:
    with (
        serving(make_settings(demo.bundle.path, index)) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield client


def ask(client: httpx.Client, **body: object) -> RecallAnswer:
    response = client.post("/recall", json=body)
    assert response.status_code == 200, response.text
    return read(RecallAnswer, response.content)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": "  "},
        {"user_id": "nobody knows"},
        {"history": [{"item_id": "gone", "action": "click"}]},
    ],
)
def test_where_nothing_is_known_the_popular_items_come_and_are_told(
    popular: httpx.Client, body: dict[str, object]
) -> None:
    answer = ask(popular, k=5, **body)
    assert [item["item_id"] for item in answer["items"]] == ["i59", "i58", "i56", "i55", "i53"]
    assert [item["score"] for item in answer["items"][:2]] == [1.0, pytest.approx(58 / 59, abs=1e-5)]
    assert all([source["route"] for source in item["sources"]] == ["popular"] for item in answer["items"])
    assert answer["degraded"][-1] == "popular_instead"
    assert answer["routes"]["popular"]["status"] == "ok"
    assert answer["routes"]["q2i"]["reason"] == "nothing to search by"
    assert not answer["partial"]


def test_filters_and_categories_are_exact(popular: httpx.Client) -> None:
    answer = ask(popular, k=100, filters={"category": ["Shoes"], "in_stock": True, "brand": ["acme"]})
    wanted = [
        number
        for number, item in enumerate(shop.items())
        if item["category"].startswith("Shoes") and item["in_stock"] and item["brand"] == "acme"
    ]
    ranked = sorted((n for n in wanted if popularity(n) is not None), reverse=True)
    assert [item["item_id"] for item in answer["items"]] == [f"i{number}" for number in ranked]


def test_who_asks_for_something_gets_none_of_it(popular: httpx.Client, client: httpx.Client) -> None:
    for body in ({"query": "tea cup"}, {"history": [{"item_id": "i3", "action": "click"}]}):
        answer = ask(popular, k=60, **body)
        assert answer["routes"]["popular"]["reason"] == "there is something to search by"
        assert answer["items"] == ask(client, k=60, **body)["items"]
        assert answer["degraded"] == []


def test_a_request_that_says_nothing_is_refused_where_nobody_says_what_is_popular(
    demo: Demo, index: Path, client: httpx.Client
) -> None:
    assert check_problem(client.post("/recall", json={}), 422)["errors"][0]["field"] == "query"
    unknown = ask(client, history=[{"item_id": "gone", "action": "click"}])
    assert unknown["degraded"] == ["history_unknown", "nothing_to_search_by"]
    settings = make_settings(demo.bundle.path, index, recall={"popular": {"enabled": False}})
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as off:
        assert check_problem(off.post("/recall", json={}), 422)["errors"][0]["field"] == "query"


@pytest.mark.parametrize("values", [[0.0, 0.0], [-1.0, -2.0], [1e-46, 0.0], []])
async def test_where_nothing_is_popular_scores_are_zeros(values: list[float]) -> None:
    class Ranked:
        async def top(self, attribute: str, k: int, filters: object, deadline: Deadline) -> Neighbours:
            return Neighbours([f"i{n}" for n in range(len(values))], np.array(values, np.float32))

    request: Any = SimpleNamespace(ranked=Ranked(), k=5, filters=None, deadline=Deadline.after(60))
    outcome = await Popular().run(request, {})
    assert [candidate.value for candidate in outcome.candidates] == [0.0] * len(values)
