"""The embedded index against chromadb, lancedb, hnswlib and usearch, at equal recall, one million items.

``python -m benchmarks.search [--quick] [--peers PYTHON] --json FILE``

``--peers`` is the Python of an environment with ``requirements/bench.txt``; without it ours alone is
measured, against its own exact search. Ours is the whole of ``await index.search``: event loop, filter, ids
as strings; the libraries are called bare. Each runs in a process of its own, one after another, with one
query at a time. Indexes are kept beside the data: only the first run builds them. *exact* scores every
match of a filter and nothing else, from the same files. What is compared closely (ours with *exact*, and
the unfiltered search with a library's bare call) takes turns. *memory* is the proportional set size of one
and of two processes that serve the index.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.report import Claim, arguments, finish
from benchmarks.search_data import FILTERS, Case, K, cases, make_data, write_embeddings
from benchmarks.search_peers import GOAL, PEERS
from common.deadline import Deadline
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.manifest import MANIFEST_NAME
from index.embedded.probe import EXACT
from index.embedded.searched import Planning
from index.filters import parse_filter

#: Ours may be slower than the exact search of the same matches by the noise of the measurement.
NOISE = 1.1
#: Turns that what is compared closely takes.
ROUNDS = 5


async def measure(index: EmbeddedIndex, case: Case, queries: np.ndarray, seconds: float) -> dict[str, Any]:
    """Queries until the time is over, ten at least."""
    accepted = parse_filter({name: {"lt": limit} for name, limit in case.limits.items()}, index.attributes)
    await index.search(queries[:1], K, accepted, Deadline.after(60))
    times, hits, began = [], [], time.perf_counter()
    for query, expected in itertools.cycle(zip(queries, case.truth, strict=True)):
        start = time.perf_counter()
        (found,) = await index.search(query[None, :], K, accepted, Deadline.after(60))
        times.append(time.perf_counter() - start)
        rows = [int(item_id) for item_id in found.ids]
        hits.append(len(np.intersect1d(rows, expected)) / max(1, len(expected)))
        if time.perf_counter() - began > seconds and len(times) >= 10:
            break
    return {
        "recall": round(float(np.mean(hits)), 4),
        "p50_ms": float(np.median(times) * 1e3),
        "best_ms": float(np.min(times) * 1e3),
        "queries": len(times),
        "matches": case.matches,
    }


async def ours(folder: Path, data: Path, seconds: float) -> dict[str, Any]:
    """Our index and its exact search, in turn for each filter."""
    queries = np.load(data / "queries.npy")
    index = EmbeddedIndex.open(folder, verify=False)
    exact = EmbeddedIndex.open(folder, verify=False, planning=Planning(exact_rows=sys.maxsize, reach=EXACT))
    results: dict[str, Any] = {"kind": index.manifest.kind, "filters": {}, "exact": {}, "over_exact": {}}
    if index.manifest.probing is not None:
        results["calibrated"] = index.manifest.probing.model_dump()
    for case in cases(data):
        # In turns, so that what else the machine does falls on both.
        rounds = [
            (
                await measure(index, case, queries, seconds / ROUNDS),
                await measure(exact, case, queries, seconds / ROUNDS),
            )
            for _ in range(ROUNDS)
        ]
        results["filters"][case.name] = _middle([mine for mine, _ in rounds])
        results["exact"][case.name] = _middle([all_rows for _, all_rows in rounds])
        results["over_exact"][case.name] = median(
            mine["p50_ms"] / all_rows["p50_ms"] for mine, all_rows in rounds
        )
    await index.close()
    await exact.close()
    return results


def _middle(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The round with the median p50."""
    return sorted(rounds, key=lambda found: float(found["p50_ms"]))[len(rounds) // 2]


async def _unfiltered(folder: Path, data: Path, seconds: float) -> float:
    index = EmbeddedIndex.open(folder, verify=False)
    case = next(case for case in cases(data) if not case.limits)
    found = await measure(index, case, np.load(data / "queries.npy"), seconds)
    await index.close()
    return float(found["p50_ms"])


def turns(python: Path, peers: Sequence[str], data: Path, seconds: float) -> dict[str, list[float]]:
    """Unfiltered p50s of ours and of libraries, in turns: the machine's speed drifts by the minute."""
    found: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
    for _ in range(ROUNDS):
        found["ours"].append(asyncio.run(_unfiltered(data / "index", data, seconds)))
        for peer in peers:
            measured = run_peer(python, peer, data, seconds, [name for name in FILTERS if not FILTERS[name]])
            found[peer].append(float(next(iter(measured["filters"].values()))["p50_ms"]))
    return found


_WORKER = """
import asyncio, sys
import numpy as np
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from common.deadline import Deadline
from index.embedded.index import EmbeddedIndex
async def main():
    index = EmbeddedIndex.open(Path(sys.argv[1]), verify=True)
    for query in np.load(sys.argv[2])[:200]:
        await index.search(query[None, :], 200, None, Deadline.after(60))
    print("ready", flush=True)
    sys.stdin.readline()
asyncio.run(main())
"""


def memory(folder: Path, data: Path) -> dict[str, float]:
    """Proportional set size in MB of one process, and of two together."""
    command = [sys.executable, "-c", _WORKER, str(folder), str(data / "queries.npy")]
    workers: list[subprocess.Popen[bytes]] = []
    sizes = []
    for _ in range(2):
        workers.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert workers[-1].stdout is not None
        workers[-1].stdout.readline()
        sizes.append(sum(_pss(worker.pid) for worker in workers))
    for worker in workers:
        worker.communicate(b"\n")
    return {"one_mb": sizes[0], "two_mb": sizes[1]}


def _pss(process: int) -> float:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def run_peer(
    python: Path, peer: str, data: Path, seconds: float, filters: Sequence[str] = tuple(FILTERS)
) -> dict[str, Any]:
    """Measure a peer."""
    out = data / f"{peer}.json"
    script = Path(__file__).with_name("search_peers.py")
    command = [str(python), str(script), "measure", peer, str(data), str(out), str(seconds)]
    subprocess.run([*command, json.dumps({name: FILTERS[name] for name in filters})], check=True)
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def fill_peer(python: Path, peer: str, data: Path) -> None:
    """Fill a peer's index, unless it was."""
    script = Path(__file__).with_name("search_peers.py")
    subprocess.run([str(python), str(script), "build", peer, str(data)], check=True)


def claims_of(runs: dict[str, Any]) -> list[Claim]:
    """What the issue asks for, as far as it was measured."""
    mine = runs["ours"]["filters"]
    claims = [Claim.at_least("least recall, all filters", min(run["recall"] for run in mine.values()), GOAL)]
    slower = max(runs["ours"]["over_exact"].values())
    claims.append(Claim.at_most("time against exact search, worst filter", slower, NOISE, "x"))
    memory_ratio = runs["memory"]["two_mb"] / runs["memory"]["one_mb"]
    claims.append(Claim.at_most("memory of two workers against one", memory_ratio, 1.3, "x"))
    peers = runs["peers"]
    if runs["turns"]:
        best = [min(p50s) for p50s in zip(*(v for n, v in runs["turns"].items() if n != "ours"), strict=True)]
        ratio = median(mine / bare for mine, bare in zip(runs["turns"]["ours"], best, strict=True))
        claims.append(Claim.at_most("time against the best library's bare call", ratio, 1.1, "x"))
    for name in ("chromadb", "lancedb"):
        if name in peers:
            ratio = peers[name]["filters"]["random 10.0%"]["p50_ms"] / mine["random 10.0%"]["p50_ms"]
            claims.append(Claim.at_least(f"faster than {name} with a 10% filter", ratio, 20, "x"))
    return claims


def table(runs: dict[str, Any]) -> None:
    """Milliseconds and recall of everyone, a line for each filter."""
    columns = {"ours": runs["ours"]["filters"], "exact": runs["ours"]["exact"]}
    columns |= {name: result["filters"] for name, result in runs["peers"].items()}
    print(f"{'p50 ms (recall)':<14}" + "".join(f"{name:>18}" for name in columns))
    for name in FILTERS:
        cells = (f"{run[name]['p50_ms']:.2f} ({run[name]['recall']:.3f})" for run in columns.values())
        print(f"{name:<14}" + "".join(f"{cell:>18}" for cell in cells))


def plot(runs: dict[str, Any], target: Path) -> None:
    """Time by filter, a line for everyone; hollow where the recall is below the goal."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    columns = {"ours": runs["ours"]["filters"], "exact": runs["ours"]["exact"]}
    columns |= {name: result["filters"] for name, result in runs["peers"].items()}
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for number, (name, run) in enumerate(columns.items()):
        times = [run[each]["p50_ms"] for each in FILTERS]
        (line,) = axes.plot(range(len(times)), times, label=name, linewidth=2.5 if number == 0 else 1.2)
        for place, each in enumerate(FILTERS):
            fill = line.get_color() if run[each]["recall"] >= GOAL else "white"
            axes.plot(place, times[place], "o", color=line.get_color(), markerfacecolor=fill)
    axes.set_yscale("log")
    axes.set_ylabel("p50, ms")
    axes.set_xticks(range(len(FILTERS)), list(FILTERS), rotation=30, ha="right")
    axes.set_title(f"{K} nearest of {runs['rows']:,} items; hollow: recall below {GOAL}")
    axes.legend()
    figure.savefig(target, dpi=120)


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "The embedded index against other libraries",
        [
            ("--peers", {"type": Path, "help": "Python of an environment with requirements/bench.txt"}),
            ("--only", {"nargs": "*", "choices": list(PEERS), "help": "these peers alone"}),
            ("--rows", {"type": int, "help": "items; 1,000,000, or 30,000 with --quick"}),
            ("--seconds", {"type": float, "help": "for each filter; 10, or 2 with --quick"}),
            ("--data", {"type": Path, "default": Path(".run/bench-search"), "help": "where data is kept"}),
        ],
    )
    rows = options.rows or (30_000 if options.quick else 1_000_000)
    seconds = options.seconds or (2.0 if options.quick else 10.0)
    data = options.data / str(rows)
    make_data(data, rows, 100 if options.quick else 500)
    if not (data / "index" / MANIFEST_NAME).exists():
        write_embeddings(data, data / "embeddings")
        began = time.perf_counter()
        build_index(data / "embeddings", data / "index", cluster_rows=1)
        (data / "build.json").write_text(json.dumps(time.perf_counter() - began))
    peers = (options.only or PEERS) if options.peers else ()
    for peer in peers:
        fill_peer(options.peers, peer, data)
    runs: dict[str, Any] = {"rows": rows, "peers": {}}
    runs["ours"] = asyncio.run(ours(data / "index", data, seconds))
    runs["ours"]["build_s"] = json.loads((data / "build.json").read_text())
    runs["memory"] = memory(data / "index", data)
    for peer in peers:
        runs["peers"][peer] = run_peer(options.peers, peer, data, seconds)
    bare = [
        name
        for name in ("hnswlib", "usearch")
        if name in peers and runs["peers"][name]["filters"]["none"]["recall"] >= GOAL
    ]
    runs["turns"] = turns(options.peers, bare, data, seconds) if bare else {}
    table(runs)
    if options.json:
        plot(runs, options.json.with_suffix(".png"))
    return finish(claims_of(runs), runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
