"""By which answers the examples and shoppers of the demo are chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx

from cli.showcase import whole_answer

_WHOLE = {"items": [{"item_id": "i1"}, {"item_id": "i2"}], "degraded": ["popular_instead"]}
_LESS = {"items": [{"item_id": "i9"}], "degraded": ["no_i2i"]}


async def ask(*answers: tuple[int, dict[str, Any]], pauses_s: Sequence[float] = (0.0, 0.0)) -> Any:
    """What is taken, of a service that gives these answers one after another; and how often it was asked."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content)["query"] == "mug"
        status, body = left.pop(0)
        return httpx.Response(status, json=body)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://demo") as client:
        return await whole_answer(client, {"query": "mug"}, pauses_s), len(answers) - len(left)


async def test_what_is_less_than_asked_is_asked_again_so_that_each_demo_is_the_same() -> None:
    assert await ask((200, _LESS), (503, {}), (200, _WHOLE)) == (["i1", "i2"], 3)
    assert await ask((200, _LESS), (200, _LESS), (200, _LESS), (200, _WHOLE)) == (None, 3)
    assert await ask((422, {}), (200, _WHOLE)) == ([], 1)
