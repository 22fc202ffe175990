"""The columnar form carries what the default form carries, and only where it was asked for."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.answers import ColumnarAnswer, ColumnarBatchAnswer, ColumnarSimilarAnswer, RecallAnswer
from service.http.columnar import MEDIA_TYPE, ItemColumns, columns, wants_columns
from service.http.problems import Problem
from tests.support.answers import read

COLUMNAR = {"Accept": MEDIA_TYPE}
ids = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable())
scores = st.floats(-1, 1).map(lambda score: round(score, 5))
q2i = st.fixed_dictionaries({"route": st.just("q2i"), "rank": st.integers(1, 1000), "score": scores})
i2i = st.fixed_dictionaries(
    {"route": st.just("i2i"), "trigger": ids, "rank": st.integers(1, 1000), "score": scores}
)
items = st.lists(
    st.fixed_dictionaries(
        {"item_id": ids, "score": scores, "sources": st.lists(st.one_of(q2i, i2i), max_size=6)}
    ),
    max_size=12,
)


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of columns, as the default form has them."""
    made: list[dict[str, Any]] = [
        {"item_id": item_id, "score": score, "sources": []}
        for item_id, score in zip(found["item_id"], found["score"], strict=True)
    ]
    names = list(found["sources"])
    for values in zip(*found["sources"].values(), strict=True):
        source = dict(zip(names, values, strict=True))
        place = source.pop("item")
        made[place]["sources"].append({name: value for name, value in source.items() if value is not None})
    return made


@given(items)
def test_columns_carry_the_items_and_fit_their_schema(made: Any) -> None:
    written = orjson.dumps(columns(made))
    read(ItemColumns, written)
    assert rows(orjson.loads(written)) == made


@given(items)
def test_sources_stand_in_the_order_of_their_items(made: Any) -> None:
    places = columns(made)["sources"]["item"]
    assert places == sorted(places)


def alike(default: dict[str, Any], columnar: dict[str, Any]) -> None:
    """The same but for what differs from request to request."""
    one, other = dict(default), dict(columnar)
    assert rows(other.pop("items")) == one.pop("items")
    for answer in (one, other):
        answer.pop("request_id")
        answer.pop("took_ms")
        for route in answer["routes"].values():
            route.pop("took_ms")
    assert one == other


@pytest.mark.parametrize(
    "body",
    [
        {"query": "red running shoes", "k": 20},
        {"query": "shoes", "k": 30, "history": [{"item_id": "i12", "action": "cart"}]},
        {"query": "", "history": [{"item_id": "gone", "action": "click"}]},
        {"query": "shoes", "filters": {"price": {"lt": 0}}},
    ],
)
def test_both_forms_of_an_answer_carry_the_same(client: httpx.Client, body: dict[str, Any]) -> None:
    default = client.post("/recall", json=body)
    columnar = client.post("/recall", json=body, headers=COLUMNAR)
    assert default.headers["content-type"] == "application/json"
    assert columnar.headers["content-type"] == MEDIA_TYPE
    assert default.headers["vary"] == columnar.headers["vary"] == "Accept"
    read(RecallAnswer, default.content)
    read(ColumnarAnswer, columnar.content)
    alike(default.json(), columnar.json())


def test_a_batch_is_columnar_entry_by_entry(client: httpx.Client) -> None:
    body = {"requests": [{"query": "wool hat", "k": 7}, {"query": "tea cup", "k": 7}]}
    default = client.post("/recall/batch", json=body)
    columnar = client.post("/recall/batch", json=body, headers=COLUMNAR)
    read(ColumnarBatchAnswer, columnar.content)
    for one, other in zip(default.json()["results"], columnar.json()["results"], strict=True):
        alike(one["answer"], other["answer"])


def test_a_problem_in_a_batch_stays_a_problem(client: httpx.Client) -> None:
    body = {"requests": [{"query": "hat"}, {"query": "", "picture": "bm8gcGljdHVyZQ=="}]}
    answer = client.post("/recall/batch", json=body, headers=COLUMNAR)
    assert answer.status_code == 200
    assert answer.json()["results"][1]["status"] == 422
    read(Problem, orjson.dumps(answer.json()["results"][1]["problem"]))


def test_similar_is_columnar_too(client: httpx.Client) -> None:
    default = client.get("/items/i3/similar", params={"k": 5})
    columnar = client.get("/items/i3/similar", params={"k": 5}, headers=COLUMNAR)
    read(ColumnarSimilarAnswer, columnar.content)
    alike(default.json(), columnar.json())


@pytest.mark.parametrize("body", ['{"query": 3}', "{", '{"query": "a", "nope": 1}'])
def test_problems_are_problems_in_either_form(client: httpx.Client, body: str) -> None:
    sent = {"X-Request-Id": "same"}
    default = client.post("/recall", content=body, headers=sent)
    columnar = client.post("/recall", content=body, headers=sent | COLUMNAR)
    assert columnar.headers["content-type"] == "application/problem+json"
    assert (columnar.status_code, columnar.json()) == (default.status_code, default.json())


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        (MEDIA_TYPE, True),
        (MEDIA_TYPE.upper(), True),
        (f"text/html, {MEDIA_TYPE};q=0.9, */*;q=0.1", True),
        (f"{MEDIA_TYPE}, application/json;q=0.5", True),
        (f"{MEDIA_TYPE};q=0.5, application/json", False),
        (f"{MEDIA_TYPE};q=0", False),
        (f"{MEDIA_TYPE}; q=nonsense", False),
        (f"{MEDIA_TYPE}ish", False),
    ],
)
def test_the_form_is_chosen_by_accept(accept: str | None, expected: bool) -> None:
    assert wants_columns(accept) is expected


def test_both_forms_are_documented(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path, method, name in (
        ("/recall", "post", "ColumnarAnswer"),
        ("/recall/batch", "post", "ColumnarBatchAnswer"),
        ("/items/{item_id}/similar", "get", "ColumnarSimilarAnswer"),
    ):
        content = document["paths"][path][method]["responses"]["200"]["content"]
        assert set(content) == {"application/json", MEDIA_TYPE}
        assert content[MEDIA_TYPE]["schema"] == {"$ref": f"#/components/schemas/{name}"}
