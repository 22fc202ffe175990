"""Our Vespa client beside pyvespa's `VespaAsync` and httpx, on the same server with the same answers.

Each client keeps a number of queries under way and turns every answer into ids and cosines. Rounds of the
clients alternate, so that other work on the machine falls on all alike, and the median round is compared.
Each has one core, as a worker of the service has, and uvloop; pyvespa's threads would else borrow cores.
The others get their request body ready made, ours builds its own. Then our client meets a server that
never answers, to see how far it overruns its deadline.

Where Java and Maven are there, a full run also compares the clients on Vespa's own container over exact
content nodes (`devtools/vespa_peer`): no claim, since there the container's speed is most of what is seen. It
also counts queries and bytes of whole recalls there, see `benchmarks.vespa_recall`.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvloop

from benchmarks.report import Claim, arguments, finish
from benchmarks.resources import one_core
from benchmarks.vespa_recall import claims_of
from benchmarks.vespa_recall import run as recalls
from common.deadline import Deadline
from devtools.vespa_peer.build import missing
from index.port import IndexUnavailable
from index.vespa.client import VespaIndex
from index.vespa.query import Body, QueryBuilder
from index.vespa.settings import EndpointSettings, VespaSettings
from index.vespa.version import Version

VERSION = Version("bench-00000000", 128, {})
HITS = 200
UNDER_WAY = 16
Search = Callable[[], Awaitable[int]]

VECTOR = np.eye(1, 128, dtype=np.float32)


def settings(url: str) -> VespaSettings:
    """Settings of the measured index."""
    # A circuit that opens would answer at once, where the deadline is to be seen.
    endpoints = EndpointSettings((url,), breaker_failures=10**9)
    return VespaSettings(endpoints, VERSION)


def body(url: str) -> Body:
    """What our client sends, for the others to send."""
    return QueryBuilder(VERSION).nearest(VECTOR[0], HITS, None, 5.0)


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Search]:
    """`VespaIndex`."""
    async with VespaIndex(settings(url)) as index:

        async def search() -> int:
            (found,) = await index.search(VECTOR, HITS, None, Deadline.after(5.0))
            return len(found.ids)

        yield search


@asynccontextmanager
async def pyvespa(url: str) -> AsyncIterator[Search]:
    """pyvespa's asynchronous client, over HTTP/1.1 as the others: our server speaks no HTTP/2."""
    from vespa.application import Vespa

    sent: Any = body(url)
    async with Vespa(url=url).asyncio(connections=UNDER_WAY, http2_only=False) as client:

        async def search() -> int:
            return len(_pairs((await client.query(body=sent)).json["root"]))

        yield search


@asynccontextmanager
async def plain_httpx(url: str) -> AsyncIterator[Search]:
    """httpx as it comes."""
    sent = body(url)
    async with httpx.AsyncClient(base_url=url, timeout=5.0) as client:

        async def search() -> int:
            return len(_pairs((await client.post("/search/", json=sent)).json()["root"]))

        yield search


def _pairs(root: dict[str, Any]) -> list[tuple[str, float]]:
    return [
        (item, 2.0 - 1.0 / hit["relevance"])
        for hit in root["children"]
        for item in hit["fields"]["matchfeatures"]["item"]
    ]


CLIENTS = {"ours": ours, "pyvespa": pyvespa, "httpx": plain_httpx}


async def throughput(search: Search, seconds: float) -> tuple[float, float]:
    """Queries a second with `UNDER_WAY` at once, and CPU microseconds a query in this process."""
    done, running = 0, True

    async def one() -> None:
        nonlocal done
        while running:
            assert await search() == HITS
            done += 1

    tasks = [asyncio.create_task(one()) for _ in range(UNDER_WAY)]
    before = _cpu()
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed, counted, cpu = time.perf_counter() - started, done, _cpu() - before
    running = False
    await asyncio.gather(*tasks)
    return counted / elapsed, cpu / max(1, counted) * 1e6


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def compare(url: str, rounds: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Rounds of every client in turn: queries a second of each round, and their median."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in CLIENTS}
    for _ in range(rounds):
        for name, opened in CLIENTS.items():
            async with opened(url) as search:
                await asyncio.gather(*(search() for _ in range(UNDER_WAY)))  # connections are made
                rates[name].append(await throughput(search, seconds))
    return {
        name: {
            "queries_per_s": [round(rate) for rate, _ in each],
            "median_queries_per_s": statistics.median(rate for rate, _ in each),
            "median_cpu_us": round(statistics.median(cpu for _, cpu in each)),
        }
        for name, each in rates.items()
    }


async def compare_on_container(rounds: int, seconds: float) -> dict[str, dict[str, Any]]:
    """As `compare`, on Vespa's own container with 1,000 documents."""
    from artifacts.embeddings import EmbeddingsFolder
    from devtools.embeddings import make_embeddings
    from devtools.vespa_peer.peer import start_peer
    from index.vespa.feed.feeder import feed
    from index.vespa.feed.journal import Journal
    from index.vespa.feed.source import EmbeddingsSource
    from index.vespa.package.layout import Layout
    from index.vespa.package.render import render

    with tempfile.TemporaryDirectory() as folder:
        embeddings = make_embeddings(
            Path(folder) / "embeddings", rows=1000, bundle_version=VERSION.bundle_version, attributes={}
        )
        application = render(Path(folder) / "package", [VERSION], Layout())
        with start_peer(application) as peer:
            source = EmbeddingsSource(EmbeddingsFolder.open(embeddings))
            await feed(settings(peer.url), source, Journal(None, "bench", 1))
            await compare(peer.url, 1, seconds)  # the JVM warms up
            return await compare(peer.url, rounds, seconds)


async def overrun(url: str, searches: int, budget: float) -> list[float]:
    """Milliseconds by which searches outlive their deadline when no answer comes, four at a time."""
    late: list[float] = []
    async with VespaIndex(settings(url)) as index:

        async def one() -> None:
            started = time.perf_counter()
            try:
                await index.search(VECTOR, HITS, None, Deadline.after(budget))
            except IndexUnavailable:
                late.append((time.perf_counter() - started - budget) * 1000)

        for _ in range(searches // 4):
            await asyncio.gather(*(one() for _ in range(4)))
    return late


def main() -> int:
    """Measure, print, write."""
    options = arguments("Our Vespa client beside pyvespa and httpx.")
    rounds, seconds, searches = (3, 0.4, 40) if options.quick else (15, 1.0, 400)
    command = [sys.executable, "-m", "benchmarks.vespa_server", str(HITS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            answering, silent = (f"http://127.0.0.1:{port}" for port in server.stdout.readline().split())
            with one_core():
                runs: dict[str, Any] = uvloop.run(compare(answering, rounds, seconds))
            late = uvloop.run(overrun(silent, searches, 0.05))
        finally:
            server.stdin.close()
    reason = "a quick run" if options.quick else missing()
    if reason is None:
        runs["container"] = uvloop.run(compare_on_container(3, seconds))
        runs["recall"] = uvloop.run(recalls(50))
    else:
        print(f"not compared on Vespa's container: {reason}")
    for name in CLIENTS:
        run = runs[name]
        rate, cpu = run["median_queries_per_s"], run["median_cpu_us"]
        print(f"{name:<8} {rate:>7.0f} queries/s  {cpu:>5} us CPU a query")
    runs["deadline_overrun_ms"] = {
        "p50": round(statistics.median(late), 3),
        "p99": round(float(np.percentile(late, 99)), 3),
        "max": round(max(late), 3),
    }

    def over(other: str) -> float:
        """Median over the rounds of how many times as many queries ours answers."""
        pairs = zip(runs["ours"]["queries_per_s"], runs[other]["queries_per_s"], strict=True)
        return float(statistics.median(mine / theirs for mine, theirs in pairs))

    claims = [
        Claim.at_least("throughput, ours over pyvespa", over("pyvespa"), 2),
        Claim.at_least("throughput, ours over httpx", over("httpx"), 4),
        Claim.at_most("deadline overrun, 99 of 100", runs["deadline_overrun_ms"]["p99"], 10, "ms"),
    ]
    if "recall" in runs:
        claims += claims_of(runs["recall"])
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
