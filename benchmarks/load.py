"""The load generator: a process of its own, for loopback only, bounded in connections, requests and time.

``python -m benchmarks.load < plan.json`` prints the result as JSON; `run` does that from a benchmark.

*Closed*: as many requests under way as there are connections. *Open*: requests arrive by a Poisson process
at a rate, whatever the server does; a request's time counts from its arrival, also while it waits for a
connection, so that a server that stalls cannot hide behind requests that were never sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load_connection import Connection, connect

#: Bounds, whatever a plan says.
MOST_CONNECTIONS, MOST_REQUESTS, MOST_SECONDS, MOST_WAITING = 512, 2_000_000, 120.0, 20_000
#: How long answers are waited for when the time is over.
DRAIN_S = 3.0
#: In a body: the request's number comes in its place, so that no two bodies are the same.
FRESH = b"@@@@@@@@"


class Generator:
    """Sends the requests of a plan and notes when they were answered, and how."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self._plan = plan
        head = "".join(f"{name}: {value}\r\n" for name, value in plan.get("headers", {}).items())
        self._requests = [
            f"POST {plan['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{head}"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
            for body in Path(plan["bodies"]).read_bytes().splitlines()
        ]
        self._seconds = min(float(plan["seconds"]), MOST_SECONDS)
        self._most = min(int(plan.get("requests", MOST_REQUESTS)), MOST_REQUESTS)
        #: Of each body its kind, whose answers are counted apart.
        self._kinds: list[str] = plan.get("kinds") or []
        self._limit_ms = float(plan.get("limit_ms", 25.0))
        self.kinds: dict[str, Counter[str]] = {}
        #: Answers that leave something out, and batches of which an entry failed.
        self.degraded = self.partial = 0
        self._drain_s = 0.0
        self._first = self._number = int(plan.get("first", 0))
        self._sent = 0
        self.milliseconds: list[float] = []
        #: Of the answers that are answers.
        self.good_ms: list[float] = []
        self.statuses: Counter[int] = Counter()

    async def run(self) -> dict[str, Any]:
        """Do what the plan says."""
        count = min(int(self._plan["connections"]), MOST_CONNECTIONS)
        look = bool(self._plan.get("look"))
        connections = [await connect(self._plan["port"], look) for _ in range(count)]
        before = _cpu()
        started = time.perf_counter()
        if "rate" in self._plan:
            late = await self._open(connections, float(self._plan["rate"]), started)
        else:
            late = 0
            await asyncio.gather(*(self._closed(each, started) for each in connections))
        elapsed = time.perf_counter() - started
        for connection in connections:
            if connection.transport is not None:
                connection.transport.close()
        return self._result(elapsed, late, (_cpu() - before) / elapsed)

    def _next(self) -> int | None:
        """Which request is next, in turn; None when there were enough."""
        if self._sent >= self._most:
            return None
        self._sent += 1
        return (self._sent - 1) % len(self._requests)

    async def _ask(self, connection: Connection, place: int, since: float) -> None:
        request = self._requests[place]
        if self._first:
            self._number += 1
            request = request.replace(FRESH, b"%08d" % self._number)
        status = await connection.ask(request)
        milliseconds = (time.perf_counter() - since) * 1000
        self.milliseconds.append(milliseconds)
        good = status == 200
        if good and connection.seen:
            content = b"".join(connection.seen)
            self.degraded += b'"degraded":["' in content
            if b'"status":50' in content:  # of an entry
                self.partial += 1
                good = False
        if good:
            self.good_ms.append(milliseconds)
        self.statuses[status] += 1
        if self._kinds:
            counts = self.kinds.setdefault(self._kinds[place], Counter())
            counts["sent"] += 1
            counts["good"] += good and milliseconds <= self._limit_ms

    async def _closed(self, connection: Connection, started: float) -> None:
        while (now := time.perf_counter()) - started < self._seconds:
            request = self._next()
            if request is None or connection.transport is None:
                return
            await self._ask(connection, request, now)

    async def _open(self, connections: list[Connection], rate: float, started: float) -> int:
        """Arrivals in a queue, connections that take from it; how many arrivals got no answer."""
        waiting: deque[tuple[float, int]] = deque()
        wake = asyncio.Condition()
        over = False

        async def serve(connection: Connection) -> None:
            while True:
                async with wake:
                    await wake.wait_for(lambda: waiting or over)
                    if not waiting:
                        return
                    since, request = waiting.popleft()
                await self._ask(connection, request, since)
                if connection.transport is None:
                    return

        servers = [asyncio.create_task(serve(each)) for each in connections]
        rng = random.Random(5)
        due, arrived = started, 0
        while due - started < self._seconds and len(waiting) < MOST_WAITING:
            due += rng.expovariate(rate)
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            request = self._next()
            if request is None:
                break
            arrived += 1
            async with wake:
                waiting.append((due, request))
                wake.notify()
        async with wake:
            over = True
            wake.notify_all()
        ended = time.perf_counter()
        await asyncio.wait(servers, timeout=DRAIN_S)
        self._drain_s = time.perf_counter() - ended
        for server in servers:
            server.cancel()
        return arrived - len(self.milliseconds)

    def _result(self, elapsed: float, unanswered: int, cpu: float) -> dict[str, Any]:
        times = np.asarray(self.milliseconds or [float("inf")])
        good = self.statuses[200]
        good_times = np.asarray(self.good_ms or [float("inf")])
        within = int((good_times <= self._limit_ms).sum())
        quantiles = np.quantile(times, (0.5, 0.99, 0.999))
        return {
            "sent": self._sent,
            "answered": good,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "unanswered": unanswered,
            "per_s": round(good / elapsed, 1),
            "goodput_per_s": round(within / elapsed, 1),
            "p50_ms": round(float(quantiles[0]), 3),
            "p99_ms": round(float(quantiles[1]), 3),
            "good_p50_ms": round(float(np.quantile(good_times, 0.5)), 3),
            "good_p99_ms": round(float(np.quantile(good_times, 0.99)), 3),
            "p999_ms": round(float(quantiles[2]), 3),
            "generator_cpu": round(cpu, 2),
            "degraded": self.degraded,
            "partial": self.partial,
            "drain_s": round(self._drain_s, 2),
            "kinds": {
                kind: {"sent": counts["sent"], "good_per_s": round(counts["good"] / elapsed, 1)}
                for kind, counts in sorted(self.kinds.items())
            },
        }


def run(
    port: int,
    path: str,
    bodies: Iterable[bytes],
    folder: Path,
    *,
    connections: int,
    seconds: float,
    rate: float | None = None,
    limit_ms: float = 25.0,
    headers: Mapping[str, str] | None = None,
    kinds: Sequence[str] = (),
    first: int = 0,
    look: bool = False,
) -> dict[str, Any]:
    """Run the generator in a process of its own.

    Args:
        port: of the server, on 127.0.0.1.
        path: asked with POST.
        bodies: JSON, one a request, in turn, from the first again when they run out.
        folder: for the bodies.
        connections: kept open.
        seconds: of arrivals.
        rate: arrivals a second; None for a closed loop.
        limit_ms: what counts as goodput.
        headers: more of them.
        kinds: of each body its kind; what is sent and good is then told for each.
        first: number of the first request, which comes in the place of `FRESH` in its body; 0: none.
        look: read the answers: a batch with an entry that failed does not count, and ``degraded`` and
            ``partial`` are told. It costs the generator time.
    """
    descriptor, name = tempfile.mkstemp(".jsonl", dir=folder)
    os.close(descriptor)
    file = Path(name)
    file.write_bytes(b"\n".join(bodies))
    plan: dict[str, Any] = {"port": port, "path": path, "bodies": str(file), "connections": connections}
    plan |= {"seconds": seconds, "limit_ms": limit_ms, "headers": dict(headers or {})}
    plan |= {"kinds": list(kinds), "look": look, "first": first}
    if rate is not None:
        plan["rate"] = rate
    command = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(
        command, input=json.dumps(plan).encode(), stdout=subprocess.PIPE, check=True, timeout=seconds + 60
    )
    file.unlink()
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Read the plan, run it, print the result."""
    generator = Generator(json.load(sys.stdin))
    try:
        import uvloop

        result = uvloop.run(generator.run())
    except ImportError:
        result = asyncio.run(generator.run())
    print(json.dumps(result))


if __name__ == "__main__":
    main()
