"""POST /recall, /recall/batch and GET similar against a running server, both routes and every field."""

from __future__ import annotations

import concurrent.futures
import json

import httpx
import pytest

from service.http.answers import BatchAnswer, RecallAnswer
from tests.support import shop
from tests.support.answers import check_problem, read

ITEMS = {item["id"]: item for item in shop.items()}


def recall(client: httpx.Client, headers: dict[str, str] | None = None, **body: object) -> RecallAnswer:
    response = client.post("/recall", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return read(RecallAnswer, response.content)


def test_answers_with_the_right_items_and_every_field_of_the_contract(client: httpx.Client) -> None:
    answer = recall(client, query="red running shoes", k=3)
    assert {ITEMS[i["item_id"]]["category"] for i in answer["items"]} == {"Shoes > Running"}
    assert [i["score"] for i in answer["items"]] == sorted(
        (i["score"] for i in answer["items"]), reverse=True
    )
    assert answer["model_version"] == answer["index_version"].rpartition(".")[0]
    assert answer["variant"] == {"towers": "control", "merge": "score"}
    assert answer["routes"]["q2i"]["status"] == "ok"
    assert answer["routes"]["q2i"]["returned"] == 3
    assert answer["routes"]["q2i"]["coverage"] == 1.0
    assert (answer["partial"], answer["degraded"], answer.get("explain")) == (False, [], None)


def test_a_hit_and_a_miss_answer_alike(client: httpx.Client) -> None:
    first = recall(client, query="a query of its own: wool hat", k=5, explain=True)
    second = recall(client, query="A  query of its own: WOOL hat", k=5, explain=True)
    assert (first["explain"]["cache"], second["explain"]["cache"]) == ("miss", "l1")
    assert first["items"] == second["items"]


def test_both_routes_answer_and_keep_their_sources(client: httpx.Client) -> None:
    answer = recall(
        client, query="hiking boots", k=10, history=[{"item_id": "i12", "action": "cart"}], explain=True
    )
    routes = {source["route"] for item in answer["items"] for source in item["sources"]}
    assert routes == {"q2i", "i2i"}
    assert answer["routes"]["i2i"]["returned"] > 0
    triggers = {s.get("trigger") for item in answer["items"] for s in item["sources"] if s["route"] == "i2i"}
    assert triggers == {"i12"}
    both = [item for item in answer["items"] if {s["route"] for s in item["sources"]} == {"q2i", "i2i"}]
    assert both, "an item that both routes found keeps both sources"
    assert answer["explain"]["portrait"] == {"used": ["i12"], "unknown": [], "stored": False}


def test_without_history_the_head_of_q2i_triggers(client: httpx.Client) -> None:
    answer = recall(client, query="green tea cup", k=10, explain=True)
    assert {t["origin"] for t in answer["explain"]["triggers"]} == {"head"}
    assert answer["routes"]["i2i"]["status"] == "ok"


def test_history_moves_the_answer(client: httpx.Client) -> None:
    plain = recall(client, query="shoes", k=5)
    green = [{"item_id": f"i{n}", "action": "order"} for n in (6, 7, 8, 18, 19, 20)]
    personal = recall(client, query="shoes", k=5, history=green)
    assert [i["item_id"] for i in plain["items"]] != [i["item_id"] for i in personal["items"]]


def test_filters_hold_for_every_item_of_both_routes(client: httpx.Client) -> None:
    filters = {"category": ["shoes"], "price": {"lte": 30}, "in_stock": True, "brand": {"not": ["acme"]}}
    answer = recall(client, query="red running shoes", k=50, filters=filters)
    assert answer["items"]
    for item in answer["items"]:
        found = ITEMS[item["item_id"]]
        assert found["category"].startswith("Shoes")
        assert found["price"] <= 30
        assert found["in_stock"]
        assert found["brand"] != "acme"


def test_browse_by_history_alone(client: httpx.Client) -> None:
    answer = recall(client, query="  ", k=5, history=[{"item_id": "i40", "action": "order"}])
    assert answer["items"]
    assert answer["routes"]["i2i"]["status"] == "ok"


def test_browse_with_a_history_that_nobody_knows_is_empty_and_says_so(client: httpx.Client) -> None:
    answer = recall(client, k=5, history=[{"item_id": "gone", "action": "click"}])
    assert answer["items"] == []
    assert answer["degraded"] == ["history_unknown", "nothing_to_search_by"]
    assert answer["routes"]["q2i"]["status"] == "skipped"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_alone_finds_items_of_its_colour(client: httpx.Client, kind: str) -> None:
    answer = recall(client, picture=shop.picture_base64("blue", kind=kind), k=3)
    assert {ITEMS[item["item_id"]]["colour"] for item in answer["items"]} == {"blue"}


def test_a_picture_beside_a_query_changes_the_answer(client: httpx.Client) -> None:
    plain = recall(client, query="shoes", k=12)
    red = recall(client, query="shoes", picture=shop.picture_base64("red"), k=12)
    assert [i["item_id"] for i in plain["items"]] != [i["item_id"] for i in red["items"]]


def test_explain_tells_gate_triggers_cache_and_timings(client: httpx.Client) -> None:
    answer = recall(client, query="Rain  Jacket", k=5, explain=True)
    assert answer["explain"]["query"] == "rain jacket"
    assert set(answer["explain"]["gate"]) == {"vbert", "light_bert", "ftatt"}
    assert {"features", "fusion", "q2i", "merge"} <= set(answer["explain"]["stages_ms"])
    assert answer["explain"]["waited_ms"] >= 0
    assert 0 <= answer["explain"]["load"] <= 1


def test_k_above_the_catalogue_gives_all_of_it_once(client: httpx.Client) -> None:
    answer = recall(client, query="shoes", k=1000)
    ids = [item["item_id"] for item in answer["items"]]
    assert sorted(ids) == sorted(ITEMS)


def test_the_same_request_is_answered_the_same(client: httpx.Client) -> None:
    body = {"query": "black hat", "k": 30, "history": [{"item_id": "i3", "action": "click"}]}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: recall(client, **body), range(24)))
    first: dict[tuple[str, ...], object] = {}  # a machine that is busy with others has some do without a part
    for answer in answers:
        assert answer["items"] == first.setdefault(tuple(answer["degraded"]), answer["items"])


# -- experiments ------------------------------------------------------------------------------------------


def test_the_header_chooses_bundle_and_index(client: httpx.Client) -> None:
    control = recall(client, query="tea cup", k=3)
    treatment = recall(client, {"X-Experiment": "towers=treatment"}, query="tea cup", k=3)
    assert treatment["variant"]["towers"] == "treatment"
    assert treatment["model_version"] != control["model_version"]
    assert treatment["index_version"].startswith(treatment["model_version"])


def test_a_variant_changes_the_merge(client: httpx.Client) -> None:
    answer = recall(client, {"X-Experiment": "merge=rrf"}, query="tea cup", k=3)
    assert answer["variant"] == {"towers": "control", "merge": "rrf"}
    assert max(item["score"] for item in answer["items"]) <= round(2 / 61, 6)


def test_unknown_experiments_are_ignored_counted_and_reported(client: httpx.Client) -> None:
    def count(kind: str) -> float:
        line = next(
            line
            for line in client.get("/metrics").text.splitlines()
            if line.startswith(f'mrse_experiment_unknown_total{{kind="{kind}"}}')
        )
        return float(line.split()[1])

    before = count("experiment"), count("variant")
    response = client.post(
        "/recall",
        json={"query": "tea cup"},
        headers={"X-Experiment": "merge=rrf, colour=<b>, towers=nine"},
    )
    assert response.status_code == 200
    applied = response.headers["x-experiment-applied"]
    assert applied == 'towers=control,merge=rrf; ignored="colour=_b_,towers=nine"'
    assert (count("experiment"), count("variant")) == (before[0] + 1, before[1] + 1)


# -- batch ------------------------------------------------------------------------------------------------


def test_a_batch_answers_each_as_if_alone(client: httpx.Client) -> None:
    queries = ["red running shoes", "tea cup", "rain jacket", "wool hat"] * 4
    response = client.post(
        "/recall/batch",
        json={"requests": [{"query": query, "k": 4} for query in queries]},
        headers={"X-Request-Id": "b"},
    )
    assert response.status_code == 200
    batch = read(BatchAnswer, response.content)
    assert [entry["status"] for entry in batch["results"]] == [200] * len(queries)
    for place, (query, entry) in enumerate(zip(queries, batch["results"], strict=True)):
        assert entry["answer"]["request_id"] == f"b.{place}"
        assert entry["answer"]["items"] == recall(client, query=query, k=4)["items"]


def test_a_malformed_entry_refuses_the_batch_and_is_named(client: httpx.Client) -> None:
    requests = [{"query": "a"}, {"query": "b"}, {"query": "c"}, {"query": "x" * 513}]
    response = client.post("/recall/batch", json={"requests": requests})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "requests.3.query"


def test_an_entry_with_a_bad_filter_is_named(client: httpx.Client) -> None:
    response = client.post("/recall/batch", json={"requests": [{"query": "a", "filters": {"nope": 1}}]})
    assert response.json()["errors"][0]["field"] == "requests.0.filters.nope"


def test_a_large_batch_is_read_entry_by_entry_and_means_the_same(client: httpx.Client) -> None:
    seen = {"item_id": "i1", "action": "click", "ts": "2026-11-19T10:00:00Z"}
    large = {"query": "tea cup", "k": 3, "history": [seen] * 200}
    response = client.post("/recall/batch", json={"requests": [large] * 8})
    batch = read(BatchAnswer, response.content)
    alone = recall(client, **large)["items"]
    assert [entry["answer"]["items"] for entry in batch["results"]] == [alone] * 8
    wrong = {**large, "history": [seen] * 199 + [{**seen, "ts": 7}]}
    response = client.post("/recall/batch", json={"requests": [large] * 7 + [wrong]})
    assert response.json()["errors"][0]["field"] == "requests.7.history.199.ts"
    for padding, status in (('"x": 1', 422), ("[1", 400), ('"a": ' + "[" * 300 + "]" * 300, 422)):
        content = '{"requests": [' + (json.dumps(large) + ", ") * 5 + "{" + padding + "}]}"
        response = client.post("/recall/batch", content=content, headers={"Content-Type": "application/json"})
        check_problem(response, status)


def test_the_items_of_a_batch_have_a_bound_together(client: httpx.Client) -> None:
    response = client.post("/recall/batch", json={"requests": [{"query": "a", "k": 1000}] * 17})
    assert "17000 items are asked for in all; at most 16000" in response.json()["detail"]
    mixed = [{"query": "a", "k": 1000}] * 20 + [{"query": "a", "k": 2000}]
    (error,) = client.post("/recall/batch", json={"requests": mixed}).json()["errors"]
    assert error == {"field": "requests.20.k", "reason": "Input should be less than or equal to 1000"}


def test_what_fails_while_a_batch_runs_fails_alone(client: httpx.Client) -> None:
    requests = [{"query": "tea cup"}, {"picture": "bm90IGEgcGljdHVyZQ=="}, {"query": "wool hat"}]
    response = client.post("/recall/batch", json={"requests": requests})
    assert response.status_code == 200
    batch = read(BatchAnswer, response.content)
    assert [entry["status"] for entry in batch["results"]] == [200, 422, 200]
    problem = batch["results"][1]["problem"]
    assert problem["errors"][0]["field"] == "picture"


def test_a_batch_has_a_bound(client: httpx.Client) -> None:
    response = client.post("/recall/batch", json={"requests": [{"query": "a"}] * 65})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "requests"
    assert client.post("/recall/batch", json={"requests": []}).status_code == 422
    assert client.post("/recall/batch", json={"requests": [{"query": "a", "k": 1}] * 64}).status_code == 200
