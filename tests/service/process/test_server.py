"""Several workers: whichever is asked answers for all of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.servers import worker_processes
from common.metrics import SHARED_VARIABLE
from devtools.waiting import free_port, wait_for
from service.process.shared_metrics import forget_gauges
from service.recall.routes import ROUTES
from tests.service.conftest import Demo

ROOT = Path(__file__).parents[3]
RECALL = {"route": "/recall", "method": "POST", "status": "2xx"}


@contextmanager
def serving(demo: Demo, workers: int, cwd: Path | None = None, **variables: str) -> Iterator[tuple[str, int]]:
    """Address, and process id of the parent, which leads a session. As a script, so without the folder."""
    port = free_port()
    command = [
        sys.executable,
        "-c",
        "import sys; del sys.path[0]; from cli.main import main; main()",
        "serve",
    ]
    command += ["--bundle", str(demo.bundle.path), "--index", str(demo.index)]
    command += ["--port", str(port), "--workers", str(workers)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        cwd=cwd,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _metric(url, "mrse_ready") == 1)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def serve(demo: Demo, workers: int) -> Iterator[str]:
    with serving(demo, workers) as (url, _):
        yield url


def _forks(session: int) -> set[int]:
    """Ids of the workers of a service."""
    return set(worker_processes(session))


def _metrics(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _metric(url: str, name: str, **labels: str) -> float | None:
    """Asked on a connection of its own, so of whichever worker takes it."""
    try:
        text = httpx.get(f"{url}/metrics", timeout=30).text
    except httpx.HTTPError:
        return None
    return _metrics(text).get((name, frozenset(labels.items())))


_ARMS = """
[experiments.merge]
score = {weight = 1}
rrf = {weight = 1, recall = {merge = "rrf"}}
"""


def test_four_workers_count_what_the_client_counts_by_arm(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "arms.toml").write_text(_ARMS)
    with serving(demo, 4, MRSE_CONFIG=str(tmp_path / "arms.toml")) as (url, _):
        wait_for(lambda: all(_metric(url, "mrse_ready") == 1 for _ in range(8)))
        before = httpx.get(f"{url}/metrics", timeout=30).text

        def ask(number: int) -> tuple[str, str]:
            """The arm of a request and how it ended; entries of a batch are told by their answers."""
            body: dict[str, object] = {"query": f"shoes {number % 7}", "user_id": f"user {number}", "k": 3}
            if number % 5 == 0:
                body["filters"] = {"category": "no such thing"}
            response = httpx.post(f"{url}/recall", json=body | {"timeout_ms": 10_000}, timeout=30)
            answer = response.json()
            return answer["variant"]["merge"], "empty" if not answer["items"] else "full"

        with ThreadPoolExecutor(2) as pool:  # few, so that none is refused on a busy machine
            told = Counter(pool.map(ask, range(120)))
        assert {arm for arm, _ in told} == {"score", "rrf"}
        was, now = _metrics(before), _metrics(httpx.get(f"{url}/metrics", timeout=30).text)

        def grown(name: str, arm: str, **more: str) -> float:
            key = name, frozenset({"experiment": "merge", "arm": arm, **more}.items())
            return now.get(key, 0.0) - was.get(key, 0.0)

        for arm in ("score", "rrf"):
            whole = told[arm, "empty"] + told[arm, "full"]
            assert grown("mrse_arm_requests_total", arm, outcome="answered") == whole
            assert grown("mrse_arm_request_duration_seconds_count", arm) == whole
            assert grown("mrse_arm_empty_total", arm) == told[arm, "empty"]
        assert now["process_resident_memory_bytes", frozenset()] > 4 * 20e6
        assert now["process_cpu_seconds_total", frozenset()] > 0.5
        assert sum(name == "mrse_build_info" for name, _ in now) == 1


def test_two_workers_count_together(demo: Demo) -> None:
    with serve(demo, 2) as url:

        def ask(number: int) -> str:
            body = {"query": f"red shoes {number % 5}", "k": 3, "timeout_ms": 10_000}
            response = httpx.post(f"{url}/recall", json=body, timeout=30)
            assert response.status_code == 200, response.text
            return response.text

        # Until both are ready some answers are problems, and those are not counted here.
        before = _metric(url, "mrse_requests_total", **RECALL) or 0.0
        wait_for(lambda: all(_metric(url, "mrse_ready") == 1 for _ in range(4)))
        with ThreadPoolExecutor(2) as pool:  # few, so that none is refused on a busy machine
            list(pool.map(ask, range(60)))
        seen = {_metric(url, "mrse_requests_total", **RECALL) for _ in range(8)}
        assert seen == {before + 60}
        assert _metric(url, "mrse_request_duration_seconds_count", route="/recall") == before + 60
        assert _metric(url, "mrse_in_flight") == 0
        wait_for(lambda: 5 <= (_metric(url, "mrse_cache_entries") or 0) <= 10)
        index = httpx.get(f"{url}/version").json()["towers"]["control"]["index"]["version"]
        labels = {"arm": "control", "bundle": demo.bundle.version, "index": index}
        assert _metric(url, "mrse_bundle_info", **labels) == 1


def _owners(port: int, clients: set[int], pids: set[int]) -> Counter[int]:
    """How many of a server's connections to some ports of clients each process has taken."""
    taken = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        here, there = (int(address.rpartition(":")[2], 16) for address in fields[1:3])
        if here == port and there in clients:
            taken.add(f"socket:[{fields[9]}]")
    owners: Counter[int] = Counter()
    for pid in pids:
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # it was closed meanwhile
                owners[pid] += str(each.readlink()) in taken
    return owners


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_a_worker_that_is_killed_or_replaced_comes_back_as_a_fork(demo: Demo, tmp_path: Path) -> None:
    # What workers import is imported where they are forked from, and never from the working directory.
    (tmp_path / "uvloop.py").write_text("raise SystemExit('imported from the working directory')")
    config = tmp_path / "mrse.toml"
    config.write_text("")
    with serving(demo, 2, cwd=tmp_path, MRSE_CONFIG=str(config)) as (url, parent):

        def replaced(gone: set[int]) -> bool:
            """Two workers, none of them one that has gone, and they answer."""
            now = _forks(parent)
            return len(now) == 2 and not now & gone and _metric(url, "mrse_ready") == 1

        wait_for(lambda: replaced(set()))
        config.write_text("not TOML")  # which keeps no worker from coming back as it was
        killed = min(_forks(parent))
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: replaced({killed}))
        config.write_text("")
        before = _forks(parent)
        with _asking(url) as problems:
            os.kill(parent, signal.SIGHUP)
            wait_for(lambda: replaced(before))
        assert not problems, "while all workers are replaced, no request finds one that cannot answer"
        assert (
            httpx.post(f"{url}/recall", json={"query": "shoes", "timeout_ms": 10_000}, timeout=30).status_code
            == 200
        )
        os.kill(parent, signal.SIGKILL)
        wait_for(lambda: not _alive(parent))
        address = (url.split("/")[2].split(":")[0], int(url.rpartition(":")[2]))
        socket.create_server(address).close()


@contextmanager
def _asking(url: str) -> Iterator[set[str]]:
    """Two clients that ask on kept and on new connections, and what went wrong but for a busy machine."""
    problems: set[str] = set()
    stop = threading.Event()

    def ask(kept: httpx.Client) -> None:
        while not stop.is_set():
            for post in (kept.post, httpx.post):
                try:
                    answer = post(f"{url}/recall", json={"query": "a", "timeout_ms": 10_000}, timeout=60)
                except httpx.HTTPError as error:
                    problems.add(repr(error))
                else:
                    if answer.status_code != 200:
                        problems.add(answer.json()["type"])

    with ThreadPoolExecutor(2) as pool, httpx.Client(timeout=60) as one, httpx.Client(timeout=60) as two:
        asking = [pool.submit(ask, client) for client in (one, two)]
        yield problems
        stop.set()
        for each in asking:
            each.result()
    problems -= {"/problems/overloaded", "/problems/deadline-exceeded"}


def _alive(session: int) -> set[int]:
    """Ids of all processes of a session."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, owner = file.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(owner) == session and state != "Z":
            found.add(int(file.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hangup_while_the_service_starts_is_taken_when_it_has(demo: Demo, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve", "--port", str(free_port())]
    command += ["--bundle", str(demo.bundle.path), "--index", str(demo.index)]
    said = tmp_path / "log"
    with said.open("w") as log:
        process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=log)
    try:

        def holds_hangups() -> bool:
            status = Path(f"/proc/{process.pid}/status").read_text()
            blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
            return bool(int(blocked.split()[1], 16) & 1 << signal.SIGHUP - 1)

        wait_for(holds_hangups)
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
        wait_for(lambda: '"reloaded"' in said.read_text())
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(60)


_EXTENSION = """
from service.recall.routes import register
from service.recall.routes.outcome import RouteOutcome
from service.recall.routes.route import Route, RouteSettings

class Toy(Route[RouteSettings]):
    name = "toy"
    settings = RouteSettings

    async def run(self, request, earlier):
        return RouteOutcome("ok", coverage=1.0)

register(Toy())

# Whoever has fewer connections takes the next one, however busy the machine is.
from service.process import sharing
sharing.PAUSE_S = 30.0
"""


def test_every_worker_has_the_extensions_and_its_share_of_connections(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "toy_extension.py").write_text(_EXTENSION)
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    variables = {"MRSE_EXTENSIONS": "toy_extension", "PYTHONPATH": path, "MRSE_RECALL_TOY_SHARE": "0.0"}
    with serving(demo, 2, **variables) as (url, parent), ExitStack() as stack:
        wait_for(lambda: all(_metric(url, "mrse_ready") == 1 for _ in range(4)))
        for number in range(8):
            answer = httpx.post(f"{url}/recall", json={"query": "shoes", "timeout_ms": 10_000}, timeout=30)
            assert list(answer.json()["routes"]) == [*ROUTES, "toy"], number
        schema = httpx.get(f"{url}/openapi.json").json()["components"]["schemas"]["Source"]
        assert schema["properties"]["route"]["enum"] == [*ROUTES, "toy"]

        if sys.platform == "linux":  # where /proc tells who has which connection
            port, workers, clients = int(url.rsplit(":", 1)[1]), _forks(parent), set[int]()
            late = min(workers)
            os.kill(late, signal.SIGSTOP)
            for _ in range(4):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                clients.add(connection.getsockname()[1])
            time.sleep(0.5)  # the other could have taken them all
            os.kill(late, signal.SIGCONT)
            wait_for(lambda: _owners(port, clients, workers).total() == len(clients))
            assert _owners(port, clients, workers)[late] >= 1


_WORKER = """
import sys
from service.process.shared_metrics import count_as
count_as(int(sys.argv[2]))
from service.telemetry.metrics import Metrics
metrics = Metrics()
metrics.gauge("in_flight", "", lambda: 3)
metrics.gauge("ready", "", lambda: 0, "livemin")
for _ in range(int(sys.argv[1])):
    metrics.request("/recall", "POST", 200, 0.001)
metrics.bundles({"control": ("b", "old")})
metrics.note()
if sys.argv[3:] == ["killed"]:
    import os
    os.kill(os.getpid(), 9)
print(metrics.render().decode())
"""


def test_counts_of_a_worker_that_was_killed_stay_and_its_gauges_go(tmp_path: Path) -> None:
    environment = os.environ | {SHARED_VARIABLE: str(tmp_path), "PYTHONPATH": str(ROOT)}
    worker = [sys.executable, "-c", _WORKER]
    for number in ("0", "1", "0"):
        subprocess.run([*worker, "5", number, "killed"], env=environment, check=False)
        forget_gauges(tmp_path, int(number))
    text = subprocess.run(
        [*worker, "2", "2"], env=environment, check=True, capture_output=True, text=True
    ).stdout
    found = _metrics(text)
    assert found["mrse_requests_total", frozenset(RECALL.items())] == 17
    assert found["mrse_request_duration_seconds_count", frozenset({"route": "/recall"}.items())] == 17
    assert found["mrse_in_flight", frozenset()] == 3
    assert found["mrse_ready", frozenset()] == 0
