"""Probes are answered on a port of their own, by a process or by the parent of several workers."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from common.metrics import SHARED_VARIABLE
from devtools.waiting import free_port, wait_for
from service.admission import Pulse
from service.errors import StartError
from service.health import Health
from service.process.probes import HUNG_S, OneProcess, Workers, probing
from service.settings import Server
from service.telemetry.metrics import Metrics
from tests.service.conftest import Demo
from tests.service.process.test_server import serving


class FakeRuntime(SimpleNamespace):
    """What probes ask of a runtime."""

    def __init__(self) -> None:
        pulse = Pulse()
        pulse.moved = time.monotonic()
        super().__init__(
            admission=SimpleNamespace(pulse=pulse), health=Health(), metrics=Metrics(), pulse=pulse
        )


@contextmanager
def asked(of: Callable[[], Any]) -> Iterator[httpx.Client]:
    port = free_port()
    with probing(Server(probe_port=port), of), httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


def test_a_process_tells_a_loop_that_hangs_from_one_that_is_busy() -> None:
    runtime: Any = FakeRuntime()
    with asked(lambda: OneProcess(runtime)) as client:
        assert client.get("/livez").json() == {"status": "ok"}
        runtime.pulse.moved = time.monotonic() - HUNG_S / 2
        assert client.get("/livez").status_code == 200
        runtime.pulse.moved = time.monotonic() - HUNG_S - 1
        hung = client.get("/livez")
        assert hung.status_code == 503
        assert "has not moved" in hung.json()["reasons"][0]
        runtime.pulse.moved = 0.0  # it has not begun
        assert client.get("/livez").status_code == 200


def test_a_process_says_why_it_is_not_ready() -> None:
    runtime: Any = FakeRuntime()
    runtime.health.fail("loading", "verifying the bundle demo")
    with asked(lambda: OneProcess(runtime)) as client:
        waiting = client.get("/readyz")
        assert (waiting.status_code, waiting.json()["reasons"]) == (503, ["verifying the bundle demo"])
        runtime.health.mend("loading")
        assert client.get("/readyz").json() == {"status": "ready"}


def test_only_probes_are_answered() -> None:
    runtime: Any = FakeRuntime()
    with asked(lambda: OneProcess(runtime)) as client:
        assert client.get("/metrics").headers["content-type"].startswith("text/plain")
        assert client.head("/livez").status_code == 200
        assert client.post("/recall", json={"query": "a"}).status_code == 405
        assert client.get("/version").status_code == 404


def test_probes_are_answered_while_another_thread_never_lets_go() -> None:
    runtime: Any = FakeRuntime()
    over = threading.Event()

    def spin() -> None:
        while not over.is_set():
            sum(range(1000))

    busy = threading.Thread(target=spin, daemon=True)
    busy.start()
    try:
        with asked(lambda: OneProcess(runtime)) as client:
            assert [client.get("/livez").status_code for _ in range(5)] == [200] * 5
    finally:
        over.set()
        busy.join()


def test_metrics_are_rendered_once_for_many_that_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime: Any = FakeRuntime()
    rendered = []
    runtime.metrics = SimpleNamespace(rendered=lambda is_open: rendered.append(1) or b"mrse_up 1\n")
    with asked(lambda: OneProcess(runtime)) as client:
        began = time.monotonic()
        for _ in range(20):
            client.get("/metrics")
        assert 1 <= len(rendered) <= 2 + (time.monotonic() - began) / 0.5


def test_a_port_that_is_taken_is_told() -> None:
    port = free_port()
    runtime: Any = FakeRuntime()
    with (
        probing(Server(probe_port=port), lambda: OneProcess(runtime)),
        pytest.raises(StartError, match="for probes"),
        probing(Server(probe_port=port), lambda: OneProcess(runtime)),
    ):
        pass


_WORKER = """
import sys, time
from service.telemetry.metrics import Metrics
metrics = Metrics()
metrics.gauge("ready", "", lambda: float(sys.argv[1]), "livemin")
metrics.gauge("loop_moved_seconds", "", lambda: time.time() - float(sys.argv[2]), "liveall")
metrics.note()
print("noted", flush=True)
sys.stdin.read()
"""


@contextmanager
def worker(folder: Path, ready: int, still_s: float) -> Iterator[None]:
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, str(ready), str(still_s)],
        env={SHARED_VARIABLE: str(folder), "PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield
    finally:
        process.communicate()


def test_the_parent_of_workers_answers_for_all_of_them(tmp_path: Path) -> None:
    workers = Workers(tmp_path, lambda: ["starting"])
    assert workers.reasons() == ["starting"]
    assert workers.hung() is None
    with worker(tmp_path, 1, 0), worker(tmp_path, 0, 1000):
        assert workers.hung() is None, "one of them moves"
        assert b"mrse_ready 0.0" in workers.metrics()
    for file in tmp_path.glob("gauge_live*"):  # as the parent does when they have ended
        file.unlink()
    with worker(tmp_path, 1, 1000):
        assert workers.hung()


def test_where_workers_count_for_themselves_their_parent_still_answers() -> None:
    workers = Workers(None, list)
    assert (workers.reasons(), workers.hung(), workers.metrics()) == ([], None, b"")
    assert workers.metrics(is_open=True) == b"# EOF\n", "what takes OpenMetrics refuses nothing at all"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_answers_probes_on_their_port(demo: Demo, workers: int) -> None:
    port = free_port()
    with serving(demo, workers, MRSE_SERVER_PROBE_PORT=str(port)):
        base = f"http://127.0.0.1:{port}"
        wait_for(lambda: httpx.get(f"{base}/readyz").status_code == 200)
        assert httpx.get(f"{base}/livez").json() == {"status": "ok"}
        wait_for(lambda: "mrse_ready 1.0" in httpx.get(f"{base}/metrics").text)
