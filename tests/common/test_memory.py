"""Freed memory goes back to the system."""

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
