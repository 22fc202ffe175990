"""Three times the load that the service can bear: how many are answered in time, and do probes get through.

``python -m benchmarks.overload [--quick] [--mixes MIX ...] --json FILE``

Each mix finds the peak with a closed loop, then sends requests by a Poisson process at 1, 2 and 3 times that
rate, from a process of its own on a core of its own; a request's time counts from its arrival there. An
answer is good when it is a 200 within 250 ms. Beside the load, ``/livez`` is asked 20 times a second on the
probes' port and on the main port. *single*: four queries that were asked before to a new one; *workers*: the
same with two workers, which then share the client's core; *batches*: of 16; *pictures*: a query in four with
a picture. ``sent`` is what the client itself got sent: where it is below the rate, the client was too slow.
"""

from __future__ import annotations

import base64
import io
import os
import random
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from artifacts.bundle import Bundle
from benchmarks import load
from benchmarks.produce import make_queries
from benchmarks.recall_data import make_index
from benchmarks.report import Claim, arguments, finish
from benchmarks.servers import free_port, processes, server
from cli.demo_files import demo_bundle

K, LIMIT_MS, HITS = 100, 250.0, 200
MIXES = ("single", "workers", "batches", "pictures")
TIMES = (1, 2, 3)
BATCH = 16
#: Seconds within which the service is to be as quick as before.
RECOVERED_S = 2.0
PROBE_EVERY_S = 0.05


def bodies(bundle: Bundle, mix: str, count: int, seed: int) -> list[bytes]:
    """Bodies of requests; each seed has new queries of its own."""
    rng = random.Random(seed)
    known = make_queries(bundle, HITS)
    pictures = [_picture(rng) for _ in range(50)] if mix == "pictures" else []

    def one() -> dict[str, Any]:
        words = rng.choice(known)
        asked = {"query": words if rng.random() < 0.8 else f"{words} {rng.randrange(10**9)}", "k": K}
        if pictures and rng.random() < 0.25:
            asked["picture"] = rng.choice(pictures)
        return asked

    if mix == "batches":
        return [orjson.dumps({"requests": [one() for _ in range(BATCH)]}) for _ in range(count)]
    return [orjson.dumps(one()) for _ in range(count)]


def _picture(rng: random.Random) -> str:
    from PIL import Image

    pixels = np.frombuffer(rng.randbytes(32 * 32 * 3), np.uint8).reshape(32, 32, 3)
    written = io.BytesIO()
    Image.fromarray(pixels).resize((512, 512)).save(written, "JPEG")
    return base64.b64encode(written.getvalue()).decode()


class Beside:
    """Asks an address again and again while something else happens, and notes the times."""

    def __init__(self, address: str) -> None:
        self.milliseconds: list[float] = []
        self.failed = 0
        self._address = address

    def ask(self) -> float:
        """Milliseconds of one question; infinite where it failed."""
        began = time.perf_counter()
        try:
            urllib.request.urlopen(self._address, timeout=5).close()
        except OSError:
            self.failed += 1
            return float("inf")
        return (time.perf_counter() - began) * 1000

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Until the block ends."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(PROBE_EVERY_S):
                self.milliseconds.append(self.ask())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def p99_ms(self) -> float:
        """Infinite where it failed so often."""
        return round(float(np.quantile(self.milliseconds or [float("inf")], 0.99, method="higher")), 2)


def memory_mb(session: int) -> float:
    """Resident memory of a server's processes."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in processes(session))
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


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


def measure(mix: str, bundle: Bundle, index: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """One mix: the peak, and what becomes of it under more."""
    port, probes = free_port(), free_port()
    workers = "2" if mix == "workers" else "1"
    path = "/recall/batch" if mix == "batches" else "/recall"
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve"]
    command += ["--bundle", str(bundle.path), "--index", str(index), "--port", str(port)]
    command += ["--workers", workers]
    cores = sorted(os.sched_getaffinity(0))
    command = ["env", f"MRSE_SERVER_PROBE_PORT={probes}", "MRSE_SERVER_LOG_LEVEL=warning", *command]
    if mix != "workers":
        command = ["taskset", "-c", str(cores[0]), *command]
    with server(command, port, "/readyz", folder / "server.log") as session:
        everything = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores[-1:])  # what is started from here on stays on this core
        try:
            seeds = iter(range(100))
            run = dict(folder=folder, limit_ms=LIMIT_MS)  # noqa: C408 -- keywords
            load.run(port, path, bodies(bundle, mix, 500, next(seeds)), connections=4, seconds=2, **run)
            count = int(seconds * 4000) if mix not in ("batches", "pictures") else 2000
            asked = bodies(bundle, mix, count, next(seeds))
            at_once = 2 if mix == "batches" else 8
            closed = load.run(port, path, asked, connections=at_once, seconds=min(seconds, 10), **run)
            peak = closed["per_s"]
            before = memory_mb(session)
            steps = []
            for times in TIMES:
                asked = bodies(bundle, mix, count, next(seeds))
                live, main = (Beside(f"http://127.0.0.1:{each}/livez") for each in (probes, port))
                with live.asking(), main.asking():
                    rate = times * peak
                    step = load.run(port, path, asked, connections=512, seconds=seconds, rate=rate, **run)
                single = bodies(bundle, "single", 1, next(seeds))[0]
                step |= {
                    "times": times,
                    "rate": round(rate, 1),
                    "livez_p99_ms": live.p99_ms(),
                    "main_livez_p99_ms": main.p99_ms(),
                    "probes_failed": live.failed,
                    "recovery_s": recovery_s(port, single),
                    "memory_mb": memory_mb(session),
                }
                steps.append(step)
                print(mix, {k: step[k] for k in step if k not in ("p50_ms", "p99_ms", "p999_ms", "answered")})
        finally:
            os.sched_setaffinity(0, everything)
    return {"peak_per_s": peak, "closed": closed, "memory_mb": before, "steps": steps}


def claims_of(runs: dict[str, Any]) -> list[Claim]:
    """What is to hold at three times the peak."""
    claims = []
    for mix, run in runs.items():
        most = max(run["closed"]["goodput_per_s"], *(step["goodput_per_s"] for step in run["steps"][:1]))
        last = run["steps"][-1]
        claims += [
            Claim.at_least(f"{mix}: goodput at 3x to the peak's", last["goodput_per_s"] / most, 0.9),
            Claim.at_most(f"{mix}: /livez p99", last["livez_p99_ms"], 100, "ms"),
            Claim.at_most(f"{mix}: recovered within", last["recovery_s"], RECOVERED_S, "s"),
            Claim.at_most(f"{mix}: memory, 3x to 1x", last["memory_mb"] / run["steps"][0]["memory_mb"], 1.1),
        ]
    return claims


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "Three times the load",
        [
            ("--mixes", {"nargs": "*", "choices": MIXES, "default": MIXES, "help": "these alone"}),
            ("--seconds", {"type": float, "help": "of each step; 60, or 5 with --quick"}),
            ("--data", {"type": Path, "default": Path(".run/bench-overload"), "help": "where data is kept"}),
        ],
    )
    bundle = Bundle.load(demo_bundle().resolve())
    index = make_index(bundle, (options.data / bundle.version).resolve(), 4000)
    seconds = options.seconds or (5.0 if options.quick else 60.0)
    with tempfile.TemporaryDirectory() as folder:
        runs = {mix: measure(mix, bundle, index, Path(folder), seconds) for mix in options.mixes}
    return finish(claims_of(runs), runs, options.json, setting="quick" if options.quick else "full")


if __name__ == "__main__":
    sys.exit(main())
