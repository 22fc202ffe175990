"""Our Vespa client beside pyvespa's `VespaAsync` and httpx, on the same server with the same answers.

Each client is a process of its own on one core, as a worker of the service is (`benchmarks.vespa_asker`),
keeps a number of queries under way and turns every answer into ids and cosines, which are the same of all.
They take turns with small blocks of queries, so that other work on the machine falls on all alike. The
processor time of a client's process is compared, which others blur least: medians over the blocks. The
queries a second of a whole core follow from it. The server has another core, where there is one; what it
takes is told. The others get their request body ready made, ours builds its own.

``--before CHECKOUT`` lets the client of another commit take turns too, whose files are in that folder (``git
worktree add CHECKOUT COMMIT``).

Then our client meets a server that never answers, to see how far it overruns its deadline.

Where Java and Maven are there, a full run also compares the clients on Vespa's own container over exact
content nodes (`devtools/vespa_peer`): no claim, since there the container's speed is most of what is seen. It
also counts queries and bytes of whole recalls there, see `benchmarks.vespa_recall`.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvloop

from benchmarks.report import Claim, arguments, finish
from benchmarks.servers import ROOT
from benchmarks.vespa_asker import CLIENTS, HITS, VECTOR, VERSION, settings
from benchmarks.vespa_recall import claims_of
from benchmarks.vespa_recall import run as recalls
from common.deadline import Deadline
from devtools.vespa_peer.build import missing
from index.port import IndexUnavailable
from index.vespa.client import VespaIndex

#: A commit's client, by what it is called.
Roots = Mapping[str, Path]


class Asker:
    """A client in its process."""

    def __init__(self, client: str, url: str, root: Path) -> None:
        script = str(ROOT / "benchmarks" / "vespa_asker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", script, client, url],
            env=os.environ | {"PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        #: Ids and cosines, as the client reads an answer.
        self.answer: list[tuple[str, float]] = [(item, score) for item, score in self._line()]

    def ask(self, queries: int) -> tuple[float, float]:
        """Seconds of so many queries: by the clock, and of the process."""
        assert self._process.stdin is not None
        print(queries, file=self._process.stdin, flush=True)
        clock, cpu = self._line()
        return clock, cpu

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a client ended with status {self._process.wait()}")
        return orjson.loads(line)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def compare(url: str, roots: Roots, rounds: int, queries: int, server: int | None = None) -> dict[str, Any]:
    """Rounds of every client in turn.

    Args:
        url: of the server.
        roots: where the modules of our clients are.
        rounds: that count; in each every client asks, another one first each time.
        queries: of each client in each round.
        server: its process, where what it takes is to be told.
    """
    asked: dict[str, list[tuple[float, float]]] = {}
    served: dict[str, float] = {}
    with ExitStack() as stack:
        clients = {
            **{name: Asker("ours", url, root) for name, root in roots.items()},
            **{name: Asker(name, url, ROOT) for name in CLIENTS if name != "ours"},
        }
        for client in clients.values():
            stack.callback(client.close)
        same_answers({name: client.answer for name, client in clients.items()})
        order = list(clients)
        for number in range(-1, rounds):  # the first makes connections, and does not count
            for name in order[number % len(order) :] + order[: number % len(order)]:
                began = _cpu_of(server)
                took = clients[name].ask(queries)
                if number >= 0:
                    asked.setdefault(name, []).append(took)
                    served[name] = served.get(name, 0.0) + _cpu_of(server) - began
    return {
        name: {
            "queries_per_s": [round(queries / clock) for clock, _ in each],
            "cpu_us": [round(cpu / queries * 1e6) for _, cpu in each],
            "median_queries_per_s": round(statistics.median(queries / clock for clock, _ in each)),
            "median_cpu_us": round(statistics.median(cpu for _, cpu in each) / queries * 1e6),
            "server_cpu_us": round(served[name] / rounds / queries * 1e6),
        }
        for name, each in asked.items()
    }


def same_answers(answers: Mapping[str, list[tuple[str, float]]]) -> None:
    """Make sure that every client read the same.

    Raises:
        SystemExit: one did not.
    """
    first, *others = answers
    ids, cosines = zip(*answers[first], strict=True)
    for name in others:
        its_ids, its_cosines = zip(*answers[name], strict=True)
        if its_ids != ids or not np.allclose(its_cosines, cosines, atol=1e-6):
            raise SystemExit(f"{name} reads another answer than {first}")


def _cpu_of(process: int | None) -> float:
    """Seconds of the processor; clock_getcpuclockid(3), to the nanosecond."""
    if process is None or not sys.platform.startswith("linux"):
        return 0.0
    return time.clock_gettime((~process << 3) | 2)


@contextmanager
def stand_in() -> Iterator[tuple[str, str, int]]:
    """URLs of a server that answers and of one that never does, and their process, on a core of its own."""
    command = [sys.executable, "-m", "benchmarks.vespa_server", str(HITS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            answering, silent = (f"http://127.0.0.1:{port}" for port in server.stdout.readline().split())
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(server.pid, {min(os.sched_getaffinity(0))})
            yield answering, silent, server.pid
        finally:
            server.stdin.close()


def compare_on_container(roots: Roots, rounds: int, queries: int) -> dict[str, Any]:
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
            uvloop.run(feed(settings(peer.url), source, Journal(None, "bench", 1)))
            return compare(peer.url, roots, rounds, queries)


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
    options = arguments(
        "Our Vespa client beside pyvespa and httpx.",
        [("--before", {"type": Path, "help": "a folder with the files of a commit: compare with that too"})],
    )
    rounds, queries, searches = (3, 64, 40) if options.quick else (40, 160, 400)
    roots = {"ours": ROOT}
    if options.before is not None:
        roots["before"] = options.before.resolve()
    with stand_in() as (answering, silent, server):
        runs: dict[str, Any] = compare(answering, roots, rounds, queries, server)
        late = uvloop.run(overrun(silent, searches, 0.05))
    clients = list(runs)
    for name in clients:
        run = runs[name]
        rate, cpu, its = run["median_queries_per_s"], run["median_cpu_us"], run["server_cpu_us"]
        print(f"{name:<8} {rate:>6} queries/s  {cpu:>5} us CPU a query  ({its} us of the server)")
    reason = "a quick run" if options.quick else missing()
    if reason is None:
        # Old clients ask for summaries, which packages of today do not answer.
        runs["container"] = compare_on_container({"ours": ROOT}, 5, 160)
        runs["recall"] = uvloop.run(recalls(50))
    else:
        print(f"not compared on Vespa's container: {reason}")
    runs["deadline_overrun_ms"] = {
        "p50": round(statistics.median(late), 3),
        "p99": round(float(np.percentile(late, 99)), 3),
        "max": round(max(late), 3),
    }

    def median(of: str, name: str, other: str) -> float:
        """Over the rounds: a figure of ours over that of another."""
        pairs = zip(runs[name][of], runs[other][of], strict=True)
        return round(float(statistics.median(mine / theirs for mine, theirs in pairs)), 3)

    claims = [
        Claim.at_least("throughput, ours over pyvespa", median("queries_per_s", "ours", "pyvespa"), 2),
        Claim.at_least("throughput, ours over httpx", median("queries_per_s", "ours", "httpx"), 4),
        Claim.at_most("CPU a query, share of pyvespa's", median("cpu_us", "ours", "pyvespa"), 0.5),
        Claim.at_most("deadline overrun, 99 of 100", runs["deadline_overrun_ms"]["p99"], 10, "ms"),
    ]
    if "before" in clients:
        share = median("cpu_us", "ours", "before")
        claims.append(Claim.at_most("CPU a query, share of the commit before", share, 1))
    if "recall" in runs:
        claims += claims_of(runs["recall"])
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
