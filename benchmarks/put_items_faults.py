"""What `benchmarks.put_items` asks of faults: wrong items are told, and a kill loses nothing."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from artifacts.shop.schema import Item
from artifacts.shop.shop import Shop
from benchmarks.put_items_calls import BATCH, HEADERS, Putting, bodies
from benchmarks.servers import processes, server
from common.deadline import Deadline
from index.embedded.index import EmbeddedIndex


def wrong_items(url: str, shop: Shop) -> dict[str, Any]:
    """A call with good items and with wrong ones, and what became of each."""
    good = next(item for item in shop.items() if item.picture is not None)
    assert good.picture is not None
    photo = shop.picture(good.picture)
    broken = base64.b64encode(photo[: len(photo) // 2]).decode()
    noise = base64.b64encode(b"no picture at all").decode()
    row = {"title": good.title, "category": good.category}
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("picture", {**row, "id": "w0", "picture": broken}),
        ("picture", {**row, "id": "w1", "picture": noise}),
        ("picture", {**row, "id": "w2", "picture": "?"}),
        ("attributes.colour", {**row, "id": "w3", "attributes": {"colour": "red"}}),
        ("attributes.price", {**row, "id": "w4", "attributes": {"price": "cheap"}}),
        ("", {"id": "w5", "title": " "}),
        ("size", {**row, "id": "w6", "size": 3}),
    ]
    rows = [row | {"id": "good0"}, *(each for _, each in wrong), row | {"id": "good1"}]
    with httpx.Client(base_url=url, headers=HEADERS, timeout=120) as client:
        answer = client.put("/items", json={"items": rows})
        found = client.post("/recall", json={"query": good.title, "k": 200}).json()["items"]
        client.post("/items/delete", json={"ids": ["good0", "good1"]}).raise_for_status()
    body = answer.json()
    told = {each["id"]: [error["field"] for error in each["errors"]] for each in body["refused"]}
    expected = {
        each["id"]: [f"items.{place}.{field}".removesuffix(".")]
        for place, (field, each) in enumerate(wrong, start=1)
    }
    ids = {item["item_id"] for item in found}
    return {
        "status": answer.status_code,
        "told": told,
        "right": sum(told.get(item_id) == fields for item_id, fields in expected.items()),
        "wrong": len(expected),
        "good_found": len({"good0", "good1"} & ids),
    }


def killed(
    command: Sequence[str], port: int, work: Path, index: Path, items: Sequence[Item], seconds: float
) -> dict[str, int]:
    """A service is killed so long after it took the first new items; how many of them its index lacks."""
    new = [replace(item, id=f"{time.time_ns()}-{item.id}") for item in items]
    calls = bodies(new, lambda item: None)
    with server(command, port, "/readyz", work / "killed.log", patience_s=120) as group:
        putting = Putting(f"http://127.0.0.1:{port}", calls, again=False)

        def kill() -> None:
            until = time.monotonic() + 60
            while not putting.acknowledged and time.monotonic() < until:
                time.sleep(0.01)
            time.sleep(seconds)
            for pid in processes(group):
                os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        putting.run()
        killer.join()
    ids = [item.id for n in putting.acknowledged for item in new[n * BATCH : (n + 1) * BATCH]]

    async def held() -> int:
        opened = EmbeddedIndex.open(index, verify=True)
        known = (await opened.vectors(ids, Deadline.after(60))).ids
        await opened.close()
        return len(known)

    return {"acknowledged": len(ids), "lost": len(ids) - asyncio.run(held())}
