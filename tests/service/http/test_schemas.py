"""Whatever body is sent is answered, or refused with a 4xx that names the field; never with a 5xx."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support import shop
from tests.support.answers import check_problem


def png(width: int, height: int) -> str:
    stream = io.BytesIO()
    Image.new("1", (width, height)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def cut_jpeg() -> str:
    return base64.b64encode(shop.picture("red", 64, "JPEG")[:-200]).decode()


def gif() -> str:
    stream = io.BytesIO()
    Image.new("P", (4, 4)).save(stream, "GIF")
    return base64.b64encode(stream.getvalue()).decode()


JSON = {"Content-Type": "application/json"}
CLICK = {"item_id": "i9", "action": "click"}
BODIES: list[tuple[str, Any, str]] = [
    ("query of another type", {"query": 7}, "query"),
    ("null query", {"query": None}, "query"),
    ("list as query", {"query": ["a"]}, "query"),
    ("query too long", {"query": "x" * 513}, "query"),
    ("unknown field", {"query": "a", "limit": 3}, "limit"),
    ("unknown field with a strange name", {"query": "a", "a.b\n": 3}, "a.b?"),
    ("k of zero", {"query": "a", "k": 0}, "k"),
    ("negative k", {"query": "a", "k": -5}, "k"),
    ("k above the limit", {"query": "a", "k": 1001}, "k"),
    ("huge k", {"query": "a", "k": 10**30}, "k"),
    ("k as string", {"query": "a", "k": "10"}, "k"),
    ("k as fraction", {"query": "a", "k": 1.5}, "k"),
    ("k as bool", {"query": "a", "k": True}, "k"),
    ("timeout of zero", {"query": "a", "timeout_ms": 0}, "timeout_ms"),
    ("timeout too long", {"query": "a", "timeout_ms": 10_001}, "timeout_ms"),
    ("timeout as string", {"query": "a", "timeout_ms": "80"}, "timeout_ms"),
    ("explain as number", {"query": "a", "explain": 1}, "explain"),
    ("empty user", {"query": "a", "user_id": ""}, "user_id"),
    ("user of another type", {"query": "a", "user_id": 42}, "user_id"),
    ("user too long", {"query": "a", "user_id": "u" * 129}, "user_id"),
    ("history as object", {"query": "a", "history": {}}, "history"),
    ("history too long", {"query": "a", "history": [CLICK] * 201}, "history"),
    ("history entry as string", {"query": "a", "history": ["i9"]}, "history.0"),
    ("history without item", {"query": "a", "history": [{"action": "click"}]}, "history.0.item_id"),
    ("unknown action", {"query": "a", "history": [CLICK, {**CLICK, "action": "look"}]}, "history.1.action"),
    (
        "time without zone",
        {"query": "a", "history": [{**CLICK, "ts": "2026-11-19T10:00:00"}]},
        "history.0.ts",
    ),
    ("time that is none", {"query": "a", "history": [{**CLICK, "ts": "yesterday"}]}, "history.0.ts"),
    ("unknown field in history", {"query": "a", "history": [{**CLICK, "x": 1}]}, "history.0.x"),
    ("item id too long", {"query": "a", "history": [{**CLICK, "item_id": "i" * 129}]}, "history.0.item_id"),
    ("filters as list", {"query": "a", "filters": ["price"]}, "filters"),
    ("unknown attribute", {"query": "a", "filters": {"size": 4}}, "filters.size"),
    ("wrong type of value", {"query": "a", "filters": {"price": "cheap"}}, "filters.price"),
    ("bool for a number", {"query": "a", "filters": {"price": True}}, "filters.price"),
    ("string for a bool", {"query": "a", "filters": {"in_stock": "yes"}}, "filters.in_stock"),
    ("range on a string", {"query": "a", "filters": {"brand": {"lt": "b"}}}, "filters.brand"),
    ("unknown operator", {"query": "a", "filters": {"price": {"about": 3}}}, "filters.price"),
    ("empty any-of", {"query": "a", "filters": {"brand": []}}, "filters.brand"),
    ("empty range", {"query": "a", "filters": {"price": {}}}, "filters.price"),
    ("null filter", {"query": "a", "filters": {"price": None}}, "filters.price"),
    ("number without end", {"query": "a", "filters": {"price": {"lt": 10**400}}}, "filters.price"),
    ("not within not", {"query": "a", "filters": {"price": {"not": {"not": 1}}}}, "filters.price"),
    ("picture of another type", {"picture": 5}, "picture"),
    ("empty picture", {"picture": ""}, "picture"),
    ("picture that is not base64", {"picture": "data:image/png;base64,AAAA"}, "picture"),
    ("picture that is no picture", {"picture": "aGVsbG8="}, "picture"),
    ("picture of another format", {"picture": gif()}, "picture"),
    ("picture cut off", {"picture": cut_jpeg()}, "picture"),
    ("picture of too many pixels", {"picture": png(6000, 6000)}, "picture"),
    ("picture bomb", {"picture": png(20_000, 20_000)}, "picture"),
    ("picture of too many bytes", {"picture": "AAAA" * 800_000}, "picture"),
    ("body as list", [], "body"),
    ("body as string", "red shoes", "body"),
    ("body as null", None, "body"),
]


@pytest.mark.parametrize(("body", "field"), [pytest.param(b, f, id=n) for n, b, f in BODIES])
def test_a_malformed_body_is_422_and_the_field_is_named(client: httpx.Client, body: Any, field: str) -> None:
    response = client.post("/recall", content=json.dumps(body), headers=JSON)
    problem = check_problem(response, 422)
    assert problem["errors"][0]["field"] == field
    assert problem["detail"].startswith(f"{field}: ")


@pytest.mark.parametrize("k", [1001, 10_001, 10**30, 10**4000])
def test_one_limit_of_k_is_told_however_large_it_is(client: httpx.Client, k: int) -> None:
    asked = {"query": "a", "k": k}
    answers = [
        client.post("/recall", json=asked),
        client.post("/recall/batch", json={"requests": [asked, asked]}),
    ]
    if k < 10**100:  # what a query string takes
        answers.append(client.get("/items/i1/similar", params={"k": k}))
    for answer in answers:
        told = check_problem(answer, 422)["errors"][0]
        assert told["reason"] == "Input should be less than or equal to 1000"


def test_numbers_that_are_none_are_refused(client: httpx.Client) -> None:
    for number in ("NaN", "Infinity", "-Infinity", "1e400"):
        content = '{"query": "a", "filters": {"price": {"lt": NUMBER}}}'.replace("NUMBER", number)
        response = client.post("/recall", content=content, headers=JSON)
        assert response.status_code in (400, 422)


def test_what_was_sent_is_not_sent_back(client: httpx.Client) -> None:
    response = client.post("/recall", json={"query": "a", "user_id": ["my secret"], "k": "my secret"})
    assert "secret" not in response.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = ["query", "user_id", "history", "k", "filters", "picture", "timeout_ms", "explain", "extra"]
near_valid = st.fixed_dictionaries(
    {"query": st.text(max_size=40)},
    optional={
        "user_id": st.text(max_size=10),
        "history": st.lists(
            st.fixed_dictionaries(
                {"item_id": st.text(max_size=6), "action": st.sampled_from(["click", "cart", "order"])},
                optional={"ts": st.datetimes().map(str) | st.datetimes().map(lambda t: t.isoformat() + "Z")},
            ),
            max_size=5,
        ),
        "k": st.integers(-1, 1200),
        "filters": st.dictionaries(
            st.sampled_from(["category", "brand", "price", "in_stock", "tags", "nope"]),
            json_values,
            max_size=3,
        ),
        "explain": st.booleans(),
    },
)


@given(body=near_valid | st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=6) | json_values)
def test_no_json_makes_it_fail(client: httpx.Client, body: Any) -> None:
    content = json.dumps(body).encode()
    response = client.post("/recall", content=content, headers=JSON)
    assert response.status_code in (200, 400, 422), (body, response.text)
    if response.status_code != 200:
        check_problem(response, response.status_code)


@given(content=st.binary(max_size=200))
def test_no_bytes_make_it_fail(client: httpx.Client, content: bytes) -> None:
    response = client.post("/recall", content=content, headers=JSON)
    assert response.status_code in (200, 400, 422), response.text
