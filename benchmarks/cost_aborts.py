"""Clients that leave at any moment, for `benchmarks.cost_fuzz`."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass


@dataclass(slots=True)
class Aborted:
    """What came of requests that were given up, and of those beside them."""

    cancelled: int = 0
    answered: int = 0
    crossed: int = 0


async def abort_many(port: int, requests: int, seed: int) -> Aborted:
    """Send requests and leave at any moment; every eighth client stays, and its answer must be its own."""
    found = Aborted()
    chance = random.Random(seed)
    numbers = iter(range(requests))

    async def clients() -> None:
        for number in numbers:
            with suppress(ConnectionError, EOFError, asyncio.IncompleteReadError):
                await _one(port, number, chance, found)

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(clients())
    return found


async def _one(port: int, number: int, chance: random.Random, found: Aborted) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(
        {"query": f"shoes {number % 5000}", "k": 1 + number % 50, "timeout_ms": 10_000}
    ).encode()
    head = f"POST /recall HTTP/1.1\r\nhost: localhost\r\nx-request-id: r{number}\r\n"
    head += "content-type: application/json\r\n"
    try:
        writer.write(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        if number % 8:
            await asyncio.sleep(chance.expovariate(250))
            found.cancelled += 1
            return
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        content = json.loads(await reader.readexactly(length))
        if content.get("status") in (503, 504):
            return
        found.answered += 1
        most = 1 + number % 50
        items = content.get("items", ())
        whole = len(items) == most or (
            "fewer_candidates" in content.get("degraded", ()) and len(items) < most
        )
        own = content["request_id"] == f"r{number}" and whole
        found.crossed += not own
    finally:
        writer.close()
