"""Pins and bans through the admin API: in every worker's next answer, audited, and refused in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.conftest import Demo
from tests.support.serving import Server, make_settings, serving

WITH_TOKEN = {"authorization": "Bearer hush"}


def settings(demo: Demo, folder: Path) -> Any:
    return make_settings(
        demo.bundle.path,
        demo.index,
        server={"admin_token": "hush"},
        rules={"path": folder / "rules.json"},
        access={"audit": folder / "audit"},
    )


@pytest.fixture
def server(demo: Demo, tmp_path: Path) -> Iterator[Server]:
    with serving(settings(demo, tmp_path)) as running:
        yield running


def recalled(server: Server, query: str = "wool hat") -> list[str]:
    answer = httpx.post(f"{server.url}/recall", json={"query": query, "k": 5}, timeout=60).json()
    return [item["item_id"] for item in answer["items"]]


def changed(server: Server, what: str, body: Any, status: int = 200) -> dict[str, Any]:
    url = f"{server.url}/admin/rules/{what}"
    response = httpx.post(url, json=body, headers=WITH_TOKEN, timeout=60)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_rules_hold_in_the_next_answer_of_every_worker(demo: Demo, server: Server, tmp_path: Path) -> None:
    with serving(settings(demo, tmp_path)) as second:
        first, *_, last = recalled(server)
        rule = {"query": "Wool  HAT", "pins": [last], "bans": [first]}
        assert changed(server, "upsert", {"rules": [rule]}) == {"changed": 1, "unknown": [], "rules": 1}
        for each in (server, second):
            found = recalled(each)
            assert found[0] == last
            assert first not in found
            assert len(found) == 5
        listed = httpx.get(f"{second.url}/admin/rules?query=wool%20hat", headers=WITH_TOKEN).json()
        assert listed == {"rules": [rule], "total": 1}
        gone = changed(second, "remove", {"queries": ["wool hat", "nothing"]})
        assert gone == {"changed": 1, "unknown": ["nothing"], "rules": 0}
        for each in (server, second):
            assert recalled(each)[0] == first
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [line["what"] for line in lines] == ["rules/upsert"] * 2 + ["rules/remove"] * 2
    assert [line["outcome"] for line in lines] == ["begun", "done"] * 2
    assert lines[0]["first"] == [last, first]
    assert lines[0]["who"] == "admin-token"
    assert "wool hat" not in json.dumps(lines).lower()


def test_a_file_that_a_person_writes_is_followed(server: Server, tmp_path: Path) -> None:
    first, second, *_ = recalled(server)
    (tmp_path / "rules.json").write_text(json.dumps({"rules": [{"query": "*", "bans": [first]}]}))
    assert recalled(server)[0] == second


def test_what_is_banned_everywhere_is_no_similar_item_either(
    demo: Demo, server: Server, tmp_path: Path
) -> None:
    def similar(k: int, url: str = server.url) -> list[str]:
        answer = httpx.get(f"{url}/items/i3/similar", params={"k": k}, timeout=60).json()
        return [item["item_id"] for item in answer["items"]]

    before = similar(6)
    banned = [before[0], before[2], "i3"]
    words = {"query": "wool hat", "bans": [before[1]]}
    changed(server, "upsert", {"rules": [{"query": "*", "bans": banned}, words]})
    left = [item for item in before if item not in banned]
    assert similar(4) == left, "as many as asked for; the bans of a query's words are not of this"
    assert 'mrse_controls_total{control="bans"} 1.0' in httpx.get(f"{server.url}/metrics").text
    off = settings(demo, tmp_path)
    off = off.model_copy(update={"recall": off.recall.model_copy(update={"rules": False})})
    with serving(off) as without:
        assert similar(4, without.url) == before[:4]


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("upsert", {"rules": [{"query": "a"}]}, "rules.0"),
        (
            "upsert",
            {"rules": [{"query": "a", "pins": ["i"]}, {"query": "A", "bans": ["j"]}]},
            "rules.1.query",
        ),
        ("upsert", {"rules": [{"query": "a", "pins": [str(n) for n in range(21)]}]}, "rules.0.pins"),
        ("upsert", {"rules": []}, "rules"),
        ("remove", {"queries": [""]}, "queries.0"),
        ("remove", {"queries": ["a"] * 1001}, "queries"),
    ],
)
def test_what_cannot_be_used_is_422_with_its_field(server: Server, what: str, body: Any, field: str) -> None:
    problem = changed(server, what, body, 422)
    assert problem["errors"][0]["field"].startswith(field), problem


def test_rules_need_a_key_and_a_file(demo: Demo, server: Server) -> None:
    assert httpx.get(f"{server.url}/admin/rules").status_code == 401
    with serving(make_settings(demo.bundle.path, demo.index, server={"admin_token": "hush"})) as other:
        problem = changed(other, "remove", {"queries": ["a"]}, 501)
        assert "rules.path" in problem["detail"]


def test_a_damaged_file_is_never_written_over(server: Server, tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text("{")
    problem = changed(server, "upsert", {"rules": [{"query": "a", "bans": ["i"]}]}, 422)
    assert "not JSON" in problem["errors"][0]["reason"] if "errors" in problem else problem["detail"]
    assert (tmp_path / "rules.json").read_text() == "{"


def test_the_rules_are_documented_where_they_are_open(server: Server) -> None:
    document = httpx.get(f"{server.url}/openapi.json").json()
    assert {"/admin/rules", "/admin/rules/upsert", "/admin/rules/remove"} <= set(document["paths"])
    assert "pins" in document["components"]["schemas"]["Rule"]["properties"]
