"""What a server's processes hold, on Linux; and one core for this process.

Needs the standard library alone, as the peers of benchmarks do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.servers import picture_processes, processes


def shared_out_mb(session: int) -> float:
    """Memory of all processes of a session; what several processes map is shared out among them (PSS)."""
    return _total_mb(processes(session), "smaps_rollup", "Pss:")


def resident_mb(session: int) -> float:
    """Resident memory of all processes of a session (RSS); who else maps the same files is of no matter."""
    return _total_mb(processes(session), "status", "VmRSS:")


def anonymous_mb(session: int) -> float:
    """What of the resident memory is of no file."""
    return _total_mb(processes(session), "status", "RssAnon:")


def pictures_mb(session: int) -> float:
    """Memory of the processes that decode a server's pictures, shared out among them (PSS)."""
    return _total_mb(picture_processes(session), "smaps_rollup", "Pss:")


def _total_mb(pids: Iterable[int], file: str, field: str) -> float:
    total = 0.0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))
    return total


def descriptors(session: int) -> int:
    """Open files and sockets of all processes of a session, and of those that decode its pictures."""
    total = 0
    for pid in [*processes(session), *picture_processes(session)]:
        try:
            total += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        except OSError:
            continue
    return total


@contextmanager
def one_core() -> Iterator[None]:
    """All threads of this process on one core meanwhile, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    _keep_to({max(before)})
    try:
        yield
    finally:
        _keep_to(before)


def _keep_to(cores: Iterable[int]) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)
