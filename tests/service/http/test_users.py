"""A user is forgotten on request, and what was changed by whom is written down."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import httpx
from redis import Redis

from artifacts.cache.keys import user_key
from devtools.redis import RedisServer
from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving

TOKEN = {"authorization": "Bearer hush"}


def test_a_user_is_forgotten(demo: Demo, tmp_path: Path, redis: RedisServer) -> None:
    groups = {
        "server": {"admin_token": "hush"},
        "redis": {"url": redis.url, "timeout_ms": 2000},
        "access": {"audit": tmp_path / "audit.jsonl"},
    }
    settings = make_settings(demo.bundle.path, demo.index, **groups)
    keys = {user: user_key(demo.bundle.version, user) for user in ("user/4711 ü", "u2")}
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        with Redis.from_url(redis.url) as store:
            for key in keys.values():
                store.set(key, b"portrait")
            path = "/users/user%2F4711%20%C3%BC"
            assert client.delete(path).status_code == 401
            assert store.exists(*keys.values()) == 2
            forgotten = client.delete(path, headers=TOKEN)
            assert forgotten.status_code == 200
            assert forgotten.json()["portraits"] == 1
            assert any("mrse produce forget" in said for said in forgotten.json()["not_reached"])
            assert store.exists(*keys.values()) == 1
        assert client.delete(path, headers=TOKEN).json()["portraits"] == 0
        assert client.delete(f"/users/{'u' * 129}", headers=TOKEN).status_code == 422
        redis.kill()
        away = client.delete("/users/u2", headers=TOKEN)
        assert away.status_code == 503
        assert "may still be there" in away.json()["detail"]
    audited = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["outcome"] for line in audited] == ["begun", "done"] * 2 + ["begun", "failed"]
    assert "4711" not in (tmp_path / "audit.jsonl").read_text()


def test_who_changed_what_is_written_down(demo: Demo, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    settings = make_settings(
        demo.bundle.path,
        copytree(demo.index, tmp_path / "index"),
        server={"admin_token": "hush"},
        access={"audit": audit},
    )
    with serving(settings) as server, httpx.Client(base_url=server.url, headers=TOKEN) as client:
        removal = client.post("/admin/index/remove", json={"ids": ["i1", "i2"]})
        assert removal.status_code == 200
        begun, done = map(json.loads, audit.read_text().splitlines())
        assert (begun["who"], begun["what"], begun["first"]) == ("admin-token", "remove", ["i1", "i2"])
        assert done["outcome"] == "done"
        assert {begun["request_id"], done["request_id"]} == {removal.headers["x-request-id"]}
        refused = {"items": [{"id": "i3", "attributes": {"no such": 1}}]}
        assert client.post("/admin/index/update", json=refused).status_code == 422
        assert json.loads(audit.read_text().splitlines()[-1])["outcome"] == "failed"
        audit.unlink()
        audit.mkdir()  # lines cannot be written: nothing is changed
        answer = client.post("/admin/index/remove", json={"ids": ["i4"]})
        assert answer.status_code == 503
        assert client.get("/items/i4/similar").status_code == 200
        assert "mrse_audit_failures_total 1.0" in client.get("/metrics").text
        audit.rmdir()
        assert client.post("/admin/index/remove", json={"ids": ["i4"]}).status_code == 200
        assert client.get("/items/i4/similar").status_code == 404
