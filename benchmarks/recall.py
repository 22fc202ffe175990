"""The whole of ``POST /recall`` against load: ours, its bare parts, and a typical assembly, in one run.

``python -m benchmarks.recall [--quick] [--peers PYTHON] --json FILE``
``python -m benchmarks.recall --before CHECKOUT --json FILE``
``python -m benchmarks.recall --on-off --json FILE``

Requests arrive by a Poisson process at a rate that climbs until a server has lost its footing; a request's
time counts from its arrival. *hit* asks 200 queries that were asked before, *miss* never asks one twice,
*mixed* is four hits to a miss; k is 200, and no request has a history. The servers take turns at each rate,
so that other work on the machine falls on all alike. *capacity* is the highest rate at which 99 of 100
answers came within 25 ms and none was missing; *goodput* counts the answers within it.

- *searched* is ours with ``cache.queries = 0``: a hit finds the query's experts and the neighbours of I2I's
  triggers in memory, and is fused and searched every time, as queries are that come with a history. It does
  the work that the other assemblies do.
- *remembered* is ours as it is by default: a query that comes without a history is fused and searched once,
  until the index changes. Here it never does, so that every hit is remembered. A miss is no different.
- *bare* is ``recall_bare``: the same encoder, index and JSON, nothing else.
- *typical* is ``recall_typical``: FastAPI with response_model, onnxruntime a request, JSON vectors in Redis,
  chromadb. ``--peers`` is the Python of an environment with ``requirements/bench.txt``. It does Q2I alone
  and so less than ours; filling chromadb is most of the first run's time.

One process each, its default settings; the generator shares the machine's cores with them.

``--before`` measures something else: whether this commit takes longer than the one whose files are in a
folder (``git worktree add CHECKOUT COMMIT``), by kind of request. See `benchmarks.recall_before`. So does
``--on-off``, of a service with all that operations may turn on, and one with all of it off. See
`benchmarks.recall_onoff`.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from artifacts.bundle import Bundle
from benchmarks import load, turns
from benchmarks.produce import make_queries
from benchmarks.recall_before import before_and_now
from benchmarks.recall_data import make_index
from benchmarks.recall_onoff import on_and_off
from benchmarks.recall_told import OURS, claims_of, plot, table
from benchmarks.report import arguments, finish
from benchmarks.servers import ROOT, cpu_seconds, server
from cli.demo_files import demo_bundle
from devtools.redis import redis_server
from devtools.waiting import free_port
from service.http.columnar import MEDIA_TYPE

K, LIMIT_MS, HITS = 200, 25.0, 200
MIXES = {"hit": 1.0, "miss": 0.0, "mixed": 0.8}


class Bodies:
    """Requests; a query that is to miss is never given twice to a server."""

    def __init__(self, bundle: Bundle, count: int) -> None:
        queries = make_queries(bundle, count)
        self._hits, rest = queries[:HITS], queries[HITS:]
        self._misses = {name: iter(rest) for name in (*OURS, "bare", "typical")}
        self._rng = random.Random(13)

    def hits(self) -> list[bytes]:
        """Each of them once."""
        return [_body(query) for query in self._hits]

    def mixed(self, name: str, count: int, share: float) -> list[bytes]:
        """So many for a server, of which a share was asked before."""
        misses = self._misses[name]
        hits = itertools.cycle(self._rng.sample(self._hits, len(self._hits)))
        return [_body(next(hits if self._rng.random() < share else misses)) for _ in range(count)]


def _body(query: str) -> bytes:
    return orjson.dumps({"query": query, "k": K})


def _different(ports: dict[str, int], share: float) -> dict[str, int]:
    """The servers that answer a mix with so many hits differently."""
    return {name: port for name, port in ports.items() if share or name != "remembered"}


def rates(start: float, factor: float) -> Iterator[float]:
    """A ladder."""
    rate = start
    while rate < 20_000:
        yield rate
        rate *= factor


def sweep(ports: dict[str, int], bodies: Bodies, share: float, folder: Path, quick: bool) -> dict[str, Any]:
    """Every server up the ladder until it has twice been far from the limit; then closer to its capacity."""
    steps: dict[str, list[dict[str, Any]]] = {name: [] for name in ports}
    lost = dict.fromkeys(ports, 0)
    seconds, factor = (1.5, 1.7) if quick else (6.0, 1.25)

    def step(name: str, rate: float) -> dict[str, Any]:
        asked = bodies.mixed(name, int(rate * seconds * 1.3) + 50, share)
        found = load.run(
            ports[name],
            "/recall",
            asked,
            folder,
            connections=64,
            seconds=seconds,
            rate=rate,
            limit_ms=LIMIT_MS,
        )
        found["rate"] = round(rate, 1)
        complete = found["unanswered"] == 0 and found["answered"] == found["sent"]
        found["holds"] = found["p99_ms"] < LIMIT_MS and complete
        steps[name].append(found)
        return found

    for rate in rates(20, factor):
        for name in ports:
            if lost[name] < 2:
                found = step(name, rate)
                far = found["p99_ms"] > 4 * LIMIT_MS or found["goodput_per_s"] < 0.8 * found["per_s"]
                lost[name] = lost[name] + 1 if far else 0
        if min(lost.values()) >= 2:
            break
    for _ in range(0 if quick else 2):
        for name in ports:
            held = capacity(steps[name])
            above = [each["rate"] for each in steps[name] if each["rate"] > held]
            if held and above:
                step(name, (held * min(above)) ** 0.5)
    for each in steps.values():
        each.sort(key=lambda found: float(found["rate"]))
    return {"steps": steps, "capacity_per_s": {name: capacity(each) for name, each in steps.items()}}


def capacity(steps: list[dict[str, Any]]) -> float:
    """The highest rate that a server held."""
    return max((float(step["rate"]) for step in steps if step["holds"]), default=0.0)


def alone(
    ports: dict[str, int], groups: dict[str, int], bodies: Bodies, folder: Path, seconds: float
) -> dict[str, Any]:
    """Hits one at a time, and as fast as they go eight at a time; with the server's processor time a request.

    On a machine that others use too, that time says most about what a server costs.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in ports}
    for count, name in itertools.product((1, 8), ports):
        before = cpu_seconds(groups[name])
        run = load.run(ports[name], "/recall", bodies.hits(), folder, connections=count, seconds=seconds)
        run["cpu_ms"] = round((cpu_seconds(groups[name]) - before) * 1000 / max(1, run["answered"]), 3)
        found[name][str(count)] = run
    found["remembered"]["8 columnar"] = load.run(
        ports["remembered"],
        "/recall",
        bodies.hits(),
        folder,
        connections=8,
        seconds=seconds,
        headers={"Accept": MEDIA_TYPE},
    )
    return found


def compare_two(options: Any) -> int:
    """Print and write what a request takes of this commit and of the one before; or with all on, and off."""
    checkout = None if options.before is None else options.before.resolve()
    if options.bundle is not None or checkout is None:
        given = options.bundle or demo_bundle()
    else:
        given = next((checkout / "models" / "demo_bundle").iterdir())  # which both can serve
    bundle = Bundle.load(given.resolve())
    rows = options.rows or 20_000
    data = (options.data / f"{rows}-{bundle.version}").resolve()
    index = make_index(bundle, data, rows)
    starts, rounds = (1, 3) if options.quick else (options.starts, options.rounds)
    requests = [f"item-{row:07d}" for row in range(rows)], make_queries(bundle, 2_000)
    if checkout is None:
        found = on_and_off(bundle.path, index, requests, starts, rounds)
    else:
        found = before_and_now(checkout, bundle.path, data / "embeddings", index, requests, starts, rounds)
    runs = {"bundle": bundle.version, "rows": rows, "starts": found}
    return finish(turns.claims_of(found), runs, options.json, setting="quick" if options.quick else "full")


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "The whole path against load",
        [
            ("--peers", {"type": Path, "help": "Python of an environment with requirements/bench.txt"}),
            ("--bundle", {"type": Path, "help": "bundle folder; by default the shipped one"}),
            ("--rows", {"type": int, "help": "items; 1,000,000, or 20,000 with --quick"}),
            (
                "--mixes",
                {"nargs": "*", "choices": list(MIXES), "default": list(MIXES), "help": "these alone"},
            ),
            ("--data", {"type": Path, "default": Path(".run/bench-recall"), "help": "where data is kept"}),
            ("--before", {"type": Path, "help": "a folder with the files of a commit: compare with that"}),
            ("--on-off", {"action": "store_true", "help": "all that operations turn on, against all off"}),
            ("--starts", {"type": int, "default": 5, "help": "of both servers, with --before or --on-off"}),
            ("--rounds", {"type": int, "default": 8, "help": "in each start, with --before or --on-off"}),
        ],
    )
    if options.before is not None or options.on_off:
        return compare_two(options)
    bundle = Bundle.load((options.bundle or demo_bundle()).resolve())
    rows = options.rows or (20_000 if options.quick else 1_000_000)
    data = (options.data / f"{rows}-{bundle.version}").resolve()
    index = make_index(bundle, data, rows)
    bodies = Bodies(bundle, 60_000 if options.quick else 600_000)
    serve = [sys.executable, "-c", "from cli.main import main; main()", "serve"]
    for mix in [mix for mix in MIXES if mix not in options.mixes]:
        MIXES.pop(mix)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        ports = {name: free_port() for name in (*OURS, "bare")}
        paths = ["--bundle", str(bundle.path), "--index", str(index)]
        commands = {
            "searched": ["env", "MRSE_CACHE_QUERIES=0", *serve, *paths, "--port", str(ports["searched"])],
            "remembered": [*serve, *paths, "--port", str(ports["remembered"])],
            "bare": [
                sys.executable,
                "-m",
                "benchmarks.recall_bare",
                str(bundle.path),
                str(index),
                str(ports["bare"]),
            ],
        }
        if options.peers:
            redis = stack.enter_context(redis_server(folder))
            ports["typical"] = free_port()
            script = str(ROOT / "benchmarks" / "recall_typical.py")
            parts = [str(options.peers), script, str(bundle.path), str(data / "embeddings")]
            parts += [str(data / "chroma"), redis.url]
            subprocess.run([*parts, "0"], check=True, env={"PYTHONPATH": str(ROOT)})
            commands["typical"] = [*parts, str(ports["typical"])]
        groups = {}
        for name, command in commands.items():
            ready = _body("is it ready")
            log = folder / f"{name}.log"
            groups[name] = stack.enter_context(server(command, ports[name], "/recall", log, body=ready))
            load.run(ports[name], "/recall", bodies.hits(), folder, connections=4, seconds=2.0)
        runs: dict[str, Any] = {"bundle": bundle.version, "rows": rows, "k": K, "limit_ms": LIMIT_MS}
        runs["alone"] = alone(ports, groups, bodies, folder, 2.0 if options.quick else 8.0)
        runs["sweeps"] = {
            mix: sweep(_different(ports, share), bodies, share, folder, options.quick)
            for mix, share in MIXES.items()
        }
    if "typical" not in ports:
        print("not measured: the typical assembly (give --peers)")
    table(runs)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        plot(runs, options.json.with_suffix(".png"))
    return finish(claims_of(runs), runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
