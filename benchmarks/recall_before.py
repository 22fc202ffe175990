"""What ``POST /recall`` takes of this commit and of one before: for ``benchmarks.recall --before``.

Both serve the same bundle and an index that each has built of the same embeddings, and take turns
(`benchmarks.turns`). One start of a server differs from the next by some percent, by where its memory comes
to lie, so both are started several times, and the medians of the starts are compared.

The processor time has in it what a server does by the clock, beside requests, such as asking itself a canary:
on a machine so busy that each request takes ten times as long, ten times as much of that falls on each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from artifacts.bundle import Bundle
from benchmarks.produce import make_queries
from benchmarks.recall_data import make_index
from benchmarks.report import finish
from benchmarks.servers import ROOT, cpu_seconds, server
from benchmarks.turns import Runs, blocks_of, claims_of, take_turns
from devtools.waiting import free_port

_MRSE = (sys.executable, "-c", "from cli.main import main; main()")


def compare(
    checkout: Path,
    bundle: Path,
    embeddings: Path,
    index: Path,
    requests: tuple[list[str], list[str]],
    starts: int,
    rounds: int,
) -> list[Runs]:
    """What each start of both gave.

    Args:
        checkout: a folder with the files of the commit before, as ``git worktree add`` makes it.
        bundle: that both can serve.
        embeddings: what ``index`` was built of.
        index: of this commit.
        requests: items that histories are made of; queries, some of which are asked again and again.
        starts: of both servers.
        rounds: blocks of each kind of request, in each start.
    """
    with tempfile.TemporaryDirectory() as made:
        # Anew each time: the folder may have the files of another commit than it had last time.
        before = Path(made, "index")
        command = [*_MRSE, "index", "build", str(embeddings), "--out", str(before)]
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        subprocess.run(
            command, check=True, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, timeout=1800
        )
        served = {"before": (checkout, before), "now": (ROOT, index)}
        return [_start(served, bundle, requests, rounds) for _ in range(starts)]


def _start(
    served: dict[str, tuple[Path, Path]], bundle: Path, requests: tuple[list[str], list[str]], rounds: int
) -> Runs:
    """What a start of both gives; ``served`` are the modules and the index of each."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        hosts, used = {}, {}
        for name, (root, its) in served.items():
            port = free_port()
            command = [*_MRSE, "serve", "--bundle", str(bundle), "--index", str(its), "--port", str(port)]
            log = Path(folder, f"{name}.log")
            group = stack.enter_context(server(command, port, "/readyz", log, root=root))
            hosts[name] = f"127.0.0.1:{port}"
            used[name] = lambda group=group: cpu_seconds(group)
        return take_turns(hosts, blocks_of(*requests), rounds, used)


def compare_with_before(options: Any) -> int:
    """Print and write what a request takes of this commit and of the one before."""
    checkout = options.before.resolve()
    given = options.bundle or next((checkout / "models" / "demo_bundle").iterdir())  # which both can serve
    bundle = Bundle.load(given.resolve())
    rows = options.rows or 20_000
    data = (options.data / f"{rows}-{bundle.version}").resolve()
    index = make_index(bundle, data, rows)
    starts, rounds = (1, 3) if options.quick else (options.starts, options.rounds)
    requests = [f"item-{row:07d}" for row in range(rows)], make_queries(bundle, 2_000)
    found = compare(checkout, bundle.path, data / "embeddings", index, requests, starts, rounds)
    runs = {"bundle": bundle.version, "rows": rows, "starts": found}
    return finish(claims_of(found), runs, options.json, setting="quick" if options.quick else "full")
