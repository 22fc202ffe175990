"""What requests cost that seek to cost much.

``python -m benchmarks.cost_fuzz --requests 100000 --json FILE`` sends the corpus of `devtools.cost`, then
mutations of the requests that cost most so far, to a real service with the demo shop, one after another. Of
each it measures the longest turn of the event loop, as processor time, and the memory that was gained at the
peak. Judged: no 5xx, no turn above 50 ms, no growth above ten times the request's size (or a floor, for small
ones). Judged too is what memory is left: before a rebuild it may have grown by what changes may take that no
base has yet (`embedded.rebuild_after_mb`), and after one it is as after the corpus. What broke a bound is in
the JSON, with the requests that cost most, which are seeds for the corpus. Linux only.

Then ``--cancellations`` requests are sent and given up at any moment, while others are answered: no answer is
another's, and no error is logged.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.cost_aborts import abort_many
from benchmarks.report import Claim, ProgressLines, arguments, finish
from benchmarks.servers import server
from cli.commands.demo import prepare
from cli.demo_files import demo_bundle
from devtools.cost.judge import LONGEST_TURN_S, Cost, Judge
from devtools.cost.requests import Mutator, Recipe, corpus
from devtools.cost.watch import VARIABLE, Watch, resident_bytes
from devtools.redis import redis_server
from devtools.waiting import free_port
from index.embedded.engine import EmbeddedSettings
from index.embedded.rebuild import run_rebuild

#: Requests that are kept, to be mutated, for each path and status.
_KEPT = 12
_WORST = 40
_ITEMS = 2000
#: Seconds in which a service moves to another base and gives back what the one before took.
_MOVED_S = 10.0
_SHALLOW = (0, 400, 401, 404, 415)


class Fuzzer:
    """Requests one after another, those first whose kin cost most."""

    def __init__(self, judge: Judge, seed: int, total: int) -> None:
        self._judge = judge
        self._total = total
        self._tell = ProgressLines()
        self._random = random.Random(seed)
        self._mutator = Mutator(seed)
        self._kept: dict[tuple[str, int], list[Cost]] = {}
        self._sent = 0
        self.statuses: Counter[int] = Counter()
        self.worst: list[Cost] = []
        self.broken: list[Cost] = []

    def run(self, requests: int) -> None:
        """Send so many requests, the corpus first."""
        recipes = corpus()
        for _ in range(requests):
            recipe = recipes[self._sent] if self._sent < len(recipes) else self._next()
            self._sent += 1
            self._tell("requests", self._sent, self._total)
            cost = self._judge.cost(recipe)
            self.statuses[cost.status] += 1
            if cost.score > 1 or cost.status >= 500:
                self.broken.append(cost)
            self._keep(cost)

    def _keep(self, cost: Cost) -> None:
        group = self._kept.setdefault((_endpoint(cost.recipe), cost.status), [])
        for ranked, most in ((group, _KEPT), (self.worst, _WORST)):
            ranked.append(cost)
            ranked.sort(key=lambda each: -each.score)
            del ranked[most:]

    def _next(self) -> Recipe:
        # What is answered or looked at costs more than what is no request at all.
        groups = [group for (_, status), group in self._kept.items() if status not in _SHALLOW]
        if self._random.random() < 0.1:
            groups = list(self._kept.values())
        one, other = (self._random.choice(self._random.choice(groups)) for _ in range(2))
        return self._mutator.mutated(one.recipe, other.recipe)


def main() -> int:
    """Run it; 0 where all claims hold."""
    options = arguments(
        __doc__.split("\n")[0],
        [
            ("--requests", {"type": int, "default": 100_000}),
            ("--cancellations", {"type": int, "default": 100_000}),
            ("--seed", {"type": int, "default": 1}),
            ("--folder", {"type": Path, "default": None, "help": "of the demo's files, to be kept"}),
        ],
    )
    requests, cancellations = (2_000, 1_000) if options.quick else (options.requests, options.cancellations)
    with tempfile.TemporaryDirectory(prefix="mrse-cost-") as made, redis_server(Path(made)) as redis:
        work = Path(made)
        folder, log, port = options.folder or work / "demo", work / "service.log", free_port()
        os.environ[VARIABLE] = str(work / "watch")
        watch = Watch(work / "watch")
        bundle = demo_bundle()
        _, index = prepare(folder, bundle, _ITEMS, ProgressLines())
        command = [sys.executable, "-m", "devtools.cost.service", str(port), str(bundle), str(index)]
        command.append(redis.url)
        with server(command, port, "/readyz", log, patience_s=120) as pid:
            fuzzer = Fuzzer(Judge(port, pid, watch), options.seed, requests)
            began = time.monotonic()
            fuzzer.run(min(requests, len(corpus())))
            settled = resident_bytes(pid)
            fuzzer.run(requests - len(corpus()))
            took, left = time.monotonic() - began, resident_bytes(pid)
            asyncio.run(run_rebuild(index))
            time.sleep(_MOVED_S)  # its canary asks the index each second, and so moves it
            rebuilt = resident_bytes(pid)
            crossed = asyncio.run(abort_many(port, cancellations, options.seed))
            errors = [line for line in log.read_text(errors="replace").splitlines() if _is_error(line)]
    broken = [each.as_json() for each in fuzzer.broken]
    server_errors = sum(count for status, count in fuzzer.statuses.items() if status >= 500)
    changes = EmbeddedSettings().rebuild_after_mb << 20
    longest = max(each.turn_s for each in fuzzer.worst)
    claims = [
        Claim.at_most("answers with 5xx", server_errors, 0),
        Claim.at_most("requests that broke a bound", sum(each.score > 1 for each in fuzzer.broken), 0),
        Claim.at_most("longest turn", longest * 1000, LONGEST_TURN_S * 1000, "ms"),
        Claim.at_most("memory but for changes", (left - changes) / settled, 1.5, "x that after the corpus"),
        Claim.at_most("memory after a rebuild", rebuilt / settled, 1.5, "x that after the corpus"),
        Claim.at_most("crossed replies", crossed.crossed, 0),
        Claim.at_least("replies beside cancelled ones", crossed.answered, 1),
        Claim.at_most("error lines", len(errors), 0),
    ]
    runs = {
        "requests": sum(fuzzer.statuses.values()),
        "seconds": round(took, 1),
        "statuses": {str(status): count for status, count in sorted(fuzzer.statuses.items())},
        "settled_bytes": settled,
        "left_bytes": left,
        "rebuilt_bytes": rebuilt,
        "cancelled": crossed.cancelled,
        "answered_beside": crossed.answered,
        "errors": errors[:20],
        "broken": broken[:50],
        "worst": [each.as_json() for each in fuzzer.worst],
    }
    return finish(claims, runs, options.json, setting="quick" if options.quick else "full")


def _endpoint(recipe: Recipe) -> str:
    """What a recipe is sent to, however its path goes on."""
    path = recipe.path[0] if isinstance(recipe.path, list) else recipe.path
    return str(path).partition("?")[0][:24]


def _is_error(line: str) -> bool:
    return '"error"' in line.lower() or "Traceback" in line


if __name__ == "__main__":
    raise SystemExit(main())
