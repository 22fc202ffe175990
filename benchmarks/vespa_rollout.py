"""A rollout with live changes: 20,000 of them race the feed of two versions and five SIGKILLs.

The feeders are the commands that an operator starts; Redis is real. The server keeps documents, honours
conditions, answers 429 and 503 and breaks connections. Both versions have to end as all changes leave them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Claim, arguments, finish
from devtools.redis import redis_server
from devtools.vespa_fakes.document_server import Chaos, DocumentServer
from devtools.vespa_fakes.rollout import Rollout, changes_for

CHAOS = Chaos(seed=3, busy=0.01, unavailable=0.005, reset_before=0.002, reset_after=0.005, timeout=0.002)
#: Who is killed, and after which share of the requests that there are at least.
KILLS = ((0.1, "changes"), (0.25, "blue"), (0.4, "changes"), (0.5, "green"), (0.7, "changes"))


async def measure(folder: Path, items: int, count: int) -> tuple[dict[str, Any], list[Claim]]:
    """One rollout, and what is claimed of it."""
    changes = changes_for(items, count, seed=7)
    with redis_server(folder) as redis:
        async with DocumentServer(chaos=CHAOS, by_type=True) as server:
            rollout = await Rollout.prepare(folder, server, redis.url, items)
            started = time.perf_counter()
            least = 2 * (items + count)
            await rollout.run(changes, [(int(share * least), name) for share, name in KILLS])
            seconds = time.perf_counter() - started
            wrong = rollout.wrong(changes)
            backwards = sum(versions != sorted(versions) for versions in server.history.values())
            runs = {
                "items": items,
                "changes": count,
                "kills": len(KILLS),
                "seconds": round(seconds, 1),
                "requests": server.served,
                "faults": dict(server.faults),
                "documents": len(server.documents),
            }
    claims = [
        Claim.at_most("documents of either version that are not as all changes leave them", len(wrong), 0),
        Claim.at_most("documents that went back a version", backwards, 0),
        Claim.at_least("faults met", sum(runs["faults"].values()), 0.01 * least),  # type: ignore[attr-defined]
    ]
    return runs, claims


def main() -> int:
    """Measure, print, write."""
    options = arguments("A rollout of Vespa with live changes, faults and kills.")
    items, count = (1_000, 1_000) if options.quick else (20_000, 20_000)
    with tempfile.TemporaryDirectory() as folder:
        runs, claims = asyncio.run(measure(Path(folder), items, count))
    print(runs)
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
