"""Starts a server for a benchmark in a session of its own, waits for its answer, and ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]


class ServerFailed(RuntimeError):  # noqa: N818 -- what it did
    """A server ended or never answered; the message has the end of what it wrote."""


@contextmanager
def server(
    command: Sequence[str],
    port: int,
    path: str,
    log: Path,
    *,
    body: bytes | None = None,
    patience_s: float = 60,
    root: Path = ROOT,
) -> Iterator[int]:
    """Run a server until the block is left.

    Args:
        command: starts it.
        port: where it will listen.
        path: answers 200 once it is ready.
        log: what it writes goes there.
        body: sent to ``path`` with POST; None for GET.
        patience_s: how long it may take.
        root: where its modules are, such as another commit's.

    Yields:
        its process id.

    Raises:
        ServerFailed: see there.
    """
    environment: Mapping[str, str] = os.environ | {"PYTHONPATH": str(root), "BENTOML_DO_NOT_TRACK": "True"}
    with log.open("wb") as written:
        process = subprocess.Popen(
            command, env=environment, cwd=log.parent, stdout=written, stderr=written, start_new_session=True
        )
        try:
            _wait(process, port, path, body, time.monotonic() + patience_s, log)
            yield process.pid
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                # Its children too, some of which make groups of their own.
                for pid in processes(process.pid) or [process.pid]:
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)


def _wait(
    process: subprocess.Popen[bytes], port: int, path: str, body: bytes | None, until: float, log: Path
) -> None:
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    raise ServerFailed(f"{log.name}: {log.read_text(errors='replace')[-2000:]}")


def processes(session: int) -> list[int]:
    """Ids of the living processes of a server; Linux only, elsewhere none."""
    return [pid for pid, fields in _stats() if int(fields[3]) == session and fields[0] != "Z"]


def worker_processes(session: int) -> list[int]:
    """Ids of the living processes that answer for a server of several: the children of its fork server."""
    parents = {
        pid: int(fields[1]) for pid, fields in _stats() if int(fields[3]) == session and fields[0] != "Z"
    }
    return [pid for pid, parent in parents.items() if parents.get(parent) == session]


def picture_processes(session: int) -> list[int]:
    """Ids of the living processes that decode a server's pictures, which have a session of their own."""
    own = {pid: (int(fields[1]), int(fields[3])) for pid, fields in _stats() if fields[0] != "Z"}
    servers = {pid for pid, (_, its) in own.items() if its == session}
    theirs = {its for parent, its in own.values() if parent in servers and its != session}
    return [pid for pid, (_, its) in own.items() if its in theirs]


def cpu_seconds(session: int) -> float:
    """Processor time that a server's living processes have used, on Linux; a busy machine blurs it least."""
    total = 0.0
    for pid in processes(session):
        with suppress(OSError):
            total += time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3), to the nanosecond
    return total


def _stats() -> Iterator[tuple[int, list[str]]]:
    """Of each process its id and the fields of ``/proc/PID/stat`` from its state on."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield int(folder.name), (folder / "stat").read_text().rpartition(")")[2].split()
