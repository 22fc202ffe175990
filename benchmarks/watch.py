"""What is watched: panels of a loaded service have data, nothing fires while all is well, an end is noticed.

    python -m benchmarks.watch --json watch.json

A real Prometheus (Debian's package) scrapes two workers as it is shipped: the same intervals, the same rules,
the same patience. For ten minutes they answer a steady load of all kinds; then they are killed, and started
again. Every alert counts. How busy the machine was is told beside them: one that is busy rightly fires some.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
import yaml

from benchmarks.chaos_service import Service
from benchmarks.report import Claim, ProgressLines, arguments, finish
from cli.commands.demo import prepare
from cli.demo_files import demo_bundle
from devtools.prometheus import alerts, ask, prometheus, prometheus_executable, queries
from devtools.redis import redis_server

#: Requests a second.
_RATE = 10.0
_LOOK_EVERY_S = 5.0
_EXPERIMENT = (
    "[experiments.merge]\nscore = { weight = 1 }\nrrf = { weight = 1, recall = { merge = 'rrf' } }\n"
)
#: What Prometheus may take beside an alert's patience: a scrape (5 s), and two evaluations (15 s each).
_SLACK_S = 35.0


def _body(number: int) -> dict[str, object]:
    """A request: most of them asked before, some with a history, some with a filter, a few that are wrong."""
    kind = number % 20
    if kind == 0:
        return {"k": 0}
    if kind in (1, 2):
        return {"query": "shoes", "history": [{"item_id": "nobody", "action": "click"}]}
    if kind in (3, 4):
        return {"query": f"red shoes {number % 7}", "filters": {"category": "no such thing"}}
    if kind == 5:
        return {"query": f"something new {number}"}
    return {"query": f"red shoes {number % 50}", "k": 50}


async def load(url: str, seconds: float, answers: Counter[str]) -> None:
    """A steady load, whatever the answers take."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:

        async def one(number: int) -> None:
            try:
                if number % 20 == 6:
                    answer = await client.get("/items/i0000003/similar")
                else:
                    answer = await client.post("/recall", json=_body(number))
                answers[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                answers[type(error).__name__] += 1

        began, tasks = time.monotonic(), set[asyncio.Task[None]]()
        number = 0
        while time.monotonic() - began < seconds:
            task = asyncio.create_task(one(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(0.0, began + number / _RATE - time.monotonic()))
        await asyncio.gather(*tasks)


async def healthy(url: str, watching: httpx.Client, seconds: float) -> tuple[Counter[str], dict[str, float]]:
    """Load for so long; the answers, and the alerts that fired with the seconds after which they did."""
    answers, fired, tell = Counter[str](), dict[str, float](), ProgressLines()
    loading = asyncio.create_task(load(url, seconds, answers))
    began = time.monotonic()
    while not loading.done():
        await asyncio.wait([loading], timeout=_LOOK_EVERY_S)
        for name in await asyncio.to_thread(alerts, watching):
            fired.setdefault(name, round(time.monotonic() - began, 1))
        tell("seconds", int(time.monotonic() - began), int(seconds))
    await loading
    return answers, fired


def panels(watching: httpx.Client, name: str) -> list[str]:
    """The queries of a dashboard that give nothing."""
    return [query for query in queries(name) if not ask(watching, query)]


def until(watching: httpx.Client, name: str, fires: bool, seconds: float) -> float:
    """Seconds until an alert fires, or fires no more; infinite where it does not within so long."""
    began = time.monotonic()
    while (name in alerts(watching)) != fires:
        if time.monotonic() - began > seconds:
            return float("inf")
        time.sleep(0.5)
    return time.monotonic() - began


def patience(name: str) -> float:
    """Seconds that a shipped alert waits before it fires."""
    rules = yaml.safe_load((Path(__file__).parents[1] / "docker/alerts.yml").read_text())
    (found,) = (rule for group in rules["groups"] for rule in group["rules"] if rule.get("alert") == name)
    text = str(found.get("for", "0s"))
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def main() -> int:
    """Watch, kill, write."""
    options = arguments(
        "Panels, alerts and their silence, by a real Prometheus",
        [
            ("--data", {"type": Path, "default": Path(".run"), "help": "where the demo's files are kept"}),
            ("--minutes", {"type": float, "default": 10.0, "help": "of the healthy run"}),
        ],
    )
    if prometheus_executable() is None:
        print("prometheus is not installed; Debian's package is prometheus", file=sys.stderr)
        return 2
    minutes = 1.5 if options.quick else options.minutes
    bundle = demo_bundle()
    _, index = prepare(options.data.resolve(), bundle, 4000, ProgressLines())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = folder / "mrse.toml"
        config.write_text(_EXPERIMENT)
        with redis_server(folder) as redis:
            settings = {"MRSE_CONFIG": str(config), "MRSE_REDIS_URL": redis.url}
            with Service(folder, bundle, index, settings, workers=2, caches=True) as service:
                target = service.url.removeprefix("http://")
                with prometheus(folder, target) as watching:
                    busy = [os.getloadavg()[0]]
                    answers, fired = asyncio.run(healthy(service.url, watching, minutes * 60))
                    busy.append(os.getloadavg()[0])
                    empty = {name: panels(watching, name) for name in ("recall", "experiments")}
                    asked = {name: len(queries(name)) for name in empty}
                    service.kill()
                    allowed = patience("RecallDown") + _SLACK_S
                    noticed = until(watching, "RecallDown", True, 2 * allowed)
                    service.start()
                    over = until(watching, "RecallDown", False, 120)
    claims = [
        Claim.at_least("minutes of health", minutes, 10 if not options.quick else 1),
        Claim.at_most("alerts that fired meanwhile", len(fired), 0),
        Claim.at_most("queries of panels without data", sum(map(len, empty.values())), 0),
        Claim.at_most("seconds from the kill to the alert", noticed, allowed, "s"),
        Claim.at_most("seconds from the start until it is over", over, _SLACK_S, "s"),
    ]
    runs = {
        "answers": dict(answers),
        "fired": fired,
        "load_1m": busy,
        "queries": asked,
        "without_data": empty,
    }
    print(runs)
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
