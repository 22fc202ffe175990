"""An embedded index under damage, death and a full disk: what is acknowledged is kept, or its loss is told.

``python -m benchmarks.index_faults [--quick] --json FILE``

*Corruptions*: one file of a whole index is damaged at random (a bit, a block of zeros or noise, a cut, a gap,
a repetition, zeros to the end, no file at all), and the index is verified and opened: it is *found*, or
*harmless* (all that the index holds is as it was), never *silent*. *Kills*: a process that writes is killed
with SIGKILL at a random moment, again and again, each time going on with what the last one left. *Full*: a
process writes with a bound on the size of its files until it is refused. *Snapshots* are taken while changes
are made, and restored: each holds every change acknowledged before it, and calls are whole.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.report import Claim, arguments, finish
from common.deadline import Deadline
from devtools.embeddings import unit_vectors
from devtools.index_faults import DIM, contents, corrupt, make_index, verdict
from index.changes import ItemPut
from index.embedded.index import EmbeddedIndex
from index.embedded.snapshot import restore_index, snapshot_index
from index.port import IndexUnavailable

#: Prints the numbers of the pairs that were acknowledged; ends with ``refused`` where the index is full.
WRITER = """
import asyncio, resource, sys
from pathlib import Path
import numpy as np
from common.deadline import Deadline
from index.embedded.index import EmbeddedIndex
from index.changes import ItemPut
from index.port import IndexUnavailable

root, first, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

async def main():
    index = EmbeddedIndex.open(root)
    vectors = np.eye(16, dtype=np.float32)
    async def one(number):
        pair = [ItemPut(f"pair-{number}-{half}", vectors[number % 16]) for half in (0, 1)]
        try:
            await index.upsert(pair, Deadline.after(60))
        except IndexUnavailable as error:
            print("refused", error.reason, number, flush=True)
        else:
            print(number, flush=True)
    for start in range(first, first + 100_000, 20):
        await asyncio.gather(*(one(start + n) for n in range(20)))
        if limit and start > first + 400:
            break
    await index.close()

asyncio.run(main())
"""


def write_until(root: Path, first: int, *, kill_after_s: float | None, limit: int = 0) -> list[str]:
    """Run a process that writes pairs, numbered from ``first`` on; the whole lines that it printed.

    Args:
        root: the index.
        first: number of the first pair.
        kill_after_s: seconds from its first line to its death; None lets it end.
        limit: bytes that its files may have, 0 for no limit.
    """
    command = [sys.executable, "-c", WRITER, str(root), str(first), str(limit)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        said = writer.stdout.readline()
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            writer.send_signal(signal.SIGKILL)
        said += writer.stdout.read()
    return [line.strip() for line in said.splitlines(keepends=True) if line[-1:] == "\n"]


async def pairs(root: Path) -> tuple[set[int], int]:
    """Numbers of the pairs in an index, and how many are there in half."""
    index = EmbeddedIndex.open(root)
    (found,) = await index.search(unit_vectors(1, DIM), 1_000_000, None, Deadline.after(60))
    await index.close()
    halves = Counter(int(item_id.split("-")[1]) for item_id in found.ids if item_id.startswith("pair-"))
    return set(halves), sum(count != 2 for count in halves.values())


def corruptions(pristine: Path, work: Path, cases: int, seed: int = 0) -> Counter[str]:
    """Verdicts on so many damaged copies; each silent one is printed."""
    expected = asyncio.run(contents(pristine))
    verdicts: Counter[str] = Counter()
    for case in range(cases):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(pristine, work)
        what = corrupt(work, random.Random(f"{seed} {case}"))
        told = asyncio.run(verdict(work, expected))
        verdicts[told] += 1
        if told == "silent":
            print(f"silent: case {case} of seed {seed}: {what}")
    return verdicts


def kills(root: Path, times: int, seed: int = 0) -> dict[str, int]:
    """Kill writers; what of theirs was lost or taken in half."""
    chance, acknowledged = random.Random(seed), set[int]()
    for number in range(times):
        lines = write_until(root, number * 100_000, kill_after_s=chance.uniform(0, 0.3))
        acknowledged |= {int(line) for line in lines if line.isdigit()}
    there, half = asyncio.run(pairs(root))
    return {"acknowledged": len(acknowledged), "lost": len(acknowledged - there), "half": half}


def full(root: Path) -> dict[str, int]:
    """Let a writer run into a bound; what was lost, taken though it was refused, or taken in half."""
    (log,) = root.glob("base-*/changes.log")
    lines = write_until(root, 0, kill_after_s=None, limit=log.stat().st_size + 20_000)
    acknowledged = {int(line) for line in lines if line.isdigit()}
    refused = {int(line.split()[2]) for line in lines if line.startswith("refused no-space")}
    there, half = asyncio.run(pairs(root))
    return {
        "acknowledged": len(acknowledged),
        "refused": len(refused),
        "lost": len(acknowledged - there),
        "taken though refused": len(refused & there),
        "half": half,
    }


async def snapshots(root: Path, work: Path, times: int) -> dict[str, int]:
    """Take snapshots while pairs are written, and restore each; what they lack of what was acknowledged."""
    index = EmbeddedIndex.open(root)
    acknowledged: list[int] = []
    ended = False

    async def write() -> None:
        number = 0
        while not ended:
            vector = unit_vectors(1, DIM)[0]
            pair = [ItemPut(f"pair-{number}-{half}", vector) for half in (0, 1)]
            try:
                await index.upsert(pair, Deadline.after(60))
            except IndexUnavailable:
                break
            acknowledged.append(number)
            number += 1
            if number % 200 == 0:
                await index.rebuild()

    writing = asyncio.create_task(write())
    lost = half = 0
    for number in range(times):
        await asyncio.sleep(0.1)
        before = set(acknowledged)
        target, again = work / f"snapshot-{number}", work / f"restored-{number}"
        await asyncio.to_thread(snapshot_index, root, target)
        await asyncio.to_thread(restore_index, target, again)
        there, in_half = await pairs(again)
        lost += len(before - there)
        half += in_half
        shutil.rmtree(target)
        shutil.rmtree(again)
    ended = True
    await writing
    await index.close()
    return {"acknowledged": len(acknowledged), "lost": lost, "half": half}


def main() -> int:
    """Measure, print, write."""
    options = arguments("An embedded index under damage, death and a full disk")
    cases, times = (60, 2) if options.quick else (1000, 20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = asyncio.run(make_index(folder))

        def fresh(name: str) -> Path:
            shutil.copytree(index, folder / name)
            return folder / name

        verdicts = corruptions(index, folder / "damaged", cases)
        killed, filled = kills(fresh("killed"), times), full(fresh("full"))
        kept = asyncio.run(snapshots(fresh("copied"), folder, times))
    print(dict(verdicts), killed, filled, kept)
    claims = [
        Claim.at_least("corruptions tried", sum(verdicts.values()), cases),
        Claim.at_most("corruptions that are silent", verdicts["silent"], 0),
        Claim.at_least("changes acknowledged before kills", killed["acknowledged"], 1),
        Claim.at_most("acknowledged changes lost by kills", killed["lost"], 0),
        Claim.at_most("calls taken in half after kills", killed["half"], 0),
        Claim.at_least("calls refused on a full disk", filled["refused"], 1),
        Claim.at_most("acknowledged changes lost on a full disk", filled["lost"], 0),
        Claim.at_most("refused calls that were taken", filled["taken though refused"] + filled["half"], 0),
        Claim.at_least("changes acknowledged before snapshots", kept["acknowledged"], 1),
        Claim.at_most("changes that a snapshot lacks", kept["lost"] + kept["half"], 0),
    ]
    runs: dict[str, Any] = {"corruptions": verdicts, "kills": killed, "full": filled, "snapshots": kept}
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
