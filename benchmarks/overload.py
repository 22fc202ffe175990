"""Three times the load that the service can bear: how many are answered in time, and do probes get through.

``python -m benchmarks.overload [--quick] [--mixes MIX ...] --json FILE``

Each mix finds the peak: the best goodput of closed loops of more and more connections and of Poisson
processes of growing rates, until there is no more gain. Then requests come by a Poisson process at 1, 2 and
3 times that rate, from a process of its own on a core of its own; a request's time counts from its arrival
there. Just before and just after 3 times, the peak is run again, and the better of both is what the goodput
then is compared with. An answer is good when it is a 200 within 250 ms, also one that leaves parts out
(`degraded`), as those under load do; and a batch when every entry is one. Beside the load,
``/livez`` is asked 20 times a second on the probes' port and on the main port. *single*: four queries that
were asked before to a new one, which are told apart, for an answer to a new one is more work; *workers*: the
same with two workers, which then share the client's core; *batches*: of 16; *pictures*: a query in four with
a picture. ``sent`` is what the client itself got sent: where it is below the rate, the client was too slow.
The cache of experts holds 8,000 queries, so that it is full before the first step: memory that grows after it
is none of its.

*fair*: one client with single requests, one after the other, alone and then beside three with batches of 64,
each a process of its own that asks again at once, also after a refusal.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from artifacts.bundle import Bundle
from benchmarks import load
from benchmarks.overload_asks import Asked, Beside, asked_of
from benchmarks.overload_told import FAIR, claims_of
from benchmarks.recall_data import make_index
from benchmarks.report import arguments, finish
from benchmarks.resources import resident_mb
from benchmarks.servers import server
from cli.demo_files import demo_bundle
from devtools.waiting import free_port

LIMIT_MS = 250.0
MIXES = ("single", "workers", "batches", "pictures")
LARGE_BATCH, LARGE_CLIENTS = 64, 3
#: A rate is that much higher than the one before it, until goodput no longer grows by a part of that.
CLIMB, GAIN, MOST_CLIMBS = 1.2, 1.03, 6
#: The header that says who a client is; all come from one address here.
CLIENT = "X-Client"
#: Queries whose experts are kept: more than the 5,000 known ones, fewer than come before the first step.
CACHED = 8000


def recovery_s(port: int, body: bytes) -> float:
    """Seconds until ten requests in a row are answered in time and whole."""
    began, row = time.perf_counter(), 0
    while row < 10 and time.perf_counter() - began < 30:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/recall", body)
        request.add_header("Content-Type", "application/json")
        asked = time.perf_counter()
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                whole = not orjson.loads(answer.read())["degraded"]
        except OSError:
            whole = False
        in_time = (time.perf_counter() - asked) * 1000 < LIMIT_MS
        row = row + 1 if whole and in_time else 0
    return round(time.perf_counter() - began, 2)


@contextmanager
def serving(bundle: Bundle, index: Path, folder: Path, workers: int) -> Iterator[tuple[int, int, int]]:
    """A server on the first core, or with workers on all, and this process on the last.

    Yields:
        its port, that of its probes, and its process id.
    """
    port, probes = free_port(), free_port()
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve"]
    command += ["--bundle", str(bundle.path), "--index", str(index), "--port", str(port)]
    command += ["--workers", str(workers)]
    everything = os.sched_getaffinity(0)
    cores = sorted(everything)
    settings: dict[str, object] = {
        "CACHE_ENTRIES": CACHED,
        "SERVER_PROBE_PORT": probes,
        "SERVER_LOG_LEVEL": "warning",
        "LIMITS_CLIENT_HEADER": CLIENT,
    }
    command = ["env", *(f"MRSE_{name}={value}" for name, value in settings.items()), *command]
    if workers == 1:
        command = ["taskset", "-c", str(cores[0]), *command]
    with server(command, port, "/readyz", folder / "server.log") as session:
        os.sched_setaffinity(0, cores[-1:])  # what is started from here on stays on this core
        try:
            yield port, probes, session
        finally:
            os.sched_setaffinity(0, everything)


class Mix:
    """One mix, asked of a server.

    Args:
        name: of the mix.
        bundle: of the server.
        folder: for bodies.
        port: of the server.
    """

    def __init__(self, name: str, bundle: Bundle, folder: Path, port: int) -> None:
        self._name, self._bundle = name, bundle
        self._seeds, self._firsts = iter(range(1000)), iter(range(100))
        self._port, self._path = port, "/recall/batch" if name == "batches" else "/recall"
        self._folder = folder

    def asked(self) -> Asked:
        """Requests whose new queries were not asked before: the generator numbers them."""
        few = self._name in ("batches", "pictures")
        return asked_of(self._bundle, self._name, 500 if few else 5000, next(self._seeds))

    def closed(self, connections: int, seconds: float) -> dict[str, Any]:
        """A closed loop."""
        return self._run(self.asked(), connections, seconds)

    def at(self, rate: float, seconds: float) -> dict[str, Any]:
        """A Poisson process."""
        return self._run(self.asked(), 512, seconds, rate)

    def _run(
        self, asked: Asked, connections: int, seconds: float, rate: float | None = None
    ) -> dict[str, Any]:
        return load.run(
            self._port,
            self._path,
            asked.bodies,
            self._folder,
            connections=connections,
            seconds=seconds,
            rate=rate,
            limit_ms=LIMIT_MS,
            kinds=asked.kinds,
            first=1 + next(self._firsts) * 1_000_000,
            look=self._name == "batches",
        )

    def again(self, found: list[dict[str, Any]], seconds: float) -> float:
        """The peak as it is now: the better of the best closed loop and the best run, run once more.

        A rate alone would not do: it gives no more than itself where the machine has become faster, and is
        too much where it has become slower; a closed loop goes as fast as the machine does.
        """
        best = max(found, key=_goodput)
        closed = (
            best if "rate" not in best else max((run for run in found if "rate" not in run), key=_goodput)
        )
        now = _goodput(self.closed(closed["connections"], seconds))
        return now if closed is best else max(now, _goodput(self.at(best["rate"], seconds)))

    def peak(self, seconds: float) -> list[dict[str, Any]]:
        """Runs of growing load; the peak is the best goodput among them."""
        counts = (1, 2, 4) if self._name == "batches" else (4, 8, 16, 32)
        runs = [self.closed(count, seconds) | {"connections": count} for count in counts]
        best = max(run["goodput_per_s"] for run in runs)
        rate = 0.9 * best
        for _ in range(MOST_CLIMBS):
            runs.append(self.at(rate, seconds) | {"rate": round(rate, 1)})
            goodput = runs[-1]["goodput_per_s"]
            if goodput < GAIN * best and rate > best:
                break
            best, rate = max(best, goodput), rate * CLIMB
        return runs


def _goodput(run: dict[str, Any]) -> float:
    return float(run["goodput_per_s"])


def measure(name: str, bundle: Bundle, index: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """One mix: the peak, and what becomes of it under more."""
    with serving(bundle, index, folder, 2 if name == "workers" else 1) as (port, probes, session):
        mix = Mix(name, bundle, folder, port)
        mix.closed(4, 2)
        short_s = max(2.0, min(seconds / 4, 5.0))
        found = mix.peak(short_s)
        peak = max(map(_goodput, found))
        before = round(resident_mb(session), 1)
        print(
            name,
            "peak",
            peak,
            [(run.get("rate", run.get("connections")), run["goodput_per_s"]) for run in found],
        )
        steps = []
        # The peak's rate once more at the end: what three times of it left behind.
        for times, share in ((1, 1.0), (2, 0.5), (3, 1.0), (1, 0.5)):
            before_per_s = mix.again(found, 2 * short_s) if times == 3 else None
            live, main = (Beside(f"http://127.0.0.1:{each}/livez") for each in (probes, port))
            with live.asking(), main.asking():
                step = mix.at(times * peak, share * seconds)
            step |= {
                "times": times,
                "rate": round(times * peak, 1),
                "livez_p99_ms": live.p99_ms(),
                "main_livez_p99_ms": main.p99_ms(),
                "probes_failed": live.failed,
                "main_probes_failed": main.failed,
                # Since the last arrival.
                "recovery_s": step["drain_s"]
                + recovery_s(port, asked_of(bundle, "single", 1, 10_000 + times).bodies[0]),
                "memory_mb": round(resident_mb(session), 1),
            }
            if before_per_s is not None:
                step |= {
                    "peak_before_per_s": before_per_s,
                    "peak_after_per_s": mix.again(found, 2 * short_s),
                }
            steps.append(step)
            print(name, {k: step[k] for k in step if k not in ("p50_ms", "p99_ms", "p999_ms", "answered")})
    return {"peak_per_s": peak, "found": found, "memory_mb": before, "steps": steps}


def fair(bundle: Bundle, index: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """One client with single requests, alone and beside others with large batches."""
    with serving(bundle, index, folder, 1) as (port, _, _):
        seeds, firsts = iter(range(1000)), iter(range(1, 100))

        def single(asking_s: float) -> dict[str, Any]:
            asked = asked_of(bundle, "single", 5000, next(seeds))
            run = partial(load.run, port, "/recall", asked.bodies, folder, connections=1, seconds=asking_s)
            run = partial(run, first=next(firsts) * 1_000_000)
            return run(limit_ms=LIMIT_MS, headers={CLIENT: "single"}, kinds=asked.kinds, look=True)

        def batches(client: int) -> dict[str, Any]:
            asked = asked_of(bundle, "batches", 200, 100 + client, LARGE_BATCH)
            run = partial(load.run, port, "/recall/batch", asked.bodies, folder, connections=1, look=True)
            run = partial(run, first=(50 + client) * 1_000_000)
            return run(seconds=seconds + 2, limit_ms=LIMIT_MS, headers={CLIENT: f"batches{client}"})

        single(2)
        alone = single(seconds)
        with ThreadPoolExecutor(LARGE_CLIENTS) as pool:
            others = [pool.submit(batches, client) for client in range(LARGE_CLIENTS)]
            time.sleep(1)  # until they have begun
            beside = single(seconds)
            large = [other.result() for other in others]
    for name, run in (
        ("alone", alone),
        ("beside", beside),
        *((f"batches {n}", run) for n, run in enumerate(large)),
    ):
        print(FAIR, name, run)
    return {"alone": alone, "beside": beside, "batches": large}


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "Three times the load",
        [
            (
                "--mixes",
                {"nargs": "*", "choices": (*MIXES, FAIR), "default": (*MIXES, FAIR), "help": "these"},
            ),
            ("--seconds", {"type": float, "help": "of each step; 60, or 5 with --quick"}),
            ("--data", {"type": Path, "default": Path(".run/bench-overload"), "help": "where data is kept"}),
        ],
    )
    bundle = Bundle.load(demo_bundle().resolve())
    index = make_index(bundle, (options.data / bundle.version).resolve(), 4000)
    seconds = options.seconds or (5.0 if options.quick else 60.0)
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            mix: (fair if mix == FAIR else partial(measure, mix))(bundle, index, Path(folder), seconds)
            for mix in options.mixes
        }
    return finish(claims_of(runs), runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
