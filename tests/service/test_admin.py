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


def test_there_is_no_admin_api_without_a_token(demo: Demo) -> None:
    with serving(make_settings(demo.bundle.path, demo.index)) as server:
        assert httpx.post(f"{server.url}/admin/index/remove", json={"ids": []}).status_code == 404
