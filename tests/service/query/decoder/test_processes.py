"""Processes whose service is gone, and what they hold."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from devtools.waiting import wait_for
from service.query.decoder.processes import DecoderProcesses
from tests.support.processes import is_running

MEMORY = 64 << 20
SERVICE = """
import sys, time
from service.query.decoder.processes import DecoderProcesses
from service.query.decoder.wire import HELLO
processes = DecoderProcesses(64 << 20, 1.0)
for _ in range(2):
    lane = processes.open()
    lane.socket.setblocking(True)
    print(*HELLO.unpack(lane.socket.recv(HELLO.size)), lane.parent.pid, flush=True)
    globals()[f"lane{_}"] = lane
time.sleep(600)
"""


def test_nothing_is_left_of_a_service_that_was_killed() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, env=environment
    ) as service:
        assert service.stdout is not None
        pids = {int(pid) for _ in range(2) for pid in service.stdout.readline().split()}
        assert len(pids) == 3
        service.kill()
    wait_for(lambda: not any(map(is_running, pids)))


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux tells it")
def test_a_lane_is_the_first_to_go_and_writes_no_file() -> None:
    processes = DecoderProcesses(MEMORY, 1.0)
    lane = processes.open()
    lane.socket.setblocking(True)
    pid = int.from_bytes(lane.socket.recv(4), "big")
    try:
        with open(f"/proc/{pid}/oom_score_adj") as score:  # noqa: PTH123
            assert score.read().strip() == "1000"
        bounds = [resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_AS]
        files, cores, memory = (resource.prlimit(pid, bound)[0] for bound in bounds)
        assert files == cores == 0
        assert MEMORY < memory < MEMORY + (128 << 20)
    finally:
        lane.socket.close()
        processes.close()


def test_a_parent_that_dies_at_once_is_not_started_in_a_circle() -> None:
    now = 0.0
    processes = DecoderProcesses(MEMORY, 1.0, clock=lambda: now)
    lane = processes.open()
    lane.parent.kill()
    lane.parent.wait()
    lane.socket.close()
    with pytest.raises(OSError, match="a moment ago"):
        processes.open()
    now = 2.0
    again = processes.open()
    assert again.parent is not lane.parent
    again.socket.close()
    processes.close()
    with pytest.raises(OSError, match="closed"):
        processes.open()
