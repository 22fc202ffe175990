"""GET /items/{item_id}/similar against a running server."""

from __future__ import annotations

import httpx
import pytest

from service.http.answers import SimilarAnswer
from tests.support import shop
from tests.support.answers import read

ITEMS = {item["id"]: item for item in shop.items()}


def test_similar_gives_neighbours_without_the_item_itself(client: httpx.Client) -> None:
    response = client.get("/items/i3/similar", params={"k": 2})
    answer = read(SimilarAnswer, response.content)
    assert answer["item_id"] == "i3"
    assert {item["item_id"] for item in answer["items"]} == {"i4", "i5"}
    assert [item["sources"][0]["trigger"] for item in answer["items"]] == ["i3", "i3"]
    assert [item["sources"][0]["rank"] for item in answer["items"]] == [1, 2]


def test_similar_filters_and_limits(client: httpx.Client) -> None:
    response = client.get("/items/i3/similar", params={"k": 60, "filters": '{"brand": "orbit"}'})
    answer = read(SimilarAnswer, response.content)
    assert {ITEMS[item["item_id"]]["brand"] for item in answer["items"]} == {"orbit"}


def test_similar_to_an_unknown_item_is_404(client: httpx.Client) -> None:
    response = client.get("/items/no%2Fsuch%20item/similar")
    assert response.status_code == 404
    assert "no/such item" in response.json()["detail"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"k": "0"}, "k"),
        ({"k": "many"}, "k"),
        ({"k": "5000"}, "k"),
        ({"filters": "{"}, "filters"),
        ({"filters": "[]"}, "filters"),
        ({"filters": '{"nope": 1}'}, "filters.nope"),
        ({"timeout_ms": "-1"}, "timeout_ms"),
        ({"unknown": "1"}, "unknown"),
    ],
)
def test_similar_names_the_parameter_that_is_wrong(
    client: httpx.Client, params: dict[str, str], field: str
) -> None:
    response = client.get("/items/i3/similar", params=params)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["field"] == field
