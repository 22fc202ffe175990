"""Items by content through a running service: how many a second, what queries notice, what is found.

``python -m benchmarks.put_items [--quick] --json FILE``

A synthetic shop and the demo bundle. Its items are put through ``PUT /items`` without their pictures, while
nobody asks, and then while queries come by a Poisson process, whose times are compared with those while
nothing is put. *bare* is the item tower called in this process with as many items at once, nothing else. A
thousand items are taken out and put with their pictures; each is looked for by its own title when its call is
answered. A call with items that are wrong, each in its own way, has to name each by its field and take the
good ones. And a service that takes new items is killed (SIGKILL), some times: its index must hold each item
that was acknowledged.

The generator, the client and the service share the machine's cores. So beside each rate stands the processor
time of the service for an item, which other work on the machine hardly changes: two cores have 2,000 ms of it
a second.
"""

from __future__ import annotations

import base64
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from artifacts.bundle import Bundle, ItemText, ItemTower
from artifacts.shop.schema import Item
from artifacts.shop.shop import Shop
from benchmarks import load
from benchmarks.put_items_calls import BATCH, HEADERS, TOKEN, Putting, bodies
from benchmarks.put_items_faults import killed, wrong_items
from benchmarks.report import Claim, arguments, finish
from benchmarks.servers import ROOT, cpu_seconds, server
from cli.demo_files import demo_bundle
from devtools.waiting import free_port
from service.settings import Items

MRSE = (sys.executable, "-c", "from cli.main import main; main()")
RATE, K, LIMIT_MS = 50.0, 200, 25.0


def prepare(folder: Path, items: int) -> tuple[Path, Path]:
    """The shop and the index of all its items, made unless they are there."""
    shop, embeddings, index = folder / "shop", folder / "embeddings", folder / "index"
    steps = (
        (shop / "shop.toml", ("shop", "make", str(shop), "--items", str(items), "--seed", "7")),
        (
            embeddings / "meta.json",
            ("embed", str(shop), "--bundle", str(demo_bundle()), "--out", str(embeddings)),
        ),
        (index / "index.json", ("index", "build", str(embeddings), "--out", str(index))),
    )
    for made, command in steps:
        if not made.exists():
            subprocess.run(
                [*MRSE, *command], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=1800
            )
    return shop, index


def bare(bundle: Bundle, items: Sequence[Item], seconds: float) -> float:
    """Items a second through the tower alone, on one thread, as many at once as the service takes."""
    tower, at_once = ItemTower(bundle), Items().max_batch
    texts = [ItemText(item.title, item.category, item.description) for item in items]
    done, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        start = done % (len(texts) - at_once)
        tower.embeddings(tower.features(texts[start : start + at_once]).astype(np.float16))
        done += at_once
    return done / spent


def asked(port: int, items: Sequence[Item], folder: Path, seconds: float, first: int) -> dict[str, Any]:
    """Queries that nobody asked before."""
    queries = [
        orjson.dumps({"query": f"{item.title} {first + number}", "k": K})
        for number, item in enumerate(list(items) * 10)
    ]
    return load.run(
        port, "/recall", queries, folder, connections=32, seconds=seconds, rate=RATE, limit_ms=LIMIT_MS
    )


def look_for(url: str, items: Sequence[Item], shop: Shop) -> dict[str, Any]:
    """Take items out, put them with their pictures a call at a time, and ask for each by its title."""

    def picture(item: Item) -> str | None:
        return None if item.picture is None else base64.b64encode(shop.picture(item.picture)).decode()

    calls, ranks, seconds = bodies(items, picture), [], 0.0
    with httpx.Client(base_url=url, headers=HEADERS, timeout=120) as client:
        for start in range(0, len(items), 256):
            ids = [item.id for item in items[start : start + 256]]
            client.post("/items/delete", json={"ids": ids}).raise_for_status()
        for number, call in enumerate(calls):
            began = time.perf_counter()
            answer = client.put("/items", content=call)
            seconds += time.perf_counter() - began
            assert answer.status_code == 200, answer.text[:500]
            for item in items[number * BATCH : (number + 1) * BATCH]:
                found = client.post("/recall", json={"query": item.title, "k": K}).json()["items"]
                ids = [each["item_id"] for each in found]
                ranks.append(ids.index(item.id) + 1 if item.id in ids else 0)
    there = [rank for rank in ranks if rank]
    return {
        "items": len(items),
        "with_pictures": sum(item.picture is not None for item in items),
        "found": len(there),
        "median_rank": statistics.median(there) if there else None,
        "first": sum(rank == 1 for rank in there),
        "in_10": sum(rank <= 10 for rank in there),
        "items_per_s": round(len(items) / seconds, 1),
    }


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "Items by content",
        [
            ("--items", {"type": int, "help": "of the shop; 4,000, or 1,000 with --quick"}),
            ("--data", {"type": Path, "default": Path(".run/bench-put"), "help": "where data is kept"}),
        ],
    )
    count = options.items or (1_000 if options.quick else 4_000)
    seconds, rounds, sought, kills = (3.0, 1, 200, 1) if options.quick else (12.0, 3, 1_000, 5)
    shop_folder, index = prepare(options.data.resolve() / str(count), count)
    shop, bundle = Shop.open(shop_folder), Bundle.load(demo_bundle())
    items = list(shop.items())
    calls = bodies(items, lambda item: None)
    runs: dict[str, Any] = {"rounds": []}
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copytree(index, work / "index")
        port = free_port()
        command = [*MRSE, "serve", "--port", str(port), "--bundle", str(demo_bundle()), "--index"]
        command += [str(work / "index"), "--config", str(work / "mrse.toml")]
        (work / "mrse.toml").write_text(f'[server]\nadmin_token = "{TOKEN}"\naccess_log = false\n')
        running = stack.enter_context(ExitStack())
        group = running.enter_context(server(command, port, "/readyz", work / "log", patience_s=120))
        url = f"http://127.0.0.1:{port}"
        Putting(url, calls[:1], again=False).run()  # the first item opens the tower
        runs["wrong"] = wrong_items(url, shop)
        runs["found"] = look_for(url, items[-sought:], shop)
        for number in range(rounds):
            found: dict[str, Any] = {"bare_per_s": bare(bundle, items, seconds / 3)}
            found["alone"] = asked(port, items, work, seconds, number * 1_000_000)
            quiet = Putting(url, calls, again=True)
            threading.Timer(seconds, quiet.stop.set).start()
            before = cpu_seconds(group)
            found["quiet_per_s"] = quiet.run()
            found["cpu_ms_per_item"] = (cpu_seconds(group) - before) * 1000 / max(1, quiet.done)
            busy, rate = Putting(url, calls, again=True), [0.0]
            thread = threading.Thread(target=lambda busy=busy, rate=rate: rate.__setitem__(0, busy.run()))
            thread.start()
            found["beside"] = asked(port, items, work, seconds, number * 1_000_000 + 500_000)
            busy.stop.set()
            thread.join()
            found["beside_per_s"] = rate[0]
            found["failed"] = quiet.failed + busy.failed
            runs["rounds"].append(found)
        running.close()
        runs["killed"] = [
            killed(command, port, work, work / "index", items, 0.1 + 0.7 * number) for number in range(kills)
        ]
    return finish(_claims(runs), runs, options.json, setting="quick" if options.quick else "full")


def _claims(runs: dict[str, Any]) -> list[Claim]:
    def median(read: Callable[[dict[str, Any]], float]) -> float:
        return statistics.median(read(each) for each in runs["rounds"])

    failed = sum(len(each["failed"]) for each in runs["rounds"])
    for name, value in (
        ("bare tower, items/s", median(lambda each: each["bare_per_s"])),
        ("queries alone, p50 ms", median(lambda each: each["alone"]["p50_ms"])),
        ("queries alone, p99 ms", median(lambda each: each["alone"]["p99_ms"])),
        ("queries beside, p50 ms", median(lambda each: each["beside"]["p50_ms"])),
        ("with pictures, items/s", runs["found"]["items_per_s"]),
        ("found first by title", runs["found"]["first"]),
        ("found in ten by title", runs["found"]["in_10"]),
    ):
        print(f"{name}: {value:.1f}")
    return [
        Claim.at_least("items/s, nobody asks", median(lambda each: each["quiet_per_s"]), 200),
        Claim.at_least("items/s beside 50 queries/s", median(lambda each: each["beside_per_s"]), 200),
        Claim.at_most("p99 of the queries beside", median(lambda each: each["beside"]["p99_ms"]), 25, "ms"),
        Claim.at_least("of 1000 found by their title", runs["found"]["found"] / runs["found"]["items"], 1),
        Claim.at_most("calls that failed", failed, 0),
        Claim.at_most(
            "processor time of the service, an item", median(lambda each: each["cpu_ms_per_item"]), 10, "ms"
        ),
        Claim.at_least("wrong items told by their fields", runs["wrong"]["right"], runs["wrong"]["wrong"]),
        Claim.at_least("of 2 good items beside them, found", runs["wrong"]["good_found"], 2),
        Claim.at_least("acknowledged before kills", sum(each["acknowledged"] for each in runs["killed"]), 1),
        Claim.at_most("of these, lost", sum(each["lost"] for each in runs["killed"]), 0),
    ]


if __name__ == "__main__":
    sys.exit(main())
