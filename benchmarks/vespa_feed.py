"""Feeding through faults and kills: 100,000 documents and 50,000 later changes end as they should.

The feeder runs in a process of its own and is killed (SIGKILL) five times; each next one goes on from the
journal. The server answers 429, 500, 503, 504 and 507, resets and closes connections before and after it
carried an operation out, talks nonsense, and stays silent. Then the same without faults, for the rate.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Claim, arguments, finish
from devtools.embeddings import make_embeddings
from devtools.vespa_fakes.document_server import Chaos, DocumentServer
from devtools.vespa_fakes.feeding import CHAOS, changes, newest


async def feed(server: DocumentServer, folder: Path, kill_at: list[int]) -> float:
    """Feed folder and changes, killed after that many requests each; returns the seconds it took."""
    paths = [str(folder / "embeddings"), str(folder / "changes.jsonl"), str(folder / "journals")]
    (folder / "journals").mkdir()
    started = time.perf_counter()
    for kill in (*kill_at, None):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "devtools.vespa_fakes.feed_process", server.url, *paths
        )
        if kill is not None:
            await server.has_served(kill)
            process.send_signal(signal.SIGKILL)
        code = await process.wait()
        if code != (0 if kill is None else -signal.SIGKILL):
            raise RuntimeError(f"the feeder ended with {code}")
    for path in (folder / "journals").iterdir():
        path.unlink()
    (folder / "journals").rmdir()
    return time.perf_counter() - started


async def measure(folder: Path, items: int, later: int) -> tuple[dict[str, Any], list[Claim]]:
    """Both feeds, and what they say."""
    make_embeddings(folder / "embeddings", rows=items)
    all_changes = list(changes(items, later, seed=8))
    (folder / "changes.jsonl").write_text("\n".join(map(json.dumps, all_changes)))
    expected = newest(items, all_changes)
    kills = [round((items + later) * share) for share in (0.1, 0.3, 0.5, 0.8, 0.95)]
    async with DocumentServer(chaos=CHAOS) as server:
        seconds = await feed(server, folder, kills)
        stored = {item: document["feed_ver"] for item, document in server.documents.items()}
        wrong = sum(stored.get(item) != version for item, version in expected.items())
        backwards = sum(versions != sorted(set(versions)) for versions in server.history.values())
        faulty = {"seconds": round(seconds, 1), "requests": server.served, "faults": dict(server.faults)}
    async with DocumentServer(chaos=Chaos()) as server:
        seconds = await feed(server, folder, [])
        plain = {"seconds": round(seconds, 1), "operations_per_s": round((items + later) / seconds)}
    claims = [
        Claim.at_most("documents missing or not at their newest", wrong, 0),
        Claim.at_most("documents that should not be there", len(stored.keys() - expected.keys()), 0),
        Claim.at_most("documents that went back a version", backwards, 0),
        Claim.at_least("faults met", sum(faulty["faults"].values()), 0.03 * (items + later)),
    ]
    return {"documents": len(expected), "with_faults": faulty, "without": plain}, claims


def main() -> int:
    """Measure, print, write."""
    options = arguments("Feeding Vespa through faults and kills.")
    items, later = (5_000, 2_000) if options.quick else (100_000, 50_000)
    with tempfile.TemporaryDirectory() as folder:
        runs, claims = asyncio.run(measure(Path(folder), items, later))
    print(json.dumps(runs))
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
