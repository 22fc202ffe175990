"""Whether the service grows: a long run with swaps, clients that go away, live changes and rebuilds.

    python -m benchmarks.soak --json soak.json

One worker at half of what it can do: queries, histories, filters, pictures and batches, each of which is
asked once ahead of it all, so that caches are as full as these requests fill them. Beside them every tenth
request is given up in the middle, the items' prices change until the index is rebuilt, and every 20 to 30
seconds the settings are written anew and SIGHUP takes bundle and index from another folder.

Memory under load moves by tens of megabytes: two bundles for a while after each swap, a process that
rebuilds, a write buffer that fills, neighbours that are remembered until the index changes. So after each
swap the load rests: what is in flight ends, the index is rebuilt, the bundle before the swap is let go, the
same requests are asked each time, and only then the resident memory of all processes is read; that of the
processes that decode pictures is told apart. The slope is the median of the slopes between all pairs of
these points after a fifth of the time (Theil and Sen), and its 95% interval says what this run can tell.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import orjson

from artifacts.shop.shop import Shop
from benchmarks.chaos_load import ADMIN_TOKEN
from benchmarks.chaos_service import Service
from benchmarks.report import ProgressLines, arguments, finish
from benchmarks.resources import anonymous_mb, descriptors, pictures_mb, resident_mb, shared_out_mb
from benchmarks.same_requests import HttpRequest, make_requests
from benchmarks.soak_told import BUSY, Told, plot
from cli.commands.demo import prepare
from cli.demo_files import demo_bundle

#: Problems that tell of a machine that is too busy.
_BUSY = ("/problems/overloaded", "/problems/deadline")
#: Requests a second at most, and as a share of what the service can do on this machine, as busy as it is.
RATE, SHARE, SWAP_EVERY_S = 60.0, 0.5, 20.0
#: A rest follows every so many swaps, so long after the last one: the bundle before it is let go 15 s after.
#: After each, for where the C library puts things moves the memory at rest by up to 2 MB (0.65 in the mean
#: square, seen over 14 swaps with changes and rebuilds): a slope of 1 MB an hour takes many rests to tell.
SWAPS, REST_AFTER_S, LET_GO_S = 1, 13.0, 17.5
#: Requests that differ, and those of them that are asked at each rest; how many are asked at once ahead.
_DIFFERENT, _ALWAYS, _AT_ONCE = 1500, 100, 4


class Soak:
    """The load, and the writes and swaps beside it.

    Args:
        service: is asked.
        requests: the load, again and again; those of each rest are at its end.
        items: whose prices change.
        swap: writes the settings of a swap, by its number.
        rebuild: rebuilds the index that a swap has taken.

    Attributes:
        rate: requests a second.
        statuses: what came of it all.
        rests: seconds, resident megabytes, anonymous ones, descriptors, megabytes of what decodes pictures.
        points: seconds and megabytes under load.
        refused: of each answer that should not be: seconds, seconds since the last swap, and what it said.
    """

    def __init__(
        self,
        service: Service,
        requests: list[HttpRequest],
        items: list[str],
        swap: Callable[[int], None],
        rebuild: Callable[[int], None],
    ) -> None:
        self._service, self._items = service, items
        self._requests, self._always = requests[:-_ALWAYS], requests[-_ALWAYS:]
        self._swap, self._rebuild = swap, rebuild
        self._numbers, self._swaps = itertools.count(), itertools.count(1)
        self._began = time.monotonic()
        self.rate = RATE
        self.statuses: Counter[str] = Counter()
        self.rests: list[tuple[float, float, float, int, float]] = []
        self.points: list[tuple[float, float]] = []
        self.refused: list[tuple[float, float, str]] = []
        self._swapped_at = self._began

    async def run(self, seconds: float) -> None:
        """Load and rest by turns, for at least so long."""
        limits, tell = httpx.Limits(max_connections=128), ProgressLines()
        async with httpx.AsyncClient(base_url=self._service.url, timeout=60, limits=limits) as client:
            await self._fill(client)
            self._began = time.monotonic()
            while (at := time.monotonic() - self._began) < seconds:
                tell("seconds", int(at), int(seconds))
                number = await self._under_load(client)
                await self._rest(client, number)

    async def _fill(self, client: httpx.AsyncClient) -> None:
        """Ask everything once, and see how fast that goes."""
        began, left = time.monotonic(), iter([*self._requests, *self._always])

        async def some() -> None:
            for request in left:
                await self._ask(client, request, 0)

        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
        asked = len(self._requests) + len(self._always)
        self.rate = min(RATE, SHARE * asked / (time.monotonic() - began))

    async def _under_load(self, client: httpx.AsyncClient) -> int:
        """Some swaps under load; the number of the last one."""
        beside = [asyncio.create_task(self._write(client)), asyncio.create_task(self._watch())]
        loading = asyncio.create_task(self._load(client))
        number = 0
        for number in itertools.islice(self._swaps, SWAPS):
            await asyncio.to_thread(self._swap, number)
            self._service.send(signal.SIGHUP)
            self.statuses["swaps"] += 1
            self._swapped_at = time.monotonic()
            await asyncio.sleep(REST_AFTER_S if number % SWAPS == 0 else SWAP_EVERY_S)
        for each in (loading, *beside):
            each.cancel()
        for outcome in await asyncio.gather(loading, *beside, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        return number

    async def _rest(self, client: httpx.AsyncClient, number: int) -> None:
        """Bring the service to where it was at each rest before, and read."""
        await asyncio.to_thread(self._rebuild, number)
        await asyncio.sleep(max(0.0, self._swapped_at + LET_GO_S - time.monotonic()))
        for place, request in enumerate(self._always):
            await self._ask(client, request, 10 * place)
        await asyncio.sleep(1.0)
        session = self._service.session
        at = time.monotonic() - self._began
        read = resident_mb(session), anonymous_mb(session), descriptors(session), pictures_mb(session)
        self.rests.append((at, *read))
        self.statuses["rests"] += 1

    async def _load(self, client: httpx.AsyncClient) -> None:
        """Requests at a rate; ends, once cancelled, when all that were sent are answered."""
        started, sent = time.monotonic(), set[asyncio.Task[None]]()
        try:
            for count in itertools.count():
                await asyncio.sleep(max(0.0, started + count / self.rate - time.monotonic()))
                number = next(self._numbers)
                request = self._requests[number % len(self._requests)]
                task = asyncio.create_task(self._ask(client, request, number))
                sent.add(task)
                task.add_done_callback(sent.discard)
        finally:
            await asyncio.gather(*sent)

    async def _ask(self, client: httpx.AsyncClient, request: HttpRequest, number: int) -> None:
        patience = 0.002 if number % 10 == 7 else 60.0
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
            self.statuses[self._told(answer)] += 1

    async def _write(self, client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}
        for number in itertools.count():
            chosen = random.sample(self._items, 20)
            changes = [{"id": item, "attributes": {"price": 10 + number % 500}} for item in chosen]
            body = orjson.dumps({"items": changes})
            answer = await client.post("/admin/index/update", content=body, headers=headers)
            self.statuses[f"write {self._told(answer)}"] += 1
            await asyncio.sleep(0.25)

    def _told(self, answer: httpx.Response) -> str:
        """The status, and of an answer that should not be the reason too."""
        if answer.status_code < 500:
            return str(answer.status_code)
        problem = answer.json()
        now, detail = time.monotonic(), str(problem.get("detail"))
        self.refused.append((round(now - self._began, 2), round(now - self._swapped_at, 2), detail))
        return BUSY if problem.get("type") in _BUSY else f"{answer.status_code} {detail}"

    async def _watch(self) -> None:
        session = self._service.session
        while True:
            self.points.append(
                (time.monotonic() - self._began, await asyncio.to_thread(shared_out_mb, session))
            )
            await asyncio.sleep(1.0)


def rebuild_index(index: Path) -> None:
    """Rebuild an index, after the rebuild that may be under way."""
    command = [sys.executable, "-c", "from cli.main import main; main()", "index", "rebuild", str(index)]
    for _ in range(60):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode == 0:
            return
        time.sleep(0.5)
    raise RuntimeError(done.stderr)


def main() -> int:
    """Run, fit, write."""
    options = arguments(
        "Memory and descriptors over a long run",
        [
            ("--data", {"type": Path, "default": Path(".run"), "help": "where the demo's files are kept"}),
            ("--minutes", {"type": float, "default": 20.0}),
        ],
    )
    minutes = 3.0 if options.quick else options.minutes
    bundle, data = demo_bundle(), options.data.resolve()
    shop, index = prepare(data, bundle, 4000, ProgressLines())
    requests = list(make_requests(Shop.open(shop), _DIFFERENT, 3))
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
            "MRSE_EMBEDDED_REBUILD_AFTER": "500",
        }
        with Service(folder, bundle, index, settings, workers=1, caches=True) as service:
            soak = Soak(
                service,
                requests,
                items,
                swap,
                lambda number: rebuild_index(folder / "ab"[number % 2] / "index"),
            )
            asyncio.run(soak.run(minutes * 60))
    points, rests = np.asarray(soak.points), np.asarray(soak.rests)
    told = Told(rests, minutes)
    runs = {
        "minutes": minutes,
        "requests_per_s": round(soak.rate, 1),
        "statuses": dict(soak.statuses),
        "refused": soak.refused,
        **told.growth(),
        "rests": [[round(float(each), 2) for each in rest] for rest in rests],
        "points": [[round(float(each), 2) for each in point] for point in points],
    }
    print(dict(soak.statuses))
    told.show()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        plot(points, rests, options.json.with_suffix(".png"))
    setting = "quick" if options.quick else "full"
    return finish(told.claims(soak.statuses), runs, options.json, setting=setting)


if __name__ == "__main__":
    sys.exit(main())
