"""Items that the user bought come back where the shop is one in which people buy again, and only there."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from service.http.answers import RecallAnswer
from tests.service.conftest import Demo
from tests.support.answers import read
from tests.support.serving import make_settings, serving

HISTORY = [{"item_id": f"i{n}", "action": "order"} for n in (3, 14, 40)]
OWN = {entry["item_id"] for entry in HISTORY}


@pytest.fixture(scope="module")
def again(demo: Demo) -> Iterator[httpx.Client]:
    recall = {"i2i": {"own_bonus": 2.0, "triggers": 50, "calibration": 0.0}}
    with (
        serving(make_settings(demo.bundle.path, demo.index, recall=recall)) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield client


def ask(client: httpx.Client, **body: object) -> RecallAnswer:
    response = client.post("/recall", json=body)
    assert response.status_code == 200, response.text
    return read(RecallAnswer, response.content)


def test_own_items_come_first_and_say_why(again: httpx.Client) -> None:
    answer = ask(again, history=HISTORY, k=10)
    assert {item["item_id"] for item in answer["items"][:3]} == OWN
    for item in answer["items"][:3]:
        own = [s for s in item["sources"] if s["route"] == "i2i" and s.get("trigger") == item["item_id"]]
        assert [s["rank"] for s in own] == [1]
        # As close to itself as can be, and 2 above its cosine to the query.
        assert own[0]["score"] == pytest.approx(1.0, abs=1e-2)
        assert item["score"] >= 1.0


def test_own_items_pass_the_filters_like_any_other(again: httpx.Client) -> None:
    answer = ask(again, history=HISTORY, k=10, filters={"category": ["Shoes"]})
    every = {
        item["item_id"]
        for item in ask(again, history=HISTORY, k=1000, filters={"category": ["Shoes"]})["items"]
    }
    assert {item["item_id"] for item in answer["items"] if item["score"] >= 1.0} == OWN & every
    assert OWN - every, "a filter that lets all of them through shows nothing"


def test_by_default_a_trigger_is_not_its_own_neighbour(client: httpx.Client) -> None:
    answer = ask(client, history=HISTORY, k=1000)
    assert not [
        source
        for item in answer["items"]
        for source in item["sources"]
        if source.get("trigger") == item["item_id"]
    ]
