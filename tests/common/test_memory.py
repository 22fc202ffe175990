"""Freed memory goes back to the system."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from common.memory import give_back, give_back_after


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
from common.memory import share_arena
if sys.argv[1] == "shared":
    share_arena()
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
def test_threads_share_arena() -> None:
    def arenas(how: str) -> int:
        run = subprocess.run(
            [sys.executable, "-c", _ARENAS, how], capture_output=True, text=True, check=True, timeout=120
        )
        return int(run.stdout)

    if arenas("each") < 4:
        pytest.skip("this C library has no arenas of threads")
    assert arenas("shared") <= 1  # one mapping may begin at such a place by chance


_OF_A_THREAD = """
import sys, threading
from common.memory import give_back, share_arena
share_arena()
def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
large = bytearray(20 << 20)
del large  # from now on glibc keeps up to 40 MB at the end of an arena
kept, held = [], []
def work():
    kept.append(bytearray(3000))
    pieces = [bytearray(3000) for _ in range(4000)]
    held.append(resident_mb())
    del pieces
    give_back()
before = resident_mb()
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(held[0] - before, resident_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what the process holds is read from /proc")
def test_what_a_thread_freed_is_held_no_more() -> None:
    """Of an arena of its own, the end would stay: here 6 of 12 MB."""
    run = subprocess.run(
        [sys.executable, "-c", _OF_A_THREAD], capture_output=True, text=True, check=True, timeout=120
    )
    held, left = map(float, run.stdout.split())
    assert held > 10
    assert left < 2


def test_memory_is_given_back_later_by_a_thread_that_keeps_nobody_waiting() -> None:
    give_back_after(3600.0)
    (later,) = [each for each in threading.enumerate() if each.name == "give-memory-back"]
    assert later.daemon
    assert isinstance(later, threading.Timer)
    assert later.function is give_back
    later.cancel()
    later.join()
