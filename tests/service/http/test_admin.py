"""Changes to the index through a running service: closed without a token, seen by the next query."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import httpx

from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving

WITH_TOKEN = {"authorization": "Bearer hush"}


def test_an_item_that_is_removed_is_gone_from_the_next_answer(demo: Demo, tmp_path: Path) -> None:
    index = copytree(demo.index, tmp_path / "index")
    settings = make_settings(demo.bundle.path, index, server={"admin_token": "hush"})
    ask = {"query": "red running shoes", "k": 5}
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        first = client.post("/recall", json=ask).json()["items"][0]["item_id"]
        removal = {"ids": [first]}
        refused = client.post("/admin/index/remove", json=removal)
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        unknown = client.post("/admin/index/remove?towers=none", json=removal, headers=WITH_TOKEN)
        assert unknown.status_code == 404
        done = client.post("/admin/index/remove", json=removal, headers=WITH_TOKEN)
        assert (done.status_code, done.json()["written"]) == (200, 1)
        assert first not in [item["item_id"] for item in client.post("/recall", json=ask).json()["items"]]


def test_what_is_withdrawn_is_withdrawn_from_every_arm(demo: Demo, tmp_path: Path) -> None:
    one, other = (copytree(demo.index, tmp_path / name) for name in ("one", "other"))
    second_arm = {"weight": 1, "forced": True, "bundle": str(demo.bundle.path), "index": str(other)}
    arms = {"control": {"weight": 1, "forced": True}, "treatment": second_arm}
    settings = make_settings(
        demo.bundle.path, one, server={"admin_token": "hush"}, experiments={"towers": arms}
    )
    with serving(settings) as server, httpx.Client(base_url=server.url, headers=WITH_TOKEN) as client:

        def found(arm: str, item: str) -> bool:
            headers = {"x-experiment": f"towers={arm}"}
            return client.get(f"/items/{item}/similar", headers=headers).status_code == 200

        ask = {"query": "red running shoes", "k": 5}
        first, second, *_ = [item["item_id"] for item in client.post("/recall", json=ask).json()["items"]]
        gone = client.post("/admin/index/remove", json={"ids": [first, "nobody"]}).json()
        each = {"written": 1, "unknown": ["nobody"]}
        assert gone == {"written": 2, "unknown": ["nobody"], "towers": {"control": each, "treatment": each}}
        assert not found("control", first)
        assert not found("treatment", first)
        gone = client.post("/admin/index/remove?towers=treatment", json={"ids": [second]}).json()
        assert (gone["written"], list(gone["towers"])) == (1, ["treatment"])
        assert found("control", second)
        assert not found("treatment", second)
        half = client.post("/admin/index/remove", json={"ids": [second]}).json()
        assert (half["written"], half["unknown"]) == (1, [])
        vectors = {"items": [{"id": "new", "vector": [1.0] * demo.bundle.manifest.dimensions.embedding_dim}]}
        whose = client.post("/admin/index/upsert", json=vectors)
        assert whose.status_code == 422
        assert "?towers=control or ?towers=treatment" in whose.json()["detail"]


def test_the_admin_api_is_documented_where_it_is_open(demo: Demo) -> None:
    settings = make_settings(demo.bundle.path, demo.index, server={"admin_token": "hush"})
    with serving(settings) as server:
        document = httpx.get(f"{server.url}/openapi.json").json()
        wrong = httpx.post(f"{server.url}/items/i7", json={})
    for name, model in (("upsert", "Upsert"), ("update", "Update"), ("remove", "Remove")):
        call = document["paths"][f"/admin/index/{name}"]["post"]
        body = call["requestBody"]["content"]["application/json"]
        assert body["schema"] == {"$ref": f"#/components/schemas/{model}"}
        assert body["examples"]
        assert model in document["components"]["schemas"]
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "DELETE, PUT"), "of all routes of the path"


def test_an_id_that_no_item_can_have_is_refused_before_anything_is_written_down(
    demo: Demo, tmp_path: Path
) -> None:
    index = copytree(demo.index, tmp_path / "index")
    settings = make_settings(demo.bundle.path, index, server={"admin_token": "hush"})
    with serving(settings) as server, httpx.Client(base_url=server.url, headers=WITH_TOKEN) as client:
        calls = {
            "upsert": {"items": [{"id": "i" * 513, "vector": "ADwA"}]},
            "update": {"items": [{"id": "i1", "attributes": {}}, {"id": "i" * 513}]},
            "remove": {"ids": ["i1", "i" * 513]},
        }
        fields = [
            client.post(f"/admin/index/{name}", json=body).json()["errors"][0]["field"]
            for name, body in calls.items()
        ]
    assert fields == ["items.0.id", "items.1.id", "ids.1"]


def test_there_is_no_admin_api_without_a_token(demo: Demo) -> None:
    with serving(make_settings(demo.bundle.path, demo.index)) as server:
        assert httpx.post(f"{server.url}/admin/index/remove", json={"ids": []}).status_code == 404
