"""Every path stands below ``/v1`` too: routes, turns, rates, metrics and HEAD are the same there."""

from __future__ import annotations

import httpx
import pytest

from service.http.door import _guarded
from service.http.versions import unversioned
from tests.service.http.test_health import value


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/v1/recall", "/recall"),
        ("/recall", "/recall"),
        ("/v1/v1/recall", "/v1/recall"),
        ("/v1", "/v1"),
        ("/v10/recall", "/v10/recall"),
        ("/items/v1/similar", "/items/v1/similar"),
    ],
)
def test_one_version_leaves_the_path(path: str, plain: str) -> None:
    assert unversioned(path) == plain


def test_the_paths_below_a_version_answer_as_those_without(client: httpx.Client) -> None:
    body = {"query": "red running shoes", "k": 3}
    for path in ("/recall", "/items/i3/similar"):
        plain, below = (
            client.post(at, json=body) if path == "/recall" else client.get(at, params={"k": 3})
            for at in (path, f"/v1{path}")
        )
        assert below.status_code == plain.status_code == 200
        assert below.json()["items"] == plain.json()["items"]
    assert client.get("/v1/readyz").json() == {"status": "ready"}
    assert client.get("/v1/openapi.json").json()["servers"][0]["url"] == "/v1"
    for unknown in ("/v2/recall", "/v1/v1/recall"):
        assert client.post(unknown, json=body).status_code == 404


def test_they_are_counted_under_the_same_template(client: httpx.Client) -> None:
    labels = {"route": "/recall", "method": "POST", "status": "2xx"}
    before = value(client, "mrse_requests_total", **labels)
    client.post("/v1/recall", json={"query": "shoes"})
    assert value(client, "mrse_requests_total", **labels) == before + 1


@pytest.mark.parametrize("path", ["/recall", "/recall/batch", "/items/i3/similar"])
def test_they_wait_for_their_turn_too(path: str) -> None:
    method = "GET" if path.endswith("similar") else "POST"
    scopes = [{"path": at, "method": method} for at in (path, f"/v1{path}")]
    assert _guarded(scopes[1]) == _guarded(scopes[0]) is not None


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/livez", "/readyz", "/version", "/openapi.json", "/v1/items/i3/similar"]
)
def test_head_answers_as_get_without_the_body(client: httpx.Client, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/v1/items/i3/similar":  # whose time is never the same
        assert head.headers["content-length"] == str(len(got.content))


def test_head_of_what_is_posted_is_refused(client: httpx.Client) -> None:
    assert client.head("/v1/recall").status_code == 405
