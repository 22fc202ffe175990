"""Whether the service loses a request while its workers are replaced, its bundle is swapped, or it ends.

    python -m benchmarks.lifecycle --json lifecycle.json

Clients ask on kept and on new connections, one request after the other. Four workers are replaced by SIGHUP,
and end by SIGTERM as behind a balancer: a client that is told ``Connection: close`` or that the service is
not ready sends nothing more. One worker swaps its bundle and index by SIGHUP, again and again. Answers that
say that the machine is too busy are counted apart, for they tell nothing of the life cycle. Of two workers
one is killed (SIGKILL), again and again: each time that may cost every client the request that it waits for.

Memory is what is resident: what is shared out (PSS) grows where others end that map the same libraries.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from benchmarks.chaos_service import Service
from benchmarks.report import Claim, ProgressLines, arguments, finish
from benchmarks.resources import resident_mb
from cli.commands.demo import prepare
from cli.demo_files import demo_bundle

_CLIENTS = 4
_ASK = {"query": "red shoes", "k": 10, "timeout_ms": 10_000}
_BUSY = ("/problems/overloaded", "/problems/deadline")
#: What a swapped bundle is kept for: requests may still use it. Memory is read later than that.
_SETTLE_S = 20.0


class Clients:
    """Two clients on kept connections, two on new ones."""

    def __init__(self, url: str) -> None:
        self.answers: Counter[str] = Counter()
        self._url = url
        self._stop = self._leaving = False

    @property
    def failed(self) -> int:
        """Requests that failed for another reason than a busy machine."""
        return sum(n for what, n in self.answers.items() if what not in ("200", *_BUSY))

    async def __aenter__(self) -> Clients:
        self._tasks = [asyncio.create_task(self._ask(kept)) for kept in (True, False) * (_CLIENTS // 2)]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    def expect_end(self) -> None:
        """From now on a service that says that it ends, or does not listen, gets no more requests."""
        self._leaving = True

    async def _ask(self, kept: bool) -> None:
        client = httpx.AsyncClient(timeout=30)
        while not self._stop:
            try:
                answer = await client.post(f"{self._url}/recall", json=_ASK)
            except httpx.ConnectError:
                if self._leaving:
                    break
                self.answers["refused"] += 1
            except httpx.HTTPError as error:
                self.answers[type(error).__name__] += 1
            else:
                code = answer.status_code
                self.answers["200" if code == 200 else answer.json()["type"]] += 1
                if self._leaving and answer.headers.get("connection") == "close":
                    break
            if not kept:
                await client.aclose()
                client = httpx.AsyncClient(timeout=30)
        await client.aclose()


async def until_logged(log: Path, text: str, count: int, seconds: float = 300) -> None:
    """Wait until a line was logged so many times."""
    end = time.monotonic() + seconds
    while log.read_text(errors="replace").count(text) < count:  # noqa: ASYNC240 -- nothing else waits
        if time.monotonic() > end:
            raise TimeoutError(f"{text} was not logged {count} times:\n{log.read_text()[-3000:]}")  # noqa: ASYNC240
        await asyncio.sleep(0.1)


async def replace_workers(service: Service, log: Path, times: int) -> Clients:
    """Replace all workers some times, then end, under load."""
    async with Clients(service.url) as clients:
        for number in range(1, times + 1):
            service.send(signal.SIGHUP)
            await until_logged(log, '"message":"reloaded"', number)
            await asyncio.sleep(3)  # the last one that was replaced ends
        clients.expect_end()
        service.send(signal.SIGTERM)
        await until_logged(log, "ending on SIGTERM", 1)
        await asyncio.sleep(6)
    return clients


async def kill_workers(service: Service, times: int) -> tuple[Clients, list[int]]:
    """Kill one of two workers some times, under load; requests lost each time."""
    lost = []
    async with Clients(service.url) as clients:
        for _ in range(times):
            before, workers = clients.failed, service.workers()
            os.kill(workers[0], signal.SIGKILL)
            end = time.monotonic() + 120
            while len(set(service.workers()) - set(workers)) < 1:
                if time.monotonic() > end:
                    raise TimeoutError("no worker took the place of the one that was killed")
                await asyncio.sleep(0.1)
            await asyncio.sleep(_SETTLE_S / 2)  # it loads, and answers
            lost.append(clients.failed - before)
    return clients, lost


async def swap_bundles(service: Service, log: Path, config: Path, times: int) -> tuple[Clients, list[float]]:
    """Swap bundle and index so often, under load; memory after warm-up and at the end, in MB."""
    tell, memory, warm = ProgressLines(), list[float](), max(2, times // 6)
    async with Clients(service.url) as clients:
        for number in range(1, times + warm + 1):
            write(config, number)
            service.send(signal.SIGHUP)
            await until_logged(log, '"message":"reloaded"', number)
            tell("swaps", number, times + warm)
            if number in (warm, times + warm):
                await asyncio.sleep(_SETTLE_S)
                memory.append(resident_mb(service.session))
    return clients, memory


def write(config: Path, number: int) -> None:
    """Name the bundle and index of one of two folders, which are alike."""
    side = config.parent / "ab"[number % 2]
    fresh = config.with_suffix(".new")
    fresh.write_text(
        f"[experiments.towers.control]\nbundle = '{side / 'bundle'}'\nindex = '{side / 'index'}'\n"
    )
    fresh.replace(config)


def main() -> int:
    """Replace, end, swap, write."""
    options = arguments(
        "Requests lost while workers are replaced, bundles swapped, and the service ends",
        [
            ("--data", {"type": Path, "default": Path(".run"), "help": "where the demo's files are kept"}),
            ("--served", {"type": Path, "help": "a folder with bundle/ and index/, instead of the demo"}),
        ],
    )
    if options.served:
        bundle, index = options.served / "bundle", options.served / "index"
    else:
        bundle = demo_bundle()
        _, index = prepare(options.data.resolve(), bundle, 4000, ProgressLines())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for side in ("a", "b"):
            shutil.copytree(bundle, folder / side / "bundle")
            shutil.copytree(index, folder / side / "index")
        with Service(folder, bundle, index, {"MRSE_SERVER_LAME_DUCK_S": "3"}, workers=4) as service:
            log = folder / f"service-{service.port}.log"
            replaced = asyncio.run(replace_workers(service, log, 1 if options.quick else 5))
        with Service(folder, bundle, index, {}, workers=2) as service:
            killed, lost = asyncio.run(kill_workers(service, 2 if options.quick else 5))
        config = folder / "mrse.toml"
        write(config, 0)
        with Service(folder, bundle, index, {"MRSE_CONFIG": str(config)}, workers=1, caches=True) as service:
            log = folder / f"service-{service.port}.log"
            swaps = asyncio.run(swap_bundles(service, log, config, 6 if options.quick else 60))
    swapped, (before, after) = swaps
    claims = [
        Claim.at_most("requests failed while workers are replaced and end", replaced.failed, 0),
        Claim.at_least("requests answered meanwhile", replaced.answers["200"], 100),
        Claim.at_most("requests lost by a kill of one of two workers, at most", max(lost), _CLIENTS),
        Claim.at_most("connections refused meanwhile", killed.answers["refused"], 0),
        Claim.at_least("requests answered meanwhile", killed.answers["200"], 100),
        Claim.at_most("requests failed while bundles are swapped", swapped.failed, 0),
        Claim.at_least("requests answered meanwhile", swapped.answers["200"], 100),
        Claim.at_most("memory after the swaps, of before", after / before, 1.05),
    ]
    runs = {
        "replaced": dict(replaced.answers),
        "killed": dict(killed.answers),
        "lost_by_kill": lost,
        "swapped": dict(swapped.answers),
        "memory_mb": [round(before, 1), round(after, 1)],
    }
    print(runs)
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
