"""Changes to the embedded index under load: visibility, throughput, and a rebuild swapped in while it serves.

``python -m benchmarks.live [--quick] --json FILE``

One process searches all the time (one query at a time, unfiltered and filtered in turn) while it is left
alone, while it is written to, and while the index is rebuilt by a process of its own and swapped in. A
search that fails or answers fewer items than there are counts as dropped. *visible* is whether what was
just acknowledged is in the very next answer, in this process and in another opening of the folder.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Claim, arguments, finish
from benchmarks.search_data import DIM, K, make_data, write_embeddings
from common.deadline import Deadline
from index.changes import ItemPut, ItemUpdate
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.manifest import MANIFEST_NAME
from index.filters import parse_filter
from index.port import IndexUnavailable


class Load:
    """Searches one after another until it is told to stop; keeps the time of each by phase."""

    def __init__(self, index: EmbeddedIndex, queries: np.ndarray) -> None:
        self.index = index
        self.queries = queries
        self.phase = "alone"
        self.times: dict[str, list[float]] = {}
        self.dropped = 0
        self.stop = False

    async def run(self) -> None:
        """Search."""
        filters = [None, parse_filter({"random": {"lt": 0.1}}, self.index.attributes)]
        number = 0
        while not self.stop:
            query, accepted = self.queries[number % len(self.queries)], filters[number % 2]
            number += 1
            phase, start = self.phase, time.perf_counter()
            try:
                (found,) = await self.index.search(query[None, :], K, accepted, Deadline.after(10))
                self.dropped += len(found.ids) != K
            except IndexUnavailable:
                self.dropped += 1
            self.times.setdefault(phase, []).append(time.perf_counter() - start)
            await asyncio.sleep(0.001)

    def quantile(self, phase: str, share: float) -> float:
        """Milliseconds."""
        return float(np.quantile(self.times[phase], share) * 1e3)


async def measure(folder: Path, queries: np.ndarray, writes: int, seconds: float) -> dict[str, Any]:
    """All phases; see the module."""
    index, other = EmbeddedIndex.open(folder, verify=False), EmbeddedIndex.open(folder, verify=False)
    load = Load(index, queries)
    searching = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)

    load.phase = "writing"
    vectors = queries[np.arange(writes) % len(queries)]
    calls = [
        index.upsert([ItemPut(f"new-{row}", vectors[row], None, "", {"random": 2.0})], Deadline.after(600))
        for row in range(writes)
    ]
    began = time.perf_counter()
    for start in range(0, writes, 256):
        await asyncio.gather(*calls[start : start + 256])
    written_s = time.perf_counter() - began
    missed = await _visible(index, other, queries)

    load.phase = "alone, changed"
    await asyncio.sleep(seconds)
    load.phase = "rebuilding"
    began = time.perf_counter()
    before = index.manifest.index_version
    await index.rebuild()
    rebuilt_s = time.perf_counter() - began
    load.phase = "after"
    await asyncio.sleep(seconds)
    load.stop = True
    await searching
    stored = await other.vectors([f"new-{row}" for row in range(writes)], Deadline.after(60))
    swapped = before != index.manifest.index_version
    await index.close()
    await other.close()
    return {
        "writes_per_s": writes / written_s,
        "rebuild_s": rebuilt_s,
        "swapped": swapped,
        "lost": writes - len(stored.ids),
        "missed": missed,
        "dropped": load.dropped,
        "searches": {phase: len(times) for phase, times in load.times.items()},
        "p50_ms": {phase: load.quantile(phase, 0.5) for phase in load.times},
        "p99_ms": {phase: load.quantile(phase, 0.99) for phase in load.times},
    }


async def _visible(index: EmbeddedIndex, other: EmbeddedIndex, queries: np.ndarray) -> int:
    """How many of a hundred changes were not in the next answer, here and in another opening."""
    missed = 0
    only = parse_filter({"random": 3.0}, index.attributes)
    for query in queries[:100]:
        for change, expected in (
            (index.upsert([ItemPut("seen", query, None, "", {"random": 2.0})], Deadline.after(60)), []),
            (index.update([ItemUpdate("seen", {"random": 3.0})], Deadline.after(60)), ["seen"]),
            (index.remove(["seen"], Deadline.after(60)), []),
        ):
            await change
            for reader in (index, other):
                (found,) = await reader.search(query[None, :], 5, only, Deadline.after(60))
                missed += found.ids != expected
    return missed


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "Changes to the embedded index under load",
        [
            ("--rows", {"type": int, "help": "items; 1,000,000, or 30,000 with --quick"}),
            ("--data", {"type": Path, "default": Path(".run/bench-search"), "help": "where data is kept"}),
        ],
    )
    rows = options.rows or (30_000 if options.quick else 1_000_000)
    data = options.data / str(rows)
    make_data(data, rows, 100 if options.quick else 500)
    if not (data / "index" / MANIFEST_NAME).exists():
        write_embeddings(data, data / "embeddings")
        build_index(data / "embeddings", data / "index", cluster_rows=1)
    work = data / "changed"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(data / "index", work)
    queries = np.load(data / "queries.npy").reshape(-1, DIM)
    writes, seconds = (2_000, 3.0) if options.quick else (10_000, 20.0)
    run = asyncio.run(measure(work, queries, writes, seconds))
    shutil.rmtree(work, ignore_errors=True)
    for phase, count in run["searches"].items():
        p50, p99 = run["p50_ms"][phase], run["p99_ms"][phase]
        print(f"{phase:<16}{count:>8} searches  p50 {p50:.2f}  p99 {p99:.2f} ms")
    print(f"{run['writes_per_s']:.0f} acknowledged writes/s; rebuilt in {run['rebuild_s']:.1f} s")
    ratio = run["p99_ms"]["rebuilding"] / run["p99_ms"]["alone, changed"]
    claims = [
        Claim.at_most("acknowledged changes not in the next answer", run["missed"], 0),
        Claim.at_most("acknowledged writes lost", run["lost"], 0),
        Claim.at_most("searches dropped", run["dropped"], 0),
        Claim.at_least("swapped", float(run["swapped"]), 1),
        Claim.at_most("p99 while rebuilding against alone", ratio, 2, "x"),
    ]
    return finish(claims, run, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
