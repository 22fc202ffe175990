"""One content node of two is slow, down, or flaps, while searches go on: who gets what, until all is well.

Vespa's own container dispatches to two content nodes of ours, of one group: nobody else has the items of the
bad one. Each search has a deadline; its answer is compared with the items of both nodes and of each alone,
which are learned first. An answer is wrong where a score is not the item's cosine, or where items that a node
which answered has are missing; it is untold where items are missing and it says that it is whole.

Searches come at a steady rate, whatever became of those before: users do not ask faster because answers fail.
First comes a time without a fault, which tells what the machine alone does to them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.embeddings import EmbeddingsFolder
from benchmarks.report import Claim, arguments, finish
from common.arrays import F32
from common.deadline import Deadline
from devtools.embeddings import make_embeddings, unit_vectors
from devtools.vespa_peer.build import missing
from devtools.vespa_peer.peer import Peer, start_peer
from index.port import IndexUnavailable, Neighbours
from index.vespa.client import VespaIndex
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.source import EmbeddingsSource
from index.vespa.package.layout import Layout
from index.vespa.package.render import render
from index.vespa.settings import EndpointSettings, VespaSettings
from index.vespa.version import Version

ROWS, K = 400, 20
#: Milliseconds that a slow node takes, and seconds between turns of one that flaps.
SLOW_MS, TURN_S = 20_000, 2.0
#: How far a score may be from the cosine: vectors are rounded to bfloat16.
TOLERANCE = 4e-3
#: Milliseconds that an answer may be late: the event loop's turn, on a busy machine.
LATE_MS = 50.0
LAYOUT = Layout(config=("c1",), query=("q1",), feed=("f1",), groups=(("a1", "a2"),))


@dataclass
class Truth:
    """Vectors by row, and the rows of each node."""

    vectors: F32
    nodes: tuple[set[int], ...] = ()

    def verdict(self, query: F32, found: Neighbours) -> str:
        """``full``, ``partial``, or what is wrong."""
        rows = [int(item.removeprefix("item-")) for item in found.ids]
        cosines = self.vectors @ query
        if np.abs(cosines[rows] - found.scores).max(initial=0.0) > TOLERANCE:
            return "wrong score"

        def holds(among: set[int]) -> bool:
            best = sorted((float(cosines[row]) for row in among), reverse=True)[:K]
            return len(rows) == len(best) and np.allclose(best, found.scores, atol=TOLERANCE)

        if holds(set(range(len(self.vectors)))):
            return "full" if found.coverage == 1.0 else "partial"
        if not any(holds(each & set(range(len(self.vectors)))) for each in self.nodes):
            return "wrong items"
        return "partial" if found.coverage < 1.0 and found.degraded else "untold"


@dataclass
class Load:
    """Searches, ``rate`` a second; what came of them, and when they were asked for."""

    index: VespaIndex
    truth: Truth
    deadline: float
    rate: float
    outcomes: Counter[str] = field(default_factory=Counter)
    latest_ms: float = 0.0
    #: What the first failure of each reason said.
    said: dict[str, str] = field(default_factory=dict)
    #: Seconds that each search took.
    took: list[float] = field(default_factory=list)
    #: When each search was asked for, and its outcome, in the order in which they ended.
    seen: list[tuple[float, str]] = field(default_factory=list)
    _stop: bool = False

    async def one(self, query: F32) -> str:
        """One search and its outcome."""
        began = time.perf_counter()
        try:
            (found,) = await self.index.search(query[None], K, None, Deadline.after(self.deadline))
            outcome = self.truth.verdict(query, found)
        except IndexUnavailable as error:
            outcome = f"no answer: {error.reason}"
            self.said.setdefault(error.reason, str(error))
        took = time.perf_counter() - began
        self.latest_ms = max(self.latest_ms, (took - self.deadline) * 1000)
        self.took.append(took)
        self.outcomes[outcome] += 1
        self.seen.append((began, outcome))
        return outcome

    async def _ask(self, group: asyncio.TaskGroup) -> None:
        queries = unit_vectors(256, self.truth.vectors.shape[1], seed=100)
        began, turn = time.perf_counter(), 0
        while not self._stop:
            group.create_task(self.one(queries[turn % len(queries)]))
            turn += 1
            await asyncio.sleep(max(0.0, began + turn / self.rate - time.perf_counter()))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Searches that come until the block ends."""
        self._stop = False
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ask(group))
            try:
                yield
            finally:
                self._stop = True


async def _slow(peer: Peer, seconds: float) -> None:
    peer.fault("node1", "slow", SLOW_MS)
    await asyncio.sleep(seconds)


async def _down(peer: Peer, seconds: float) -> None:
    peer.fault("node1", "down")
    await asyncio.sleep(seconds)


async def _flapping(peer: Peer, seconds: float) -> None:
    for turn in range(max(2, round(seconds / TURN_S))):
        if turn % 2:
            peer.clear()
        else:
            peer.fault("node1", "down")
        await asyncio.sleep(TURN_S)


async def _nothing(peer: Peer, seconds: float) -> None:
    await asyncio.sleep(seconds)


FAULTS: dict[str, Callable[[Peer, float], Awaitable[None]]] = {
    "no fault": _nothing,
    "slow": _slow,
    "down": _down,
    "flapping": _flapping,
}


async def _learn(peer: Peer, index: VespaIndex, truth: Truth) -> None:
    """Which rows each node has: those that are found while the other one is away."""
    nodes = []
    for other in ("node1", "node0"):
        peer.fault(other, "down")
        query = unit_vectors(1, truth.vectors.shape[1], seed=3)
        for _ in range(600):
            with contextlib.suppress(IndexUnavailable):
                (found,) = await index.search(query, ROWS, None, Deadline.after(10))
                if found.coverage < 1:
                    break
            await asyncio.sleep(0.1)
        nodes.append({int(item.removeprefix("item-")) for item in found.ids})
        peer.clear()
        await _whole(index, query)
    truth.nodes = tuple(nodes)
    assert set().union(*nodes) == set(range(ROWS)), "each node has some"


async def _whole(index: VespaIndex, query: F32) -> None:
    for _ in range(600):
        with contextlib.suppress(IndexUnavailable):
            (found,) = await index.search(query, K, None, Deadline.after(10))
            if found.coverage == 1:
                return
        await asyncio.sleep(0.1)
    raise RuntimeError("the container did not take its node back")


async def measure(
    peer: Peer, index: VespaIndex, truth: Truth, seconds: float, deadline: float, rate: float
) -> dict[str, Any]:
    """Every fault in turn under load."""
    await _learn(peer, index, truth)
    runs: dict[str, Any] = {}
    for name, plant in FAULTS.items():
        load = Load(index, truth, deadline, rate)
        async with load.running():
            await plant(peer, seconds)
            peer.clear()
            cleared = time.perf_counter()
            count = len(load.seen)
            # Well again: all that were asked for half a second are whole.
            for _ in range(600):
                if _settled(load, count):
                    break
                await asyncio.sleep(0.05)
        bad = [at for at, outcome in load.seen if outcome != "full" and at > cleared]
        runs[name] = {
            "outcomes": dict(load.outcomes),
            "said": load.said,
            "latest_ms_over_deadline": round(load.latest_ms, 1),
            "took_ms": {
                f"p{share}": round(float(np.percentile(load.took, share)) * 1000, 1) for share in (50, 99)
            },
            "recovered_s": round(max(bad) - cleared, 2) if bad else 0.0,
        }
        print(name, runs[name], flush=True)
    return runs


def _settled(load: Load, since: int) -> bool:
    lately = [outcome for _, outcome in load.seen[max(since, len(load.seen) - 40) :]]
    return len(lately) == 40 and set(lately) == {"full"}


async def run(seconds: float, deadline: float, rate: float) -> dict[str, Any]:
    """Start the container over two nodes, feed it, measure."""
    vectors = unit_vectors(ROWS, 128, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        path = make_embeddings(Path(folder) / "embeddings", vectors=vectors, bundle_version="bench-00000000")
        source = EmbeddingsSource(EmbeddingsFolder.open(path))
        version = Version.from_embeddings(source.folder)
        with start_peer(render(Path(folder) / "package", [version], LAYOUT), nodes=2) as peer:
            settings = VespaSettings(EndpointSettings((peer.url,)), version)
            await feed(settings, source, Journal(None, "bench", 1))
            async with VespaIndex(settings) as index:
                runs = await measure(peer, index, Truth(vectors), seconds, deadline, rate)
                return {"seconds": seconds, "deadline_s": deadline, "searches_per_s": rate, **runs}


def claims_of(runs: dict[str, Any]) -> list[Claim]:
    """What is claimed."""
    claims = []
    for name in FAULTS:
        outcomes = runs[name]["outcomes"]
        asked = sum(outcomes.values())
        wrong = sum(outcomes.get(each, 0) for each in ("wrong score", "wrong items"))
        answered = outcomes.get("full", 0) + outcomes.get("partial", 0)
        claims += [
            Claim.at_most(f"{name}: answers that are wrong", wrong, 0),
            Claim.at_most(f"{name}: partial answers that do not say so", outcomes.get("untold", 0), 0),
            Claim.at_least(f"{name}: share of searches that are answered", answered / asked, 1.0),
            Claim.at_most(
                f"{name}: latest end over the deadline", runs[name]["latest_ms_over_deadline"], LATE_MS, "ms"
            ),
            Claim.at_most(f"{name}: until all is whole again", runs[name]["recovered_s"], 2.0, "s"),
        ]
    return claims


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "Searches while one content node of two is slow, down, or flaps.",
        (
            ("--deadline", {"type": float, "default": 0.5, "help": "seconds of each search"}),
            ("--rate", {"type": float, "default": 20.0, "help": "searches a second"}),
        ),
    )
    if (reason := missing()) is not None:
        print(reason)
        return 2
    runs = asyncio.run(run(4.0 if options.quick else 60.0, options.deadline, options.rate))
    return finish(claims_of(runs), runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
