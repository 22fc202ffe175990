"""Whether the service grows: a long run with swaps, clients that go away, live changes and rebuilds.

    python -m benchmarks.soak --json soak.json

One worker at half of what it can do: new and known queries, histories, filters, pictures and batches. Beside
them every tenth request is given up in the middle, the items' prices change until the index is rebuilt, and
every 20 seconds the settings are written anew and SIGHUP takes bundle and index from another folder. Memory
(anonymous and what is mapped, of all its processes) and descriptors are read every second.

The slope is the median of the slopes between all pairs of points, each the least value of ten seconds, so
that a bundle that loads while the old one still answers does not count as growth. The first fifth warms up.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from artifacts.shop.shop import Shop
from benchmarks.chaos_load import ADMIN_TOKEN
from benchmarks.chaos_service import Service
from benchmarks.report import Claim, ProgressLines, arguments, finish
from benchmarks.same_requests import HttpRequest, make_requests
from benchmarks.servers import processes
from cli.commands.demo import prepare
from cli.demo_files import demo_bundle

#: What is no failure; some requests are refused for what they ask, with a 4xx.
_EXPECTED = ("200", "given up", "write 200", "swaps")
RATE, SWAP_EVERY_S, BINS_S = 60.0, 20.0, 10.0


def memory_mb(session: int) -> float:
    """Resident memory of all processes of a session."""
    total = 0.0
    for pid in processes(session):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
    return total


def descriptors(session: int) -> int:
    """Open files and sockets of all processes of a session."""
    total = 0
    for pid in processes(session):
        try:
            total += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        except OSError:
            continue
    return total


def slope(seconds: np.ndarray, values: np.ndarray) -> float:
    """Units an hour: the median slope between all pairs (Theil and Sen) of the least values of bins."""
    bins = (seconds // BINS_S).astype(int)
    x, y = zip(*((seconds[bins == b].mean(), values[bins == b].min()) for b in np.unique(bins)), strict=True)
    pairs = [(y[j] - y[i]) / (x[j] - x[i]) for i, j in itertools.combinations(range(len(x)), 2)]
    return float(np.median(pairs)) * 3600


class Soak:
    """The load, the writes and the swaps beside it."""

    def __init__(self, service: Service, requests: list[HttpRequest], items: list[str]) -> None:
        self._service, self._requests, self._items = service, requests, items
        self.statuses: Counter[str] = Counter()

    async def run(self, seconds: float, swap: Any) -> list[tuple[float, float, int]]:
        """Points of seconds, megabytes and descriptors."""
        limits = httpx.Limits(max_connections=128)
        async with httpx.AsyncClient(base_url=self._service.url, timeout=30, limits=limits) as client:
            started = time.monotonic()
            beside = [
                asyncio.create_task(self._write(client)),
                asyncio.create_task(self._swap(swap)),
            ]
            points: list[tuple[float, float, int]] = []
            beside.append(asyncio.create_task(self._watch(started, seconds, points)))
            sent: set[asyncio.Task[None]] = set()
            for number in itertools.count():
                due = started + number / RATE
                if due > started + seconds:
                    break
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                task = asyncio.create_task(self._ask(client, number))
                sent.add(task)
                task.add_done_callback(sent.discard)
            await asyncio.gather(*sent)
            for each in beside:
                each.cancel()
            for outcome in await asyncio.gather(*beside, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome
        return points

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        request = self._requests[number % len(self._requests)]
        patience = 0.002 if number % 10 == 7 else 30.0
        try:
            async with asyncio.timeout(patience):
                answer = await client.request(
                    request.method,
                    request.path,
                    content=request.body,
                    headers={"Content-Type": "application/json"} | request.headers,
                )
        except TimeoutError:
            self.statuses["given up"] += 1
        except httpx.TransportError as error:
            self.statuses[type(error).__name__] += 1
        else:
            self.statuses[str(answer.status_code)] += 1

    async def _write(self, client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}
        for number in itertools.count():
            chosen = random.sample(self._items, 20)
            changes = [{"id": item, "attributes": {"price": 10 + number % 500}} for item in chosen]
            body = orjson.dumps({"items": changes})
            answer = await client.post("/admin/index/update", content=body, headers=headers)
            self.statuses[f"write {answer.status_code}"] += 1
            await asyncio.sleep(0.25)

    async def _swap(self, swap: Any) -> None:
        for number in itertools.count(1):
            await asyncio.sleep(SWAP_EVERY_S)
            await asyncio.to_thread(swap, number)
            self._service.send(signal.SIGHUP)
            self.statuses["swaps"] += 1

    async def _watch(self, started: float, seconds: float, points: list[tuple[float, float, int]]) -> None:
        tell, session = ProgressLines(), self._service.session
        while True:
            at = time.monotonic() - started
            points.append((at, *await asyncio.to_thread(lambda: (memory_mb(session), descriptors(session)))))
            tell("seconds", int(at), int(seconds))
            await asyncio.sleep(1.0)


def plot(points: np.ndarray, target: Path) -> None:
    """Memory and descriptors over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
    above.plot(points[:, 0] / 60, points[:, 1])
    above.set_ylabel("memory, MB")
    below.plot(points[:, 0] / 60, points[:, 2])
    below.set(ylabel="descriptors", xlabel="minutes")
    figure.savefig(target, dpi=120)


def main() -> int:
    """Run, fit, write."""
    options = arguments(
        "Memory and descriptors over a long run",
        [
            ("--data", {"type": Path, "default": Path(".run"), "help": "where the demo's files are kept"}),
            ("--minutes", {"type": float, "default": 20.0}),
        ],
    )
    minutes = 1.5 if options.quick else options.minutes
    bundle, data = demo_bundle(), options.data.resolve()
    shop, index = prepare(data, bundle, 4000, ProgressLines())
    requests = list(make_requests(Shop.open(shop), 4000, 3))
    items = [item.id for item in Shop.open(shop).items()]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for side in ("a", "b"):
            shutil.copytree(bundle, folder / side / "bundle")
            shutil.copytree(index, folder / side / "index")
        config = folder / "mrse.toml"

        def swap(number: int) -> None:
            side = folder / "ab"[number % 2]
            arm = f"weight = 1\nbundle = '{side / 'bundle'}'\nindex = '{side / 'index'}'\n"
            fresh = config.with_suffix(".new")
            fresh.write_text(f"[experiments.towers.control]\n{arm}")
            fresh.replace(config)

        swap(0)
        settings = {
            "MRSE_CONFIG": str(config),
            "MRSE_SERVER_ADMIN_TOKEN": ADMIN_TOKEN,
            "MRSE_EMBEDDED_REBUILD_AFTER": "2000",
        }
        with Service(folder, bundle, index, settings, workers=1, caches=True) as service:
            soak = Soak(service, requests, items)
            points = np.asarray(asyncio.run(soak.run(minutes * 60, swap)))
    steady = points[points[:, 0] > minutes * 60 * 0.2]
    grows = slope(steady[:, 0], steady[:, 1])
    runs = {
        "minutes": minutes,
        "statuses": dict(soak.statuses),
        "points": [[round(float(each), 2) for each in point] for point in points],
        "memory_mb": [round(float(steady[:, 1].min()), 1), round(float(steady[:, 1].max()), 1)],
    }
    print(dict(soak.statuses))
    failed = sum(number for name, number in soak.statuses.items() if name not in _EXPECTED and name[0] != "4")
    claims = [
        Claim.at_most("growth of memory after warm-up", grows, 1.0, "MB/h"),
        Claim.at_most("growth of descriptors", slope(steady[:, 0], steady[:, 2]), 1.0, "/h"),
        Claim.at_most("requests failed", failed, 0),
        Claim.at_least("writes", soak.statuses["write 200"], 1),
    ]
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        plot(points, options.json.with_suffix(".png"))
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
