"""The requests of the chaos judge, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from artifacts.shop.shop import Shop

ADMIN_TOKEN = "chaos-0123456789abcdef0123456789"
TIMEOUT_MS, K = 500, 20
#: For the road: the client, the kernel and a machine of two cores that the servers share with it.
_ROAD_S = 0.1
#: Share of the items that an answer has in common with the one given when all was well.
_SAME = 0.9
_PRICES_FROM = 1_000_000


@dataclass(frozen=True)
class Ask:
    """One request; ``allowed`` are the items that its filter lets through, None for all."""

    body: bytes
    allowed: frozenset[str] | None = None


@dataclass
class Tally:
    """What came of the requests of a scenario."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """For table and report."""
        keys = ("requests", "in_time", "partial", "refused", "cut", "wrong", "dishonest")
        waits = np.asarray(self.seconds or [0.0]) * 1000
        return {
            **{key: self.counts[key] for key in keys},
            "p50_ms": round(float(np.percentile(waits, 50)), 1),
            "p99_ms": round(float(np.percentile(waits, 99)), 1),
            "words": dict(self.words),
            "examples": self.examples[:5],
        }


def make_asks(shop: Path, draw: random.Random, count: int = 400) -> list[Ask]:
    """Queries, filters, histories, users with a stored portrait, and browses of such users."""
    opened = Shop.open(shop)
    items = list(opened.items())
    events = [event for event in opened.events() if event.query]
    users = sorted({event.user for event in events if event.user is not None})
    queries = sorted({event.query for event in events})
    roots: dict[str, set[str]] = {}
    for item in items:
        if item.category:
            roots.setdefault(item.category.split(" > ")[0], set()).add(item.id)

    def history() -> list[dict[str, str]]:
        return [{"item_id": draw.choice(items).id, "action": "click"} for _ in range(draw.randint(1, 6))]

    asks = []
    for number in range(count):
        body: dict[str, Any] = {"query": draw.choice(queries), "k": K, "timeout_ms": TIMEOUT_MS}
        allowed = None
        match number % 5:
            case 1:
                root = draw.choice(sorted(roots))
                body["filters"], allowed = {"category": root}, frozenset(roots[root])
            case 2:
                body["history"] = history()
            case 3:
                body["user_id"] = draw.choice(users)
            case 4:
                body |= {"query": "", "user_id": draw.choice(users)}
        asks.append(Ask(orjson.dumps(body), allowed or frozenset(item.id for item in items)))
    return asks


class Load:
    """Requests at a fixed rate, with writes beside them.

    Args:
        url: of the service.
        asks: sent in turn.
        writes: whether prices are changed through the admin API meanwhile.
    """

    def __init__(self, url: str, asks: list[Ask], *, writes: bool) -> None:
        self._url = url
        self._asks = asks
        self._writes = writes
        self._known: dict[int, list[str]] = {}
        #: Of each item the last price that was acknowledged, and those sent after it whose fate is unknown.
        self.written: dict[str, tuple[int, set[int]]] = {}
        self._prices: Iterator[int] = itertools.count(_PRICES_FROM)

    async def learn(self) -> None:
        """Ask everything once while all is well: what later answers are compared with."""
        async with self._client() as client:
            for number, ask in enumerate(self._asks):
                patient = orjson.dumps(orjson.loads(ask.body) | {"timeout_ms": 10_000})
                for _ in range(20):  # a container that has just started is slow
                    answer = await client.post("/recall", content=patient, timeout=30)
                    told = answer.json()
                    if answer.status_code == 200 and not told["degraded"] and not told["partial"]:
                        break
                    await asyncio.sleep(0.2)
                else:
                    raise AssertionError(f"degraded though all is well: {answer.text}")
                self._known[number] = [item["item_id"] for item in told["items"]]

    async def run(self, seconds: float, rate: float) -> Tally:
        """Send for so long; wait for every answer."""
        tally = Tally()
        async with self._client() as client:
            writing = asyncio.create_task(self._write(client)) if self._writes else None
            started, sent = time.monotonic(), []
            for number in itertools.count():
                due = started + number / rate
                if due > started + seconds:
                    break
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                sent.append(asyncio.create_task(self._ask(client, number % len(self._asks), tally)))
            await asyncio.gather(*sent)
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
        return tally

    async def until_well(self, patience_s: float = 30) -> None:
        """Ask until nothing is degraded any more."""
        end = time.monotonic() + patience_s
        async with self._client() as client:
            tally = Tally()
            while time.monotonic() < end:
                tally = Tally()
                for number in range(40):
                    await self._ask(client, number, tally)
                if not tally.counts["partial"] + tally.counts["refused"] + tally.counts["cut"]:
                    return
                await asyncio.sleep(0.2)
        raise AssertionError(f"not well again: {tally.counts} {tally.words} {tally.examples}")

    async def lost(self) -> int:
        """Changes that were acknowledged and are not found."""
        missing = 0
        async with self._client() as client:
            for item, (acknowledged, later) in self.written.items():
                found = False
                for price in (acknowledged, *later):
                    body = {"query": "anything", "k": 5, "filters": {"price": price}, "timeout_ms": 5000}
                    answer = await client.post("/recall", content=orjson.dumps(body), timeout=30)
                    found = found or [each["item_id"] for each in answer.json()["items"]] == [item]
                missing += not found
        return missing

    def _client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=256, max_keepalive_connections=64)
        headers = {"Content-Type": "application/json"}
        return httpx.AsyncClient(base_url=self._url, limits=limits, timeout=10, headers=headers)

    async def _ask(self, client: httpx.AsyncClient, number: int, tally: Tally) -> None:
        ask, started = self._asks[number], time.monotonic()
        tally.counts["requests"] += 1
        try:
            answer = await client.post("/recall", content=ask.body)
        except httpx.TransportError as error:
            tally.counts["cut"] += 1
            tally.words[type(error).__name__] += 1
            return
        took = time.monotonic() - started
        tally.seconds.append(took)
        tally.counts["in_time"] += took <= TIMEOUT_MS / 1000 + _ROAD_S
        for word in self._judge(ask, number, answer):
            tally.counts[word] += 1
            if word in ("wrong", "dishonest"):
                tally.examples.append(f"{word}: {ask.body.decode()} → {answer.text[:600]}")
        if answer.status_code == 200:
            told = answer.json()
            tally.words.update(told["degraded"])
        else:
            tally.words[str(answer.status_code)] += 1

    def _judge(self, ask: Ask, number: int, answer: httpx.Response) -> list[str]:
        if answer.status_code != 200:
            problem = answer.headers.get("content-type", "").startswith("application/problem+json")
            return ["refused"] if problem and answer.status_code in (429, 503, 504) else ["wrong"]
        told = answer.json()
        ids = [item["item_id"] for item in told["items"]]
        if len(ids) != len(set(ids)) or len(ids) > K or not ask.allowed or not ask.allowed.issuperset(ids):
            return ["wrong"]
        if told["partial"] or told["degraded"]:
            return ["partial"]
        before = self._known[number]
        same = len(set(before) & set(ids)) / max(1, len(before))
        return [] if same >= _SAME and len(ids) == len(before) else ["dishonest"]

    async def _write(self, client: httpx.AsyncClient) -> None:
        items = sorted(next(iter(self._asks)).allowed or ())[:40]
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        for item in itertools.cycle(items):
            price = next(self._prices)
            body = {"items": [{"id": item, "attributes": {"price": price}}]}
            before = self.written.get(item)
            try:
                answer = await client.post("/admin/index/update", content=orjson.dumps(body), headers=headers)
                taken = answer.status_code == 200
            except httpx.TransportError:
                taken = False
            except asyncio.CancelledError:
                if before is not None:
                    before[1].add(price)
                raise
            if taken:
                self.written[item] = (price, set())
            elif before is not None:
                before[1].add(price)  # it may have been written or not
            await asyncio.sleep(0.05)
