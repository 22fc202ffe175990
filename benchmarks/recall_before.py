"""What ``POST /recall`` takes of this commit and of one before: for ``benchmarks.recall --before``.

Both serve the same bundle and an index that each has built of the same embeddings, and take turns
(`benchmarks.turns`); so do two services of this commit (`benchmarks.recall_onoff`). One start of a server
differs from the next by some percent, by where its memory comes to lie, so both are started several times,
and the medians of the starts are compared.

The processor time has in it what a server does by the clock, beside requests, such as asking itself a canary:
on a machine so busy that each request takes ten times as long, ten times as much of that falls on each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.servers import ROOT, cpu_seconds, server
from benchmarks.turns import Runs, blocks_of, take_turns
from devtools.waiting import free_port

_MRSE = (sys.executable, "-c", "from cli.main import main; main()")


class Served(NamedTuple):
    """A service: the folder of its modules, what it searches, and more options of ``mrse serve``."""

    root: Path
    index: Path
    options: Sequence[str] = ()


def before_and_now(
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
        served = {"before": Served(checkout, before), "now": Served(ROOT, index)}
        return starts_of(served, bundle, requests, starts, rounds)


def starts_of(
    served: Mapping[str, Served],
    bundle: Path,
    requests: tuple[list[str], list[str]],
    starts: int,
    rounds: int,
) -> list[Runs]:
    """What each start of two services gave, the one that is compared with first; see `before_and_now`."""
    return [_start(served, bundle, requests, rounds) for _ in range(starts)]


def _start(
    served: Mapping[str, Served], bundle: Path, requests: tuple[list[str], list[str]], rounds: int
) -> Runs:
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        hosts, used = {}, {}
        for name, (root, its, more) in served.items():
            port = free_port()
            command = [*_MRSE, "serve", "--bundle", str(bundle), "--index", str(its), *more]
            command += ["--port", str(port)]
            log = Path(folder, f"{name}.log")
            group = stack.enter_context(server(command, port, "/readyz", log, root=root, patience_s=300))
            hosts[name] = f"127.0.0.1:{port}"
            used[name] = lambda group=group: cpu_seconds(group)
        return take_turns(hosts, blocks_of(*requests), rounds, used)
