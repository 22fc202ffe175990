"""Runs what pages say: commands to their end, and services until they have been asked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from devtools.waiting import wait_for

#: Of a command, and of a service until it is ready; a busy machine takes its time (``MRSE_PATIENCE_S``).
_MOST_S = float(os.environ.get("MRSE_PATIENCE_S", "600"))


def environment() -> dict[str, str]:
    """This process's own, with its Python's commands first."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def sh(command: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run it to its end, and give what it printed."""
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=cwd,
        env=dict(env or environment()),
        capture_output=True,
        text=True,
        timeout=_MOST_S,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@contextmanager
def running(command: str, cwd: Path, port: int, env: Mapping[str, str] | None = None) -> Iterator[Path]:
    """The command in a process group of its own until ``/readyz`` answers; yields the file of its output."""
    log = cwd / f"output-{port}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-euc", command],
            cwd=cwd,
            env=dict(env or environment()),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + _MOST_S
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        yield log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)
        log.unlink()


def printed_curl(log: Path) -> str:
    """The line to try that the demo prints."""
    found: list[str] = []

    def printed() -> bool:
        found[:] = re.findall(r"^ *(curl (?:.*\\\n)*.*')$", log.read_text(), re.MULTILINE)
        return bool(found)

    wait_for(printed)
    return found[0]
