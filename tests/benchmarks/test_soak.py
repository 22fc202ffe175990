"""What the soak tells of a run, and whose memory it reads."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks.servers import picture_processes, processes
from benchmarks.soak_told import Told


def rests(grows_mb_per_h: float) -> np.ndarray:
    """Twenty minutes: the first fifth warms up, by a megabyte each time."""
    seconds = np.arange(60.0, 1201.0, 60.0)
    resident = 200 + np.minimum(seconds / 60, 4) + grows_mb_per_h * seconds / 3600
    return np.stack([seconds, resident, resident - 90, np.full(20, 34.0), np.full(20, 30.0)], axis=1)


@pytest.mark.parametrize(("grows", "holds"), [(0.5, True), (2.0, False)])
def test_growth_is_judged_after_the_warm_up(grows: float, holds: bool) -> None:
    told = Told(rests(grows), 20.0)
    assert told.growth()["growth_mb_per_h"]["slope"] == pytest.approx(grows)
    memory, descriptors, failed, writes = told.claims({"200": 9, "given up": 1, "404": 1, "write 200": 3})
    assert memory.holds is holds
    assert descriptors.holds
    assert failed.holds
    assert writes.holds


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_processes_of_a_server_that_have_a_session_of_their_own_are_found() -> None:
    server = subprocess.Popen(["sh", "-c", "setsid sleep 60 & wait"], start_new_session=True)
    try:
        until = time.monotonic() + 60
        while not (found := picture_processes(server.pid)) and time.monotonic() < until:
            time.sleep(0.01)
        assert len(found) == 1
        assert processes(server.pid) == [server.pid]
        os.kill(found[0], signal.SIGKILL)
    finally:
        server.kill()
        server.wait()
