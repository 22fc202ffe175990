"""``make run-vespa`` as the README has it: from the repository's root, with a relative folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.vespa_peer import require_peer

ROOT = Path(__file__).parents[4]
#: Seconds until it answers; only a start that hangs takes as long.
PATIENCE = 180.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def ask(port: int) -> dict[str, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/recall",
        json.dumps({"query": "red running shoes", "k": 10, "timeout_ms": 5000, "fields": ["title"]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: dict[str, object] = json.load(answer)
        return body


@pytest.mark.slow
def test_make_run_vespa_answers_with_titles(tmp_path: Path) -> None:
    require_peer()
    port, log = free_port(), tmp_path / "log.txt"
    command = ["make", "-o", ".venv/.dev", "run-vespa", f"BIN={Path(sys.executable).parent}", f"PORT={port}"]
    # What an outer make was told is not for this one.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    with log.open("wb") as output:
        made = subprocess.Popen(
            [*command, f"DIR={os.path.relpath(tmp_path / 'run', ROOT)}", "ARGS=--items 200"],
            cwd=ROOT,
            env=outside | {"PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + PATIENCE
        items: list[object] = []
        while len(items) < 10:
            assert made.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            try:
                answer = ask(port)
            except OSError:  # not listening yet, or 503
                time.sleep(0.2)
                continue
            found = answer["items"]
            assert isinstance(found, list)
            # A node that a busy machine keeps waiting leaves an answer short, and says so.
            assert len(found) == 10 or answer["degraded"], answer
            items = [item for item in found if item.get("fields", {}).get("title")]
    finally:
        os.killpg(made.pid, signal.SIGINT)
        try:
            made.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(made.pid, signal.SIGKILL)
            made.wait()
