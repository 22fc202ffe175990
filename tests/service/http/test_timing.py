"""``Server-Timing`` names what the time went to."""

from __future__ import annotations

import re

import httpx

from service.http.timing import server_timing


def test_stages_are_told_in_milliseconds() -> None:
    stages = [("encode", 0.0012), ("q2i", 0.0005)]
    assert server_timing(stages, 2.5) == "total;dur=2.50, encode;dur=1.20, q2i;dur=0.50"
    assert server_timing((), 2.5) == "total;dur=2.50"


def test_answers_carry_it(client: httpx.Client) -> None:
    answer = client.post("/recall", json={"query": "shoes", "k": 3})
    shown = dict(re.findall(r"([\w-]+);dur=([\d.]+)", answer.headers["server-timing"]))
    assert float(shown["total"]) == round(answer.json()["took_ms"], 2)
    assert {"q2i", "merge"} <= set(shown)
    for other in (
        client.get("/items/i3/similar"),
        client.post("/recall/batch", json={"requests": [{"query": "shoes"}]}),
    ):
        assert re.fullmatch(r"total;dur=[\d.]+", other.headers["server-timing"])
