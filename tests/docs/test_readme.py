"""The commands of README and pages, run as a newcomer would: what they say must work.

`make test` is left out, because it is what runs this; `make run` runs in the checkout, on a free port.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from artifacts.actions import ACTIONS, either
from cli.main import COMMANDS
from tests.docs.pages import PAGES, ROOT, blocks

MAKE_RUN, CURL = blocks("README.md", "sh")
OWN_SHOP, ASK = blocks("docs/start.md", "sh")[:2]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def sh(command: str, cwd: Path) -> str:
    done = subprocess.run(
        ["bash", "-euc", command], cwd=cwd, env=environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@contextmanager
def running(command: str, cwd: Path, port: int) -> Iterator[Path]:
    """The command in a process group of its own until ``/readyz`` answers; yields the file of its output."""
    log = cwd / f"output-{port}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-euc", command],
            cwd=cwd,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + 300
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
    for _ in range(100):
        if found := re.search(r"^curl .*$", log.read_text(), re.MULTILINE):
            return found.group()
        time.sleep(0.1)
    raise AssertionError(f"no curl line in:\n{log.read_text()}")


@pytest.mark.slow
def test_make_run_then_curl(tmp_path: Path) -> None:
    """Both the line that `make run` prints and the one in the README answer with items of both routes."""
    port = free_port()
    with running(
        f"make -C '{ROOT}' {MAKE_RUN.split()[1]} PORT={port} DIR='{tmp_path}/demo'", tmp_path, port
    ) as log:
        for command in (printed_curl(log), CURL.replace(":8080", f":{port}")):
            answer = httpx.Response(200, text=sh(command, tmp_path)).json()
            routes = {source["route"] for item in answer["items"] for source in item["sources"]}
            assert answer["items"], answer
            assert routes == {"q2i", "i2i"}, answer


@pytest.mark.slow
def test_from_files_to_recall(tmp_path: Path) -> None:
    """The commands for one's own shop, in order; only the sizes are made smaller."""
    sh("mrse shop make shop --items 1000 --seed 3", tmp_path)
    *steps, serve = OWN_SHOP.splitlines()
    assert serve.startswith("mrse serve")
    for step in steps:
        sh(step.replace("--preset demo", "--preset tiny"), tmp_path)
    port = free_port()
    with running("exec " + serve.replace("--port 8080", f"--port {port}"), tmp_path, port):
        table = sh(f"{ASK} --url http://127.0.0.1:{port}", tmp_path)
    assert "q2i ok" in table


def test_commands_named_in_the_text_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = "\n".join(PAGES.values())
    assert set(re.findall(r"`make ([a-z-]+)", pages)) <= targets
    known = sh("mrse --help", ROOT)
    for command in set(re.findall(r"mrse ([a-z]+)", pages)):
        assert command in known, command
    groups = {name.split()[0] for name in COMMANDS if " " in name}
    for group, parts in set(re.findall(r"mrse ([a-z]+) ([a-z|-]+)", pages)):
        for part in parts.split("|") if group in groups else ():
            assert f"{group} {part}" in COMMANDS, f"mrse {group} {part}"


def test_the_schema_table_is_the_code_s() -> None:
    documented = (ROOT / "artifacts/shop/__init__.py").read_text(encoding="utf-8")
    rows = [line for line in documented.splitlines() if line.startswith("|")]
    assert len(rows) > 10
    page = PAGES["docs/reference/files.md"]
    actions = either(tuple(f"`{name}`" for name in ACTIONS.names))
    for row in rows:
        assert row.replace("``", "`").replace("one of `artifacts.actions.ACTIONS`", actions) in page


def test_the_torchrun_command_starts(tmp_path: Path) -> None:
    found = re.search(r"`(torchrun .*?)`", PAGES["docs/training.md"])
    assert found is not None
    said = sh(found[1].replace("node 8", "node 2") + " --help", tmp_path)
    assert said.count("Train the towers in two stages") == 2
