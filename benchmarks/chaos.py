"""A real service while what it depends on fails: who is answered, in time, rightly, and honestly.

    python -m benchmarks.chaos --json chaos.json        or: make chaos

Real processes: ``mrse serve``, Redis, Vespa's container where Java is there (over our content nodes), each
behind a proxy that delays, stalls, resets, garbles, cuts, drips or refuses. Requests of all kinds arrive at a
fixed rate; the caches in process are off, so that every request meets the fault. Beside them, changes are
written through the admin API.

- *in time*: an answer of any status came within the request's own ``timeout_ms`` (and 100 ms for the road).
- *partial*: 200, with ``partial`` or a word in ``degraded``. *refused*: a problem of RFC 9457, 429 or 503 or
  504. *cut*: the connection broke; only where the service itself was killed.
- *wrong*: an item that does not exist, that the filter forbids, twice or more than asked; or a status that
  says the service has a bug.
- *honest*: the answer is the one that was given when all was well (nine of ten items are the same), or says
  that it is less, or is a problem.
- *lost*: changes that were acknowledged and are not there when all is well again.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chaos_load import ADMIN_TOKEN, Ask, Load, Tally, make_asks
from benchmarks.chaos_service import Service, vespa_parts
from benchmarks.report import Claim, ProgressLines, arguments, finish
from cli.commands.demo import prepare
from cli.demo_files import demo_bundle
from devtools.fault_proxy import Fault, FaultProxy
from devtools.redis import RedisServer, redis_server

RATE = 30.0


@dataclass(frozen=True)
class Scenario:
    """Something that goes wrong; ``plant`` does it, ``heal`` undoes it. ``cuts``: requests may be cut."""

    name: str
    plant: Callable[[], object]
    heal: Callable[[], object] = lambda: None
    cuts: bool = False


def _through(proxy: FaultProxy, what: str) -> list[Scenario]:
    faults: list[tuple[str, Fault, float]] = [
        ("5 ms late", "delay", 0.005),
        ("100 ms late", "delay", 0.1),
        ("stalled", "stall", 0),
        ("resets", "reset", 0),
        ("answers noise", "garbage", 0),
        ("cuts answers", "cut", 0),
        ("drips", "drip", 0),
        ("refuses", "refuse", 0),
    ]

    def plant(fault: Fault, delay_s: float) -> Callable[[], None]:
        return lambda: proxy.set(fault, delay_s)

    return [
        Scenario(f"{what} {name}", plant(fault, delay_s), lambda: proxy.set("pass"))
        for name, fault, delay_s in faults
    ]


def _redis(redis: RedisServer, proxy: FaultProxy) -> list[Scenario]:
    def back() -> None:
        proxy.set("refuse")  # until it has its data again: nobody can tell a portrait that is lost from none
        redis.start()
        proxy.set("pass")

    return [
        *_through(proxy, "Redis"),
        Scenario("Redis frozen", redis.freeze, redis.thaw),
        Scenario("Redis killed, back with its data", redis.kill, back),
    ]


def _process(service: Service) -> list[Scenario]:
    def worker() -> None:
        os.kill(random.choice(service.workers()), signal.SIGKILL)

    return [
        Scenario("SIGHUP", lambda: service.send(signal.SIGHUP)),
        Scenario("a worker killed", worker, cuts=True),
        Scenario("service killed, started again", service.kill_and_start, cuts=True),
        Scenario("SIGTERM, started again", service.stop_and_start, cuts=True),
    ]


def run(
    scenarios: list[Scenario], service: Service, asks: list[Ask], seconds: float, *, writes: bool
) -> dict[str, Any]:
    """Each scenario: well for a moment, the fault, well again. At the end, what was written is looked for."""
    tell = ProgressLines()
    load = Load(service.url, asks, writes=writes)
    asyncio.run(load.learn())
    found: dict[str, Any] = {}
    everything = [Scenario("all is well", lambda: None), *scenarios]
    for number, scenario in enumerate(everything):
        tell("scenarios", number, len(everything))
        tally = asyncio.run(_one(scenario, load, service, seconds))
        found[scenario.name] = {"cuts": scenario.cuts, **tally.figures()}
    tell("scenarios", len(everything), len(everything))
    found["lost"] = asyncio.run(load.lost())
    found["written"], found["writes"] = len(load.written), writes
    return found


async def _one(scenario: Scenario, load: Load, service: Service, seconds: float) -> Tally:
    running = asyncio.create_task(load.run(seconds, RATE))
    await asyncio.sleep(seconds * 0.2)
    try:
        await asyncio.to_thread(scenario.plant)
        await asyncio.sleep(seconds * 0.5)
    finally:
        await asyncio.to_thread(scenario.heal)
    tally = await running
    await asyncio.to_thread(service.wait)
    await load.until_well()
    return tally


def table(runs: dict[str, Any]) -> None:
    """A line for each scenario."""
    keys = ("requests", "in_time", "partial", "refused", "cut", "wrong", "dishonest")
    print(f"{'':<34}" + "".join(f"{key:>10}" for key in keys) + f"{'p99 ms':>9}")
    for name, parts in runs.items():
        print(f"{name}: {parts['written']} changes acknowledged, {parts['lost']} lost")
        for scenario, figures in parts.items():
            if isinstance(figures, dict):
                cells = "".join(f"{figures[key]:>10}" for key in keys)
                print(f"  {scenario:<32}{cells}{figures['p99_ms']:>9.0f}")


def claims_of(runs: dict[str, Any]) -> list[Claim]:
    """Nothing wrong, nothing lost, every answer honest, every one in time where the service lives."""
    claims = []
    for name, parts in runs.items():
        rows = [each for each in parts.values() if isinstance(each, dict)]
        living = [each for each in rows if not each["cuts"]]
        total = sum(each["requests"] for each in living)
        claims += [
            Claim.at_most(f"{name}: wrong answers", sum(each["wrong"] for each in rows), 0),
            Claim.at_most(f"{name}: answers that hide a fault", sum(each["dishonest"] for each in rows), 0),
            Claim.at_most(f"{name}: connections cut by a living service", sum(e["cut"] for e in living), 0),
            Claim.at_least(
                f"{name}: share in time", sum(each["in_time"] for each in living) / max(1, total), 0.99
            ),
        ]
        if parts["writes"]:
            claims += [
                Claim.at_least(f"{name}: items changed", parts["written"], 1),
                Claim.at_most(f"{name}: acknowledged changes lost", parts["lost"], 0),
            ]
    return claims


def main() -> int:
    """Run all scenarios, print the table, write the report."""
    options = arguments(
        "The service while what it depends on fails",
        [("--data", {"type": Path, "default": Path(".run"), "help": "where the demo's files are kept"})],
    )
    bundle = demo_bundle()
    data = options.data.resolve()
    shop, index = prepare(data, bundle, 4000, ProgressLines())
    seconds = 4.0 if options.quick else 15.0
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        redis = stack.enter_context(redis_server(folder))
        proxy = stack.enter_context(FaultProxy(redis.port))
        asks = make_asks(shop, random.Random(5))

        def fill() -> None:
            Service.produce(shop, bundle, data / "embeddings", redis.url)

        fill()
        base = redis.start

        def start() -> None:
            base()
            fill()

        redis.start = start  # type: ignore[method-assign]  # what comes back is filled as before
        settings = {
            "MRSE_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0",
            "MRSE_SERVER_ADMIN_TOKEN": ADMIN_TOKEN,
        }
        with Service(folder, bundle, _copied(index, folder), settings) as service:
            scenarios = _redis(redis, proxy) + _process(service)
            runs["embedded"] = run(scenarios, service, asks, seconds, writes=True)
        parts = vespa_parts(stack, folder, bundle, data / "embeddings")
        if parts is None:
            print("not run: Vespa's container (needs Java 17 and Maven)")
        else:
            peer, version = parts
            vespa_proxy = stack.enter_context(FaultProxy(peer.port))
            settings |= {
                "MRSE_INDEX_ENGINE": "vespa",
                "MRSE_VESPA_URL": f"http://127.0.0.1:{vespa_proxy.port}",
            }
            del settings["MRSE_SERVER_ADMIN_TOKEN"]
            with Service(folder, bundle, version, settings) as service:
                nodes = [
                    Scenario("a content node slow", lambda: peer.fault("node0", "slow", 400), peer.clear),
                    Scenario("a content node down", lambda: peer.fault("node0", "down"), peer.clear),
                ]
                scenarios = [*_through(vespa_proxy, "Vespa"), *nodes]
                runs["vespa"] = run(scenarios, service, asks, seconds, writes=False)
    table(runs)
    return finish(claims_of(runs), runs, options.json, setting="quick" if options.quick else "full")


def _copied(index: Path, folder: Path) -> Path:
    """The index of the demo stays as it is: changes go to a copy."""
    target = folder / "index"
    shutil.copytree(index, target)
    return target


if __name__ == "__main__":
    started = time.monotonic()
    status = main()
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    sys.exit(status)
