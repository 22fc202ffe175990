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

from benchmarks.servers import ROOT, cpu_seconds, server
from benchmarks.turns import Runs, blocks_of, take_turns
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
    before = index.with_name("index-before")
    if not before.exists():
        command = [*_MRSE, "index", "build", str(embeddings), "--out", str(before)]
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        subprocess.run(command, check=True, cwd=checkout, env=environment, stdout=subprocess.DEVNULL)
    served = {"before": (checkout, before), "now": (ROOT, index)}
    found = []
    for _ in range(starts):
        with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
            hosts, used = {}, {}
            for name, (root, its) in served.items():
                port = free_port()
                command = [*_MRSE, "serve", "--bundle", str(bundle), "--index", str(its), "--port", str(port)]
                log = Path(folder, f"{name}.log")
                group = stack.enter_context(server(command, port, "/readyz", log, root=root))
                hosts[name] = f"127.0.0.1:{port}"
                used[name] = lambda group=group: cpu_seconds(group)
            found.append(take_turns(hosts, blocks_of(*requests), rounds, used))
    return found
