"""What a recall costs on the way to Vespa: queries, round trips and bytes, beside what it took before.

Q2I and I2I run over Vespa's own container with two content nodes of ours, once by the rank profiles that
bring ids, vectors and cosines with the hits, once as packages without them are asked. Both must give the
same items. The third way has the answers gzipped (``vespa.compression``), as it is by default and as is
claimed of: fewer bytes, for time of the container's and the client's, which is told too. Milliseconds say
little of Vespa: our content nodes evaluate rank expressions one by one in Java, where most of them go.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from artifacts.bundle import Behaviour
from artifacts.embeddings import EmbeddingsFolder
from benchmarks.report import Claim, arguments, finish
from common.arrays import F32
from common.deadline import Deadline
from devtools.embeddings import make_embeddings
from devtools.vespa_peer.build import missing
from devtools.vespa_peer.peer import Peer, start_peer
from index.filters import Filter, parse_filter
from index.vespa.client import VespaIndex
from index.vespa.feed.feeder import feed
from index.vespa.feed.journal import Journal
from index.vespa.feed.source import EmbeddingsSource
from index.vespa.joined import JoinedVespaIndex
from index.vespa.package.layout import Layout
from index.vespa.package.render import render
from index.vespa.settings import EndpointSettings, VespaSettings
from index.vespa.tensors import unit_rows
from index.vespa.transport import Reply, Request, Transport
from index.vespa.version import Version
from service.recall.routes import ROUTES
from service.recall.routes.neighbours import NeighbourCache
from service.recall.routes.route import RouteRequest
from service.recall.run import run_routes

ITEMS, CLUSTERS, K = 4000, 40, 200
KINDS = ("history", "no history", "history and filters")
#: Rounds that do not count: how many hits are worth it is learned.
WARM = 5


class Counting(Transport):
    """Counts requests and their bytes, and how many rounds of them came one after another."""

    def __init__(self, settings: EndpointSettings) -> None:
        super().__init__(settings)
        self.reset()

    def reset(self) -> None:
        """Count from nothing."""
        self.queries = self.sent = self.received = self.rounds = self._under_way = 0

    async def send(self, endpoint: str, request: Request, budget: float) -> Reply:
        """See `Transport.send`."""
        self.rounds += not self._under_way
        self._under_way += 1
        try:
            reply = await super().send(endpoint, request, budget)
        finally:
            self._under_way -= 1
        self.queries += 1
        self.sent += len(request.body or b"")
        self.received += reply.received
        return reply


def clustered(random: np.random.Generator) -> F32:
    """Items around centres, as categories are: neighbours are near."""
    centres = unit_rows(random.standard_normal((CLUSTERS, 128), dtype=np.float32))
    noise = random.standard_normal((ITEMS, 128), dtype=np.float32) * np.float32(0.6 / np.sqrt(128))
    return unit_rows(centres[np.arange(ITEMS) % CLUSTERS] + noise)


async def recall(index: VespaIndex, query: F32, history: Sequence[str], filters: Filter | None) -> list[str]:
    """Ids that Q2I and I2I find."""
    nothing = NeighbourCache(index, 0, lambda known: None)
    request = RouteRequest(
        text="",
        user_id=None,
        embedding=query,
        k=K,
        filters=filters,
        history=[Behaviour(item, "click", None) for item in history],
        now=datetime.now(UTC),
        deadline=Deadline.after(30.0),
        tables={name: ROUTES[name].settings() for name in ("q2i", "i2i")},
        index=index,
        heads=nothing,
        neighbours=nothing,
        far=index if isinstance(index, JoinedVespaIndex) else None,
        common=not history,
    )
    outcomes = await run_routes(request, 0.0)
    assert all(outcome.status == "ok" for outcome in outcomes.values()), outcomes
    return sorted({item for outcome in outcomes.values() for item, _, _ in outcome.candidates})


async def measure(peer: Peer, version: Version, vectors: F32, rounds: int) -> dict[str, Any]:
    """Medians by the kind of request, of all ways; the second pass counts, when the container is warm."""
    await _measure(peer, version, vectors, max(5, rounds // 4))
    return await _measure(peer, version, vectors, rounds)


WAYS = ("before", "now", "gzipped")


@dataclass(slots=True)
class Way:
    """One way to ask, and what its recalls cost."""

    index: VespaIndex
    counting: Counting
    costs: list[tuple[int, int, int, float, float, float]] = field(default_factory=list)
    answers: list[list[str]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Medians; milliseconds of CPU are of this process, and of the container with its content nodes."""
        queries, rounds, moved, seconds, ours, theirs = zip(*self.costs, strict=True)
        return {
            "queries": statistics.median(queries),
            "most_queries": max(queries),
            "round_trips": statistics.median(rounds),
            "bytes": statistics.median(moved),
            "ms": round(statistics.median(seconds) * 1000, 2),
            "client_cpu_ms": round(statistics.median(ours) * 1000, 2),
            # A clock of 10 ms a tick: only the sum of many says something.
            "container_cpu_ms": round(statistics.mean(theirs) * 1000, 2),
        }


def opened(name: str, url: str, version: Version) -> Way:
    """The client of a way; ``gzipped`` is as it is by default."""
    before = name == "before"
    where = EndpointSettings((url,), compression=name == "gzipped")
    counting = Counting(where)
    settings = VespaSettings(where, replace(version, profiles=1) if before else version)
    made = VespaIndex if before else JoinedVespaIndex
    return Way(made(settings, transport=counting), counting)


async def _measure(peer: Peer, version: Version, vectors: F32, rounds: int) -> dict[str, Any]:
    runs: dict[str, Any] = {}
    filters = parse_filter({"price": {"lt": 60}}, version.attributes)
    for kind in KINDS:
        ways = {name: opened(name, peer.url, version) for name in WAYS}
        random = np.random.default_rng(5)
        for number in range(rounds + WARM):
            centre = int(random.integers(ITEMS))
            query = unit_rows(vectors[[centre]] + random.standard_normal((1, 128)) * 0.03)[0]
            near = [f"item-{(centre + CLUSTERS * step) % ITEMS}" for step in range(1, 9)]
            far = [f"item-{row}" for row in random.integers(0, ITEMS, 12)]
            history = [] if kind == "no history" else [*near, *far]
            # Each way once in a round, another one first each time: other work meets all alike.
            for place in range(len(WAYS)):
                way = ways[WAYS[(number + place) % len(WAYS)]]
                counted = way.counting
                counted.reset()
                began = time.perf_counter(), time.process_time(), peer.cpu_seconds()
                way.answers.append(
                    await recall(way.index, query, history, filters if "filters" in kind else None)
                )
                ended = time.perf_counter(), time.process_time(), peer.cpu_seconds()
                spent = (end - start for start, end in zip(began, ended, strict=True))
                if number >= WARM:
                    way.costs.append(
                        (counted.queries, counted.rounds, counted.sent + counted.received, *spent)
                    )
        found = {name: way.summary() for name, way in ways.items()}
        for name in WAYS[1:]:
            found[name]["share_of_bytes"] = round(found[name]["bytes"] / found["before"]["bytes"], 3)
            pairs = zip(ways[name].costs, ways["before"].costs, strict=True)
            found[name]["times_before"] = round(statistics.median(a[3] / b[3] for a, b in pairs), 3)
        runs[kind] = found | {
            "same_items": round(
                statistics.mean(
                    len(set(a) & set(b)) / max(1, len(set(a) | set(b)))
                    for a, b in zip(ways["gzipped"].answers, ways["before"].answers, strict=True)
                ),
                4,
            )
        }
        for way in ways.values():
            await way.index.close()
        print(kind, orjson.dumps(runs[kind], option=orjson.OPT_INDENT_2).decode(), flush=True)
    return runs


async def run(rounds: int) -> dict[str, Any]:
    """Start the container, feed it, measure."""
    random = np.random.default_rng(3)
    vectors = clustered(random)
    with tempfile.TemporaryDirectory() as folder:
        embeddings = make_embeddings(
            Path(folder) / "embeddings", rows=ITEMS, vectors=vectors, bundle_version="bench-00000000"
        )
        source = EmbeddingsSource(EmbeddingsFolder.open(embeddings))
        version = Version.from_embeddings(source.folder)
        application = render(Path(folder) / "package", [version], Layout())
        with start_peer(application, nodes=2) as peer:
            await feed(
                VespaSettings(EndpointSettings((peer.url,)), version), source, Journal(None, "bench", 1)
            )
            return await measure(peer, version, vectors, rounds)


def claims_of(runs: dict[str, Any]) -> list[Claim]:
    """What is claimed of them."""
    claims = []
    for kind, each in runs.items():
        claims += [
            Claim.at_most(f"queries a recall, {kind}", each["now"]["queries"], 2),
            Claim.at_most(f"round trips a recall, {kind}", each["now"]["round_trips"], 2),
            Claim.at_most(f"bytes, share of before, {kind}", each["gzipped"]["share_of_bytes"], 0.4),
            Claim.at_least(f"the same items, {kind}", each["same_items"], 0.98),
        ]
    return claims


def main() -> int:
    """Measure, print, write."""
    options = arguments("Queries, round trips and bytes of a recall over Vespa.")
    reason = missing()
    if reason is not None:
        print(reason)
        return 2
    runs = asyncio.run(run(10 if options.quick else 100))
    return finish(claims_of(runs), runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
