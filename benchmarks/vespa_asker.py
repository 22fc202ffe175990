"""One client of Vespa in a process of its own, for `benchmarks.vespa_client`: asks as many as it is told.

``python -P benchmarks/vespa_asker.py CLIENT URL`` prints one answer as it reads it, JSON, when it is ready.
Then each line on standard input is a number of queries; `UNDER_WAY` of them are under way at once, and the
seconds of the clock and of this process's processor time come back. The end of the input ends it.

It uses what ``PYTHONPATH`` gives for `index`: this commit's client, or that of a commit before.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
import orjson
import uvloop

from common.deadline import Deadline
from index.port import IndexUnavailable
from index.vespa.client import VespaIndex
from index.vespa.query import Body, QueryBuilder
from index.vespa.settings import EndpointSettings, VespaSettings
from index.vespa.version import Version

VERSION = Version("bench-00000000", 128, {})
HITS = 200
UNDER_WAY = 16
_TRIES = 5
#: Ids and cosines.
Found = list[tuple[str, float]]
Search = Callable[[], Awaitable[Found]]

VECTOR = np.eye(1, 128, dtype=np.float32)


def settings(url: str) -> VespaSettings:
    """Settings of the measured index."""
    # A circuit that opens would answer at once, where the deadline is to be seen.
    endpoints = EndpointSettings((url,), breaker_failures=10**9)
    return VespaSettings(endpoints, VERSION)


def body() -> Body:
    """What our client sends, for the others to send."""
    return QueryBuilder(VERSION).nearest(VECTOR[0], HITS, None, 5.0)


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Search]:
    """`VespaIndex`, which builds its own request each time."""
    async with VespaIndex(settings(url)) as index:

        async def search() -> Found:
            (found,) = await index.search(VECTOR, HITS, None, Deadline.after(30.0))
            return list(zip(found.ids, found.scores.tolist(), strict=True))

        yield search


@asynccontextmanager
async def pyvespa(url: str) -> AsyncIterator[Search]:
    """pyvespa's asynchronous client, over HTTP/1.1 as the others: our server speaks no HTTP/2."""
    from vespa.application import Vespa

    sent: Any = body()
    async with Vespa(url=url).asyncio(connections=UNDER_WAY, http2_only=False) as client:

        async def search() -> Found:
            return _pairs((await client.query(body=sent)).json["root"])

        yield search


@asynccontextmanager
async def plain_httpx(url: str) -> AsyncIterator[Search]:
    """httpx as it comes."""
    import httpx

    sent = body()
    async with httpx.AsyncClient(base_url=url, timeout=30.0) as client:

        async def search() -> Found:
            return _pairs((await client.post("/search/", json=sent)).json()["root"])

        yield search


def _pairs(root: dict[str, Any]) -> Found:
    return [
        (item, 2.0 - 1.0 / hit["relevance"])
        for hit in root["children"]
        for item in hit["fields"]["matchfeatures"]["item"]
    ]


CLIENTS = {"ours": ours, "pyvespa": pyvespa, "httpx": plain_httpx}


async def _ask(search: Search, queries: int) -> tuple[float, float]:
    """Seconds that so many queries took, by the clock and of the processor."""
    left = queries

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            found = await search()
            assert len(found) == HITS

    began = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one() for _ in range(UNDER_WAY)))
    return time.perf_counter() - began[0], time.process_time() - began[1]


async def _serve(name: str, url: str) -> None:
    async with CLIENTS[name](url) as search:
        # Connections are made here; on a machine that stalls for a second that may take another try.
        for _ in range(_TRIES):
            with suppress(IndexUnavailable):
                await _ask(search, 2 * UNDER_WAY)
                break
        print(orjson.dumps(await search()).decode(), flush=True)
        # Nothing else is to be done meanwhile, and a thread that reads would be one more to measure.
        for line in sys.stdin:
            print(orjson.dumps(await _ask(search, int(line))).decode(), flush=True)


if __name__ == "__main__":
    # As a worker of the service has it (service/app.py), and the same for all clients.
    gc.freeze()
    gc.set_threshold(20_000)
    if hasattr(os, "sched_setaffinity"):
        # As a worker of the service has; pyvespa's threads would else borrow cores.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    uvloop.run(_serve(sys.argv[1], sys.argv[2]))
