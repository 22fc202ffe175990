"""Our query encoder against LitServe, BentoML, pytriton and plain FastAPI, on the same tower, over HTTP.

``python -m benchmarks.encoder [--quick] [--rounds N] [--peers PYTHON] [--triton PYTHON] --json FILE``

``--peers`` is the Python of an environment with ``requirements/bench.txt``, ``--triton`` that of one with
nvidia-pytriton, whose pins clash with the others'. Servers are alone while they are measured, in rounds in
turn, so that other work on the machine falls on all alike; the median of the rounds is compared. Every
query is new: nothing is cached. *experts* is the graph alone, in process, one query at a time.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from artifacts.bundle import Bundle
from benchmarks import load
from benchmarks.encoder_servers import SERVERS, Tower
from benchmarks.produce import make_queries
from benchmarks.report import Claim, arguments, finish
from benchmarks.servers import ServerFailed, cpu_seconds, server
from cli.demo_files import demo_bundle
from devtools.waiting import free_port

CONCURRENCIES = (1, 8, 32)
MODULES = {"litserve": "litserve", "bentoml": "bentoml", "pytriton": "pytriton", "fastapi": "fastapi"}


def body_of(name: str, query: str) -> bytes:
    """What a server wants to be sent."""
    if name == "bentoml":
        return orjson.dumps({"queries": [query]})
    if name == "pytriton":
        text = {"name": "query", "shape": [1, 1], "datatype": "BYTES", "data": [query]}
        return orjson.dumps({"inputs": [text]})
    return orjson.dumps({"query": query})


def path_of(name: str) -> str:
    """Where it wants it."""
    return "/v2/models/encode/infer" if name == "pytriton" else "/encode"


def installed(python: Path, name: str) -> bool:
    """Whether an environment has what a server needs."""
    if python == Path(sys.executable):
        return importlib.util.find_spec(MODULES.get(name, "service")) is not None
    command = [str(python), "-c", f"import {MODULES[name]}, onnxruntime, tokenizers, pydantic"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def alone(bundle: Bundle, graph: Path, queries: list[str], seconds: float) -> float:
    """Microseconds of the graph for a query by itself, at the median."""
    tower = Tower(str(bundle.path), str(graph))
    times, end = [], time.perf_counter() + seconds
    for query in queries:
        began = time.perf_counter()
        tower.run([query])
        times.append(time.perf_counter() - began)
        if time.perf_counter() > end:
            break
    return statistics.median(times) * 1e6


def measure(
    name: str, python: Path, bundle: Bundle, graph: Path, queries: list[str], folder: Path, seconds: float
) -> dict[int, dict[str, Any]]:
    """One round of one server."""
    port, path = free_port(), path_of(name)
    script = str(Path(__file__).with_name("encoder_servers.py"))
    command = [str(python), script, name, str(bundle.path.resolve()), str(graph.resolve()), str(port)]
    results = {}
    with server(command, port, path, folder / f"{name}.log", body=body_of(name, "ready?")) as group:
        bodies = [body_of(name, query) for query in queries]
        load.run(port, path, bodies, folder, connections=32, seconds=min(1.0, seconds))  # warm
        for place, concurrency in enumerate(CONCURRENCIES):
            share = bodies[place * len(bodies) // 3 : (place + 1) * len(bodies) // 3]
            before = cpu_seconds(group)
            run = load.run(port, path, share, folder, connections=concurrency, seconds=seconds)
            run["cpu_ms"] = (cpu_seconds(group) - before) * 1000 / max(1, run["answered"])
            results[concurrency] = run
    return results


def summary(rounds: list[dict[int, dict[str, Any]]]) -> dict[str, Any]:
    """Medians over the rounds."""
    return {
        str(concurrency): {
            key: statistics.median(each[concurrency][key] for each in rounds)
            for key in ("per_s", "p50_ms", "p99_ms", "cpu_ms")
        }
        | {"failed": sum(each[concurrency]["sent"] - each[concurrency]["answered"] for each in rounds)}
        for concurrency in CONCURRENCIES
    }


def claims_of(results: dict[str, dict[str, Any]]) -> list[Claim]:
    """Ahead of every peer, and clearly where there is something to batch."""
    claims = []
    for concurrency in map(str, CONCURRENCIES):
        for name in results:
            if name != "ours":
                ratio = results["ours"][concurrency]["per_s"] / max(0.1, results[name][concurrency]["per_s"])
                goal = 1.0 if concurrency == "1" else 1.5
                claims.append(Claim.at_least(f"ours over {name}, {concurrency} at once", ratio, goal, "x"))
    return claims


def plot(results: dict[str, dict[str, Any]], target: Path) -> None:
    """Queries a second, a group of bars for each concurrency."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    width = 0.8 / len(results)
    for number, (name, run) in enumerate(results.items()):
        places = [place + number * width for place in range(len(CONCURRENCIES))]
        axes.bar(places, [run[str(c)]["per_s"] for c in CONCURRENCIES], width, label=name)
    axes.set_xticks([place + 0.4 - width / 2 for place in range(len(CONCURRENCIES))], list(CONCURRENCIES))
    axes.set_xlabel("requests under way")
    axes.set_ylabel("queries/s")
    axes.set_title("Query experts over HTTP, no cache, one model process")
    axes.legend()
    figure.savefig(target, dpi=120)


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "The query encoder against other servers of models",
        [
            ("--peers", {"type": Path, "help": "Python of an environment with requirements/bench.txt"}),
            ("--triton", {"type": Path, "help": "Python of an environment with nvidia-pytriton"}),
            ("--bundle", {"type": Path, "help": "bundle folder; by default the shipped one"}),
            ("--rounds", {"type": int, "help": "rounds of each server; 5, or 1 with --quick"}),
            ("--only", {"nargs": "*", "choices": [n for n in SERVERS if n != "ours"], "help": "these peers"}),
        ],
    )
    bundle = Bundle.load(options.bundle or demo_bundle())
    graphs = bundle.manifest.graphs["query_experts"]
    graph = bundle.graph("query_experts", "int8" if "int8" in graphs else "fp32")
    seconds = 2.0 if options.quick else 4.0
    rounds = options.rounds or (1 if options.quick else 5)
    queries = make_queries(bundle, 20_000 if options.quick else 60_000)
    here = Path(sys.executable)
    pythons = {"ours": here, "fastapi": options.peers or here}
    if options.peers:
        pythons |= {"litserve": options.peers, "bentoml": options.peers}
    if options.triton:
        pythons["pytriton"] = options.triton
    left_out: dict[str, str] = {}
    for name in [name for name in SERVERS if name != "ours"]:
        if name not in pythons or not installed(pythons[name], name):
            left_out[name] = "not installed"
        elif options.only is not None and name not in options.only:
            left_out[name] = "not asked for"
    names = [name for name in SERVERS if name not in left_out]
    runs: dict[str, Any] = {"bundle": bundle.version, "graph": graph.name}
    runs["experts_us"] = round(alone(bundle, graph, queries, 1.0 if options.quick else 5.0), 1)
    found: dict[str, list[dict[int, dict[str, Any]]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for name in [name for name in names if name not in left_out]:
                try:
                    round_ = measure(name, pythons[name], bundle, graph, queries, Path(folder), seconds)
                except ServerFailed as error:
                    left_out[name] = str(error)
                else:
                    found[name].append(round_)
    results = {name: summary(each) for name, each in found.items() if each and name not in left_out}
    runs |= {"servers": results, "rounds": found, "left_out": left_out}
    print(f"{'queries/s (CPU ms)':<18}" + "".join(f"{c:>22}" for c in CONCURRENCIES))
    for name, run in results.items():
        cells = (f"{run[str(c)]['per_s']:.0f} ({run[str(c)]['cpu_ms']:.2f})" for c in CONCURRENCIES)
        print(f"{name:<18}" + "".join(f"{cell:>22}" for cell in cells))
    for name, reason in left_out.items():
        print(f"not measured: {name}: {reason.strip().splitlines()[-1]}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        plot(results, options.json.with_suffix(".png"))
    claims = claims_of(results)
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
