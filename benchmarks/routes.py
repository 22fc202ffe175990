"""What each route of ``POST /recall`` costs: the same requests with the old two, with one more, and with all.

``python -m benchmarks.routes --shop SHOP --index INDEX --json FILE`` over an index of the shop that holds
words, pictures and popularity, as `mrse demo` makes it. One service has all the mixes as arms of an
experiment, so a request differs by its routes alone; arms take turns block by block, so that other work on
the machine falls on all alike. Told are the service's own times of its stages, medians over blocks, and its
processor time.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from artifacts.shop.shop import Shop
from benchmarks.report import Claim, arguments, finish
from benchmarks.servers import cpu_seconds, server
from cli.demo_files import demo_bundle
from devtools.waiting import free_port

K = 200
#: Routes beside Q2I and I2I, by arm.
MORE: Mapping[str, tuple[str, ...]] = {
    "old": (),
    "lexical": ("lexical",),
    "u2i": ("u2i",),
    "p2i": ("p2i",),
    "popular": ("popular",),
    "all": ("lexical", "u2i", "p2i", "popular"),
}
ROUTES = MORE["all"]


def configuration(folder: Path) -> Path:
    """A configuration with an arm for each mix, which callers choose."""
    lines = ["[cache]", "queries = 0"]
    for name, on in MORE.items():
        tables = ", ".join(f"{route} = {{enabled = {json.dumps(route in on)}}}" for route in ROUTES)
        lines += [f"[experiments.routes.{name}]", "weight = 1", "forced = true", f"recall = {{{tables}}}"]
    path = folder / "mrse.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def bodies(shop: Shop, count: int, seed: int = 3) -> dict[str, list[dict[str, Any]]]:
    """Requests by what they say."""
    draw = random.Random(seed)
    items = list(shop.items())
    queries = sorted({event.query for event in shop.events() if event.query})
    pictured = [item.picture for item in items if item.picture]

    def history() -> list[dict[str, str]]:
        return [{"item_id": item.id, "action": "click"} for item in draw.sample(items, 20)]

    def picture() -> str:
        name = draw.choice(pictured)
        return base64.b64encode(shop.picture(name)).decode()

    made: dict[str, list[dict[str, Any]]] = {
        "words": [{"query": draw.choice(queries)} for _ in range(count)],
        "words and history": [{"query": draw.choice(queries), "history": history()} for _ in range(count)],
        "picture": [{"picture": picture()} for _ in range(count)],
        "history": [{"history": history()} for _ in range(count)],
        "nothing": [{} for _ in range(count)],
    }
    return {kind: [{**body, "k": K, "timeout_ms": 5000} for body in each] for kind, each in made.items()}


def block(client: httpx.Client, asked: Sequence[Mapping[str, Any]], arm: str, group: int) -> dict[str, float]:
    """Medians over some requests: stages in ms, and processor time of the service in ms a request."""
    stages: dict[str, list[float]] = {}
    before = cpu_seconds(group)
    for body in asked:
        answer = client.post("/recall", json=body, headers={"X-Experiment": f"routes={arm}"})
        answer.raise_for_status()
        for part in answer.headers["Server-Timing"].split(", "):
            name, _, took = part.partition(";dur=")
            stages.setdefault(name, []).append(float(took))
    cpu = (cpu_seconds(group) - before) * 1000 / len(asked)
    return {name: statistics.median(each) for name, each in stages.items()} | {"cpu": cpu}


def measure(url: str, group: int, asked: Mapping[str, Sequence[Any]], rounds: int) -> dict[str, Any]:
    """Medians over rounds by kind of request and arm."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    with httpx.Client(base_url=url, timeout=60) as client:
        for kind, arm in itertools.product(asked, MORE):  # libraries are loaded, connections made
            block(client, asked[kind][:5], arm, group)
        for _ in range(rounds):
            for kind, arm in itertools.product(asked, MORE):
                found.setdefault((kind, arm), []).append(block(client, asked[kind], arm, group))
    told: dict[str, Any] = {}
    for (kind, arm), blocks in found.items():
        names = sorted(set().union(*blocks))
        told.setdefault(kind, {})[arm] = {
            name: round(statistics.median(each[name] for each in blocks if name in each), 3) for name in names
        }
    return told


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "What each route costs.",
        (
            ("--shop", {"type": Path, "required": True, "help": "shop folder"}),
            ("--index", {"type": Path, "required": True, "help": "its index"}),
            ("--bundle", {"type": Path, "help": "bundle folder; by default the shipped one"}),
        ),
    )
    count, rounds = (10, 2) if options.quick else (40, 9)
    asked = bodies(Shop.open(options.shop.resolve()), count)
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [sys.executable, "-c", "from cli.main import main; main()", "serve", "--port", str(port)]
        command += ["--bundle", str((options.bundle or demo_bundle()).resolve())]
        command += ["--index", str(options.index.resolve())]
        command += ["--config", str(configuration(Path(folder)))]
        with server(command, port, "/readyz", Path(folder) / "log", patience_s=300) as group:
            runs = measure(f"http://127.0.0.1:{port}", group, asked, rounds)
    for kind, arms in runs.items():
        print(kind)
        for arm, stages in arms.items():
            print(f"  {arm:<8}" + "".join(f"  {name} {ms:.2f}" for name, ms in stages.items()))
    words = runs["words"]
    claims = [
        Claim.at_most(
            "words, all routes: ms over the old two", words["all"]["total"] - words["old"]["total"], 2.0
        ),
    ]
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
