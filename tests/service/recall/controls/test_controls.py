"""Controls through the service: what is asked for beside the query is what is given, whatever the filters."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from devtools.waiting import wait_for
from service.recall.boosts import Boost, boosted
from tests.service.conftest import Demo
from tests.service.http.test_health import value
from tests.support import shop
from tests.support.serving import Server, make_settings, memory_index, opener_in_memory, serving

ITEMS = {item["id"]: item for item in shop.items()}
RULES = [
    {"query": "red shoes", "pins": ["i40", "i59", "nope", "i2"], "bans": ["i0", "i1"]},
    {"query": "*", "bans": ["i33"]},
]


@pytest.fixture(scope="module")
def service(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Q2I alone, so that the whole order of the items is known; with rules."""
    rules = tmp_path_factory.mktemp("rules") / "rules.json"
    rules.write_text(json.dumps({"rules": RULES}))
    recall = {"i2i": {"enabled": False}}
    with serving(
        make_settings(demo.bundle.path, demo.index, recall=recall, rules={"path": rules})
    ) as running:
        yield running


@pytest.fixture(scope="module")
def ask(service: Server) -> Iterator[Any]:
    with httpx.Client(base_url=service.url, timeout=60) as client:

        def ask(status: int = 200, **body: Any) -> dict[str, Any]:
            response = client.post("/recall", json={"query": "hats and boots", **body})
            assert response.status_code == status, response.text
            answer: dict[str, Any] = response.json()
            return answer

        yield ask


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


filters = st.sampled_from(
    [
        {},
        {"brand": "acme"},
        {"colour": ["red", "blue"]},
        {"price": {"lt": 40}},
        {"in_stock": True, "category": "shoes"},
        {"brand": {"not": "orbit"}},
    ]
)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.sampled_from(["red shoes", "wool hat", "hats and boots"]),
    filters=filters,
    k=st.integers(1, 60),
    attribute=st.sampled_from(["brand", "colour", "price"]),
    most=st.integers(1, 6),
)
def test_a_limit_keeps_the_best_of_each_value_and_fills_k(  # type: ignore[no-untyped-def]
    ask, query, filters, k, attribute, most
) -> None:
    answer = ask(query=query, filters=filters, k=k, diversity={"attribute": attribute, "most": most})
    # All there are, in their order; rules hold too, and what is pinned counts.
    every = ids(ask(query=query, filters=filters, k=60))
    held: Counter[Any] = Counter()
    pinned = sum(item.get("pinned", False) for item in answer["items"])
    for item_id in every[:pinned]:
        held[ITEMS[item_id][attribute]] += 1
    expected = every[:pinned]
    for item_id in every[pinned:]:
        of = ITEMS[item_id][attribute]
        if held[of] < most:
            held[of] += 1
            expected.append(item_id)
    assert ids(answer) == expected[:k]
    assert answer["degraded"] == []


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    filters=filters,
    weight=st.floats(-1, 3),
    shape=st.sampled_from(["linear", "log"]),
    low=st.integers(0, 40),
    width=st.integers(1, 60),
)
def test_a_boost_reorders_what_was_found(ask, filters, weight, shape, low, width) -> None:  # type: ignore[no-untyped-def]
    boost = {"attribute": "price", "weight": weight, "shape": shape, "low": low, "high": low + width}
    plain = ask(filters=filters, k=60)["items"]
    answer = ask(filters=filters, k=60, boosts=[boost], explain=True)
    share = Boost(**boost).share(None)  # type: ignore[arg-type]
    expected = {
        item["item_id"]: boosted(item["score"], weight * share(ITEMS[item["item_id"]]["price"]))
        for item in plain
    }
    assert {item["item_id"]: item["score"] for item in answer["items"]} == expected
    assert ids(answer) == sorted(expected, key=lambda item: (-expected[item], item))
    told = answer["explain"]["controls"]["boosts"]
    assert told == {i: pytest.approx(weight * share(ITEMS[i]["price"]), abs=1e-6) for i in expected}


def test_pins_stand_first_and_bans_never(ask: Any) -> None:
    answer = ask(query="Red  shoes", k=10, explain=True)
    assert ids(answer)[:3] == ["i40", "i59", "i2"]
    assert [item.get("pinned") for item in answer["items"][:4]] == [True, True, True, None]
    assert not {"i0", "i1", "i33"} & set(ids(ask(query="red shoes", k=60)))
    assert len(ids(answer)) == 10
    told = answer["explain"]["controls"]
    assert told["pins"] == [
        {"item_id": "i40", "place": 1},
        {"item_id": "i59", "place": 2},
        {"item_id": "nope", "reason": "not in the index"},
        {"item_id": "i2", "place": 3},
    ]
    assert told["bans"]["listed"] == 3
    assert set(told["bans"]["left_out"]) <= {"i0", "i1", "i33"}
    assert "i33" not in ids(ask(query="wool hat", k=60))
    assert len(ids(ask(query="wool hat", k=59))) == 59


def test_pins_pass_the_filters_or_are_none(ask: Any) -> None:
    answer = ask(query="red shoes", k=60, filters={"price": {"lt": 60}}, explain=True)
    assert ids(answer)[:2] == ["i40", "i2"]
    assert all(ITEMS[item_id]["price"] < 60 for item_id in ids(answer))
    assert answer["explain"]["controls"]["pins"][1] == {
        "item_id": "i59",
        "reason": "does not pass the filters",
    }
    assert ids(ask(query="red shoes", k=1)) == ["i40"]


def test_fields_come_with_the_items(ask: Any) -> None:
    wanted = ["brand", "price", "in_stock", "tags", "category", "brand"]
    for item in ask(k=20, fields=wanted)["items"]:
        source = ITEMS[item["item_id"]]
        assert item["fields"] == {
            "brand": source["brand"],
            "price": source["price"],
            "in_stock": source["in_stock"],
            "tags": sorted(source["tags"]),
            "category": source["category"].lower(),
        }
    assert "fields" not in ask(k=1)["items"][0]


def test_the_columns_have_them_too(service: Server) -> None:
    accept = {"accept": "application/vnd.mrse.columnar+json"}
    body = {"query": "red shoes", "k": 5, "fields": ["price"]}
    items = httpx.post(f"{service.url}/recall", json=body, headers=accept, timeout=60).json()["items"]
    assert items["pinned"] == [True, True, True, False, False]
    assert items["fields"] == [{"price": ITEMS[item_id]["price"]} for item_id in items["item_id"]]
    plain = httpx.post(f"{service.url}/recall", json={"query": "hat", "k": 5}, headers=accept, timeout=60)
    assert set(plain.json()["items"]) == {"item_id", "score", "sources"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"fields": ["nothing"]}, "fields.0"),
        ({"fields": ["brand", "title"]}, "fields.1"),  # this index was built without texts
        ({"fields": ["brand"] * 33}, "fields"),
        ({"boosts": [{"attribute": "price", "weight": 1}, {"attribute": "brand", "weight": 1}]},
         "boosts.1.attribute"),
        ({"boosts": [{"attribute": "price", "weight": 99}]}, "boosts.0.weight"),
        ({"boosts": [{"attribute": "price", "weight": 1, "low": 5, "high": 4}]}, "boosts.0"),
        ({"boosts": [{"attribute": "price", "weight": 1}] * 9}, "boosts"),
        ({"diversity": {"attribute": "tags", "most": 1}}, "diversity.attribute"),
        ({"diversity": {"attribute": "category", "most": 1}}, "diversity.attribute"),
        ({"diversity": {"attribute": "brand", "most": 0}}, "diversity.most"),
        ({"diversity": {"attribute": "brand"}}, "diversity.most"),
        ({"weights": {"nothing": 1}}, "weights.nothing"),
        ({"weights": {"q2i": -1}}, "weights.q2i"),
        ({"weights": {"q2i": 11}}, "weights.q2i"),
        ({"weights": {}}, "weights"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_422_with_its_field(ask: Any, body: dict[str, Any], field: str) -> None:
    problem = ask(422, **body)
    named = problem.get("errors") or []
    assert any(error["field"].startswith(field) for error in named), problem


def test_a_weight_of_nothing_leaves_a_route_out(client: httpx.Client) -> None:
    body = {"query": "wool hat", "k": 10, "history": [{"item_id": "i3", "action": "click"}], "explain": True}
    both = client.post("/recall", json=body).json()
    without = client.post("/recall", json=body | {"weights": {"i2i": 0}}).json()
    assert without["routes"]["i2i"] == {
        "status": "skipped", "returned": 0, "coverage": 0.0, "took_ms": 0.0, "reason": "turned off",
    }  # fmt: skip
    assert without["explain"]["weights"] == {"i2i": 0.0}
    assert {s["route"] for item in without["items"] for s in item["sources"]} == {"q2i"}
    more = client.post("/recall", json=body | {"weights": {"i2i": 10}}).json()
    routes = [{s["route"] for s in item["sources"]} for item in more["items"]]
    assert "i2i" in routes[0]
    assert both["items"] != more["items"]


def test_each_control_is_counted(ask: Any, service: Server) -> None:
    def counts() -> dict[str, float]:
        names = ("weights", "boosts", "diversity", "pins", "bans", "fields")
        with httpx.Client(base_url=service.url) as client:
            return {name: value(client, "mrse_controls_total", control=name) for name in names}

    before = counts()
    ask(
        query="red shoes", k=60, weights={"q2i": 0.5}, boosts=[{"attribute": "price", "weight": 0.1}],
        diversity={"attribute": "brand", "most": 9}, fields=["brand"],
    )  # fmt: skip
    assert counts() == {name: count + 1 for name, count in before.items()}
    ask()
    assert counts()["boosts"] == before["boosts"] + 1


def test_settings_ask_for_what_requests_leave_open(demo: Demo) -> None:
    recall = {
        "boosts": [{"attribute": "price", "weight": 5, "high": 70}],
        "diversity": {"attribute": "brand", "most": 1},
    }
    with serving(make_settings(demo.bundle.path, demo.index, recall=recall)) as server:
        body: dict[str, Any] = {"query": "wool hat", "k": 9}
        answer = httpx.post(f"{server.url}/recall", json=body, timeout=60).json()
        assert sorted(ITEMS[item_id]["brand"] for item_id in ids(answer)) == ["acme", "orbit", "zenith"]
        body |= {"boosts": [], "diversity": {"attribute": "brand", "most": 3}}
        answer = httpx.post(f"{server.url}/recall", json=body, timeout=60).json()
        assert len(ids(answer)) == 9
        assert answer["items"][0]["score"] < 1


def test_an_index_that_gives_no_attributes_costs_the_controls_and_says_so(demo: Demo, tmp_path: Path) -> None:
    index = memory_index(demo.bundle)
    index.fail.add("values")
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"rules": RULES}))
    settings = make_settings(None, None, rules={"path": rules}, recall={"i2i": {"enabled": False}})
    body = {
        "query": "red shoes",
        "k": 40,
        "fields": ["price"],
        "boosts": [{"attribute": "price", "weight": 1}],
        "diversity": {"attribute": "price", "most": 1},
    }
    with serving(settings, opener_in_memory(demo.bundle, index)) as server:
        answer = httpx.post(f"{server.url}/recall", json=body, timeout=60).json()
    assert answer["degraded"] == ["controls_unavailable"]
    assert not {"i0", "i1", "i33"} & set(ids(answer))
    assert len(ids(answer)) == 40
    assert "fields" not in answer["items"][0]


def test_a_limit_that_few_searches_cannot_fill_is_told(demo: Demo) -> None:
    # Filters of this index match everything, so that asking again for other values brings nothing new at
    # once, but that is no reason to believe that there is nothing.
    index = memory_index(demo.bundle)
    index.coverage = 0.5
    settings = make_settings(None, None, recall={"i2i": {"enabled": False}})
    body = {"query": "red shoes", "k": 10, "diversity": {"attribute": "price", "most": 1}}
    with serving(settings, opener_in_memory(demo.bundle, index)) as server:
        index.prices = dict.fromkeys(ITEMS, 1.0)
        answer = httpx.post(f"{server.url}/recall", json=body, timeout=60).json()
    assert len(ids(answer)) == 1
    assert "diversity_short" in answer["degraded"]


@pytest.mark.parametrize(
    ("recall", "said"),
    [
        ({"boosts": [{"attribute": "brand", "weight": 1}]}, "recall.boosts.0.attribute: brand is a string"),
        ({"diversity": {"attribute": "nothing", "most": 1}}, "recall.diversity.attribute: 'nothing' is not"),
    ],
)
def test_settings_that_no_index_can_take_do_not_start(demo: Demo, recall: dict[str, Any], said: str) -> None:
    settings = make_settings(demo.bundle.path, demo.index, recall=recall)
    with serving(settings, ready=False) as server:
        wait_for(lambda: "cannot start" in server.runtime.progress)
        assert said in server.runtime.progress
