"""Endpoints are called with the raw request ahead of all other routes, and are documented all the same."""

from __future__ import annotations

import httpx
from fastapi import Response
from starlette.types import Receive, Scope, Send

from service.http.recall import post_recall
from service.http.routing import FixedPaths, RawRoute
from tests.service.http.test_health import value
from tests.support.serving import Server


def test_recall_is_the_first_route_and_is_documented(server: Server) -> None:
    first = server.app.router.routes[0]
    assert isinstance(first, RawRoute)
    assert first.endpoint is post_recall
    assert "/recall" in server.app.openapi()["paths"]


async def test_a_fixed_path_does_not_reach_the_router(server: Server) -> None:
    reached: list[str] = []

    async def router(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope.get("path", scope["type"]))
        await Response()(scope, receive, send)

    app = FixedPaths(router, server.app.router.routes[:4])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for path in ("/livez", "/items/i3/similar", "/items/{item_id:path}/similar"):
            await client.get(path)
        await client.get("/recall")  # a 405, as the router has it
    assert reached == ["/items/i3/similar", "/items/{item_id:path}/similar", "/recall"]


def test_a_route_is_counted_under_its_template_whatever_the_answer(client: httpx.Client) -> None:
    labels = {"route": "/recall", "method": "POST"}
    before = [value(client, "mrse_requests_total", status=status, **labels) for status in ("2xx", "4xx")]
    client.post("/recall", json={"query": "shoes"})
    client.post("/recall", json={"query": 7})
    after = [value(client, "mrse_requests_total", status=status, **labels) for status in ("2xx", "4xx")]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1]
