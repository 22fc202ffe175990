"""What is popular, under filters: for those of whom nothing is known, who are told so, and who browse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
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
from tests.support.answers import read
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


LOOKED_AT = [{"item_id": f"i{n}", "action": "click"} for n in (3, 7, 40)]


def expected(
    demo: Demo, considered: int, accepted: Callable[[dict[str, Any]], bool] = bool
) -> dict[str, float]:
    """What popular items are worth to who looked at `LOOKED_AT`, as the route's docstring says it."""
    _, vectors, _ = shop.embed(demo.bundle)
    unit = np.asarray(vectors, np.float32)
    known = [n for n, item in enumerate(shop.items()) if popularity(n) is not None and accepted(item)]
    ranked = sorted(known, key=lambda n: -n)[:considered]
    looked = unit[[3, 7, 40]]
    return {
        f"i{n}": 2.0 * math.log1p(10 * n / ranked[0]) / math.log1p(10) + float((looked @ unit[n]).max())
        for n in ranked
    }


def test_who_browses_gets_those_popular_items_first_that_are_like_what_they_looked_at(
    popular: httpx.Client, demo: Demo
) -> None:
    answer = ask(popular, k=10, history=LOOKED_AT, explain=True)
    worth = expected(demo, 60)
    best = sorted(worth, key=lambda item: -worth[item])[:10]
    by_route = {
        item["item_id"]: source
        for item in answer["items"]
        for source in item["sources"]
        if source["route"] == "popular"
    }
    # The most popular items are worth more than what is only near; no quota keeps them out.
    assert [item["item_id"] for item in answer["items"]] == best == list(by_route)
    for place, item in enumerate(answer["items"], start=1):
        assert item["score"] == pytest.approx(worth[item["item_id"]], abs=5e-3)
        source = by_route[item["item_id"]]
        assert source["rank"] == place
        assert source["score"] == pytest.approx(int(item["item_id"][1:]) / 59, abs=1e-4)
    assert best != [f"i{n}" for n in range(59, 0, -1) if n % 3][:10]  # their taste changed the order
    assert answer["explain"]["popular"] == {"popular": 40, "history": 3}
    assert answer["degraded"] == []


def test_filters_hold_for_what_is_popular_in_a_browse(popular: httpx.Client, demo: Demo) -> None:
    filters = {"category": ["Shoes"], "in_stock": True}
    answer = ask(popular, k=60, history=LOOKED_AT, filters=filters)
    worth = expected(demo, 120, lambda item: item["category"].startswith("Shoes") and item["in_stock"])
    got = [
        item["item_id"]
        for item in answer["items"]
        if any(source["route"] == "popular" for source in item["sources"])
    ]
    assert got == sorted(worth, key=lambda item: -worth[item])


def test_who_asks_for_something_gets_none_of_it(
    popular: httpx.Client, client: httpx.Client, demo: Demo, index: Path
) -> None:
    answer = ask(popular, k=60, query="tea cup")
    assert answer["routes"]["popular"]["reason"] == "there is something to search by"
    assert answer["items"] == ask(client, k=60, query="tea cup")["items"]
    settings = make_settings(demo.bundle.path, index, recall={"popular": {"browse_worth": 0}})
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as own:
        answer = ask(own, k=60, history=LOOKED_AT)
        assert answer["routes"]["popular"]["reason"] == "there is something to search by"
        assert answer["items"] == ask(client, k=60, history=LOOKED_AT)["items"]
        assert answer["degraded"] == []


@pytest.mark.parametrize(
    "body", [{}, {"query": " \t "}, {"history": [{"item_id": "gone", "action": "click"}]}]
)
def test_a_request_that_says_nothing_has_an_empty_answer_where_nobody_says_what_is_popular(
    client: httpx.Client, body: dict[str, object]
) -> None:
    answer = ask(client, fields=["brand"], **body)
    assert answer["items"] == []
    assert answer["degraded"][-1] == "nothing_to_search_by"


def test_so_it_has_where_popular_items_are_turned_off(demo: Demo, index: Path) -> None:
    settings = make_settings(demo.bundle.path, index, recall={"popular": {"enabled": False}})
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as off:
        assert ask(off)["degraded"] == ["nothing_to_search_by"]
        batch = off.post("/recall/batch", json={"requests": [{"query": "shoes", "k": 1}, {}]}).json()
        assert [len(entry["answer"]["items"]) for entry in batch["results"]] == [1, 0]


@pytest.mark.parametrize("values", [[0.0, 0.0], [-1.0, -2.0], [1e-46, 0.0], []])
async def test_where_nothing_is_popular_scores_are_zeros(values: list[float]) -> None:
    class Ranked:
        async def top(self, attribute: str, k: int, filters: object, deadline: Deadline) -> Neighbours:
            return Neighbours([f"i{n}" for n in range(len(values))], np.array(values, np.float32))

    deadline = Deadline.after(60)
    request: Any = SimpleNamespace(ranked=Ranked(), k=5, filters=None, deadline=deadline, empty=True)
    outcome = await Popular().run(request, {})
    assert [candidate.value for candidate in outcome.candidates] == [0.0] * len(values)
