"""A folder with a shop, a plan and a configuration, over which `mrse release` is run and killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from devtools.waiting import free_port, wait_for
from tests.support import shop
from tests.support.command import ROOT

_MRSE = [sys.executable, "-c", "from cli.main import main; main()"]
#: Seconds until a step begins, or a release has ended; on a machine that does nothing else it takes a few.
PATIENCE = 1200.0
PLAN = """
shop = "shop"
config = "mrse.toml"
work = "releases"
[services]
urls = ["http://127.0.0.1:{port}"]
[canary]
share = 0.5
watch_s = 1
settle_s = 0
slow_from_ms = 60000  # the machine may be busy
requests = 20
longest_s = 60
every_s = 0.05
"""
CONFIG = """
[server]
port = {port}
watch_config = true
access_log = false
canary_every_s = 0
[deadline]
default_ms = 10000
"""


def write_shop(folder: Path, *, in_stock: bool = True, fewer: int = 0) -> None:
    """The items of `tests.support.shop`, without the first ``fewer``, and an event of each."""
    folder.mkdir(exist_ok=True)
    (folder / "shop.toml").write_text('name = "tiny"\n[attributes]\nbrand = "string"\nin_stock = "bool"\n')
    with (folder / "items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "title", "category", "brand", "in_stock"))
        for item in shop.items()[fewer:]:
            rows.writerow((item["id"], item["title"], item["category"], item["brand"], str(in_stock).lower()))
    with (folder / "events.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("ts", "item", "action", "query", "user", "split"))
        for place, item in enumerate(shop.items()[fewer:]):
            for split, day in (("train", 1), ("val", 2)):
                at = f"2026-01-0{day}T00:{place:02}:00Z"
                rows.writerow((at, item["id"], "click", item["title"], f"u{place}", split))


class Releasing:
    """A folder with a shop, a plan and a configuration. The shop is the caller's to write."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self.plan = folder / "release.toml"
        self.plan.write_text(PLAN.format(port=port))
        self.config = folder / "mrse.toml"
        self.config.write_text(CONFIG.format(port=port))

    @property
    def state(self) -> Any:
        return json.loads((self.folder / "releases/state.json").read_text())

    def mrse(self, *arguments: str, log: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_MRSE, *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            text=True,
        )

    def done(self, *arguments: str) -> None:
        """Run a command, which must end well."""
        process = self.mrse(*arguments)
        _, told = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, told

    def release(self, *more: str) -> tuple[int, Any]:
        process = self.mrse("release", "release.toml", "--json", *more)
        said, self.told = process.communicate(timeout=PATIENCE)
        assert said, self.told
        return process.returncode, json.loads(said)

    def killed_in(self, step: str) -> None:
        """Begin, and kill it without a word while a step runs."""
        process = self.mrse("release", "release.toml")
        wait_for(lambda: process.poll() is not None or self.running() == step, PATIENCE)
        process.send_signal(signal.SIGKILL)
        _, told = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"{step} was over too soon: {told}"
        assert self.running() == step

    def running(self) -> str | None:
        try:
            steps = self.state["current"]["steps"]
        except (OSError, TypeError):
            return None
        return next((name for name, step in steps.items() if step["state"] == "running"), None)

    def loaded(self) -> Any:
        towers = httpx.get(f"{self.url}/version").json()["towers"]
        return {arm: its["index"]["version"] for arm, its in towers.items()}


@contextmanager
def asked(url: str) -> Iterator[list[int]]:
    """Somebody asks all the time; the statuses of the answers."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=60) as client:
            while not over.wait(0.01):
                body = {
                    "query": "red running shoes",
                    "filters": {"in_stock": True},
                    "user_id": str(len(statuses)),
                }
                statuses.append(client.post("/recall", json=body).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def first_release(releasing: Releasing, bundle: Path) -> None:
    """Nothing serves yet: the first release makes the index, and the configuration comes to name it."""
    whole = releasing.plan.read_text()
    releasing.plan.write_text(f'bundle = "{bundle}"\n{whole}')
    code, first = releasing.release()
    assert (code, first["verdict"]) == (0, "promoted"), first
    states = {row["name"]: row["state"] for row in first["steps"]}
    assert states["gate"] == states["canary"] == states["watch"] == "skipped"
    releasing.plan.write_text(whole)


@contextmanager
def served(releasing: Releasing) -> Iterator[None]:
    """The service of the configuration runs, until the block is left."""
    with (releasing.folder / "serve.log").open("w") as log:
        service = releasing.mrse("serve", "--config", str(releasing.config), log=log)
        try:
            wait_for(lambda: service.poll() is not None or _ready(releasing.url), PATIENCE)
            assert service.poll() is None, (releasing.folder / "serve.log").read_text()
            yield
        finally:
            service.terminate()
            try:
                service.wait(60)
            except subprocess.TimeoutExpired:
                service.kill()
                service.wait()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False
