"""Calls of ``PUT /items`` for `benchmarks.put_items`, and who makes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import httpx
import orjson

from artifacts.shop.schema import Item

TOKEN = "bench"
HEADERS = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
#: Items of a call, and calls side by side.
BATCH, SIDE_BY_SIDE = 64, 2


def bodies(items: Sequence[Item], picture: Callable[[Item], str | None]) -> list[bytes]:
    """Calls that put them."""
    rows = [
        {
            "id": item.id,
            "title": item.title,
            "category": item.category,
            "description": item.description,
            "attributes": dict(item.attributes),
            **({} if (data := picture(item)) is None else {"picture": data}),
        }
        for item in items
    ]
    return [orjson.dumps({"items": rows[i : i + BATCH]}) for i in range(0, len(rows), BATCH)]


class Putting:
    """Puts calls one after another on some connections, until it is told to stop or there are none."""

    def __init__(self, url: str, calls: Sequence[bytes], again: bool) -> None:
        self._url = url
        self._calls = calls
        self._again = again
        self._next = 0
        self._lock = threading.Lock()
        self.stop = threading.Event()
        self.done = 0
        self.failed: list[str] = []
        #: Numbers of the calls that were answered by 200.
        self.acknowledged: list[int] = []

    def run(self) -> float:
        """Items a second."""
        threads = [threading.Thread(target=self._work) for _ in range(SIDE_BY_SIDE)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.done / (time.perf_counter() - began)

    def _work(self) -> None:
        with httpx.Client(base_url=self._url, headers=HEADERS, timeout=120) as client:
            while not self.stop.is_set():
                with self._lock:
                    place, self._next = self._next, self._next + 1
                if place >= len(self._calls) and not self._again:
                    return
                try:
                    answer = client.put("/items", content=self._calls[place % len(self._calls)])
                except httpx.TransportError as error:  # the service is away
                    with self._lock:
                        self.failed.append(repr(error))
                    return
                with self._lock:
                    if answer.status_code == 200:
                        self.done += answer.json()["written"]
                        self.acknowledged.append(place)
                    else:
                        self.failed.append(answer.text[:300])
