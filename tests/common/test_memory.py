"""Freed memory goes back to the system."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.memory import give_back


@pytest.mark.skipif(sys.platform != "linux", reason="what the process holds is read from /proc")
def test_what_was_freed_is_held_no_more() -> None:
    def resident_mb() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

    pieces = [bytes(1000) for _ in range(100_000)]
    keeper = bytes(1000)  # above them on the heap, so that its end cannot simply be cut off
    held = resident_mb()
    del pieces
    give_back()
    assert resident_mb() < held - 50
    assert len(keeper) == 1000


_ARENAS = """
import sys, threading
from common.memory import share_arenas
if sys.argv[1] == "shared":
    share_arenas()
count, all_have = 8, threading.Barrier(9)
kept = []
def allocate():
    all_have.wait()  # all are there, so none takes over what another has left
    kept.append([bytearray(5000) for _ in range(100)])
    all_have.wait()
threads = [threading.Thread(target=allocate) for _ in range(count)]
for thread in threads:
    thread.start()
all_have.wait()
all_have.wait()
lines = [line for line in open("/proc/self/maps") if " rw-p " in line and len(line.split()) == 5]
starts = [int(line.split("-")[0], 16) for line in lines]
print(sum(start % (64 << 20) == 0 for start in starts))  # where an arena of a thread begins
"""


@pytest.mark.skipif(sys.platform != "linux", reason="arenas are read from /proc")
def test_threads_share_arenas() -> None:
    def arenas(how: str) -> int:
        run = subprocess.run(
            [sys.executable, "-c", _ARENAS, how], capture_output=True, text=True, check=True, timeout=120
        )
        return int(run.stdout)

    if arenas("each") < 4:
        pytest.skip("this C library has no arenas of threads")
    assert arenas("shared") <= 2
