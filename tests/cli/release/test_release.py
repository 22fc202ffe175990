"""`mrse release` over a running service: killed it goes on, promotes, and takes a bad canary back."""

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
import pytest

from devtools.waiting import free_port, wait_for
from service.settings import load_settings
from tests.support import shop
from tests.support.bundle import make_bundle
from tests.support.command import ROOT

_MRSE = [sys.executable, "-c", "from cli.main import main; main()"]
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


def write_shop(folder: Path, *, in_stock: bool = True) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "shop.toml").write_text('name = "tiny"\n[attributes]\nbrand = "string"\nin_stock = "bool"\n')
    with (folder / "items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "title", "category", "brand", "in_stock"))
        for item in shop.items():
            rows.writerow((item["id"], item["title"], item["category"], item["brand"], str(in_stock).lower()))
    with (folder / "events.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("ts", "item", "action", "query", "user", "split"))
        for place, item in enumerate(shop.items()):
            for split, day in (("train", 1), ("val", 2)):
                at = f"2026-01-0{day}T00:{place:02}:00Z"
                rows.writerow((at, item["id"], "click", item["title"], f"u{place}", split))


class Releasing:
    """A folder with a shop, a plan and a configuration."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        write_shop(folder / "shop")
        (folder / "release.toml").write_text(PLAN.format(port=port))
        self.config = folder / "mrse.toml"
        self.config.write_text(CONFIG.format(port=port))

    @property
    def state(self) -> Any:
        return json.loads((self.folder / "releases/state.json").read_text())

    def mrse(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_MRSE, *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def release(self, *more: str) -> tuple[int, Any]:
        process = self.mrse("release", "release.toml", "--json", *more)
        said, told = process.communicate(timeout=300)
        assert said, told
        return process.returncode, json.loads(said)

    def killed_in(self, step: str) -> None:
        """Begin, and kill it without a word while a step runs."""
        process = self.mrse("release", "release.toml")
        wait_for(lambda: process.poll() is not None or self.running() == step, 120)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"{step} was over too soon"
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


@pytest.fixture
def releasing(tmp_path: Path) -> Iterator[Releasing]:
    port = free_port()
    bundle = shop.bundle(tmp_path / "bundle")
    found = Releasing(tmp_path, port)
    # Nothing serves yet: the first release makes the index, and the configuration comes to name it.
    plan = tmp_path / "release.toml"
    whole = plan.read_text()
    plan.write_text(f'bundle = "{bundle.path}"\n{whole}')
    code, first = found.release()
    assert (code, first["verdict"]) == (0, "promoted"), first
    states = {row["name"]: row["state"] for row in first["steps"]}
    assert states["gate"] == states["canary"] == states["watch"] == "skipped"
    plan.write_text(whole)
    service = found.mrse("serve", "--config", str(found.config))
    try:
        wait_for(lambda: _ready(found.url))
        yield found
    finally:
        service.terminate()
        service.communicate()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.slow
@pytest.mark.drill
def test_killed_in_each_step_it_goes_on_and_what_is_bad_does_not_serve(releasing: Releasing) -> None:
    folder, plan = releasing.folder, releasing.folder / "release.toml"
    whole, first = plan.read_text(), releasing.loaded()
    other = shop.bundle(folder / "other", seed=2)
    with asked(releasing.url) as statuses:
        plan.write_text(f'bundle = "{other.path}"\n{whole}[gate]\nloss = 0.2\nresamples = 100\n')
        for step in ("check", "gate", "embed", "build", "verify", "canary", "watch"):
            releasing.killed_in(step)
        assert releasing.loaded().keys() == {"control", "canary"}  # it stays out, until somebody goes on
        releasing.killed_in("promote")
        code, second = releasing.release()
        assert (code, second["verdict"]) == (0, "promoted"), second
        assert len(releasing.state["history"]) == 2
        served = releasing.loaded()
        assert served.keys() == {"control"}
        assert served != first

        # A bundle that knows none of the shop's words.
        worse = make_bundle(folder / "worse", ["nothing"], seed=3)
        plan.write_text(f'bundle = "{worse.path}"\n{whole}[gate]\nresamples = 100\n')
        code, third = releasing.release()
        assert (code, third["verdict"]) == (1, "refused"), third
        assert third["says"].startswith("surely worse than what serves: Recall@10 (all) -")
        assert releasing.loaded() == served

        # An export that has lost its stock: the filter of the queries finds nothing in the new index.
        plan.write_text(whole)
        write_shop(folder / "shop", in_stock=False)
        code, fourth = releasing.release()
        assert (code, fourth["verdict"]) == (1, "rolled back"), fourth
        assert fourth["says"].startswith("empty ")
        assert releasing.loaded() == served
        assert list(load_settings(releasing.config).experiments["towers"]) == ["control"]
    assert set(statuses) == {200}
