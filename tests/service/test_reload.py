"""Traffic moves between bundles by weight while the service runs: nothing fails, no answer mixes versions."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from devtools.waiting import free_port, wait_for
from index.port import IndexUnavailable
from service.deployment import Deployment, Folders, open_deployment
from service.errors import StartError
from service.settings.weights import set_weights
from service.telemetry.metrics import Metrics
from tests.service.conftest import Demo
from tests.support.load import load, wait_for_more
from tests.support.serving import Server, make_settings, serving

ROOT = Path(__file__).parents[2]


def arms(demo: Demo, control: float, treatment: float) -> dict[str, Any]:
    return {
        "towers": {
            "control": {"weight": control},
            "treatment": {"weight": treatment, "bundle": demo.other_bundle.path, "index": demo.other_index},
        }
    }


def reload(server: Server, demo: Demo, experiments: dict[str, Any]) -> None:
    """What SIGHUP does, in the service's own loop."""
    settings = make_settings(demo.bundle.path, demo.index, experiments=experiments)
    loop = server.app.state.loop
    asyncio.run_coroutine_threadsafe(server.runtime.reload(settings), loop).result(60)


def test_a_rollout_under_load(demo: Demo) -> None:
    with serving(make_settings(demo.bundle.path, demo.index)) as server, load(server.url) as answers:
        old, new = demo.bundle.version, demo.other_bundle.version
        assert {version for _, version, _ in wait_for_more(answers, 40)} == {old}
        reload(server, demo, arms(demo, 1, 1))
        wait_for_more(answers, 8)
        assert {version for _, version, _ in wait_for_more(answers, 100)} == {old, new}
        reload(server, demo, arms(demo, 0, 1))
        wait_for_more(answers, 8)
        assert {version for _, version, _ in wait_for_more(answers, 40)} == {new}
    assert {status for status, _, _ in answers} == {200}
    for _, version, index in answers:
        assert index.startswith(version), "an answer mixes bundle and index"


def test_what_cannot_be_served_changes_nothing(demo: Demo) -> None:
    with serving(make_settings(demo.bundle.path, demo.index)) as server:
        broken = arms(demo, 1, 1)
        broken["towers"]["treatment"]["index"] = demo.index  # the other bundle's
        with pytest.raises(StartError, match="built with bundle"):
            reload(server, demo, broken)
        version = httpx.get(f"{server.url}/version").json()
        assert list(version["towers"]) == ["control"]
        assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_a_server_that_never_answers_ends_the_reload_and_changes_nothing(demo: Demo) -> None:
    async def away() -> None:
        raise IndexUnavailable("connection")

    def opener(*, folders: Folders, **given: Any) -> Deployment:
        deployment = open_deployment(folders=folders, **given)
        return replace(deployment, check=away if folders.bundle == demo.other_bundle.path else None)

    with serving(make_settings(demo.bundle.path, demo.index), opener) as server:
        settings = make_settings(demo.bundle.path, demo.index, experiments=arms(demo, 1, 1))
        waiting = asyncio.run_coroutine_threadsafe(
            server.runtime.reload(settings, patience_s=0.2), server.app.state.loop
        )
        with pytest.raises(StartError, match=r"gave up after 0\.2 s: waiting for the index: connection"):
            waiting.result(60)
        assert list(httpx.get(f"{server.url}/version").json()["towers"]) == ["control"]
        assert httpx.get(f"{server.url}/readyz").status_code == 200


def test_an_arm_without_traffic_whose_server_is_away_keeps_nobody_from_starting(demo: Demo) -> None:
    away = True

    async def asked() -> None:
        if away:
            raise IndexUnavailable("connection")

    def opener(*, folders: Folders, **given: Any) -> Deployment:
        deployment = open_deployment(folders=folders, **given)
        return replace(deployment, check=asked if folders.bundle == demo.other_bundle.path else None)

    settings = make_settings(demo.bundle.path, demo.index, experiments=arms(demo, 1, 0))
    with serving(settings, opener) as server:
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        moved = make_settings(demo.bundle.path, demo.index, experiments=arms(demo, 1, 1))

        def move() -> None:
            asyncio.run_coroutine_threadsafe(
                server.runtime.reload(moved, patience_s=1.2), server.app.state.loop
            ).result(60)

        with pytest.raises(StartError, match="gave up"):
            move()
        assert server.runtime.experiments.describe()["towers"] == {"control": 1.0, "treatment": 0.0}
        away = False
        move()
        assert server.runtime.experiments.describe()["towers"] == {"control": 1.0, "treatment": 1.0}


def test_arms_that_stay_are_not_loaded_again(demo: Demo) -> None:
    with serving(make_settings(demo.bundle.path, demo.index, experiments=arms(demo, 1, 1))) as server:
        before = dict(server.runtime.deployments)
        reload(server, demo, arms(demo, 9, 1))
        assert dict(server.runtime.deployments) == before
        assert server.runtime.experiments.describe()["towers"] == {"control": 9.0, "treatment": 1.0}


def test_what_is_retired_is_freed_and_is_no_longer_said_to_be_loaded(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the collector: what is in a circle would stay for long, since the collector seldom looks."""
    monkeypatch.setattr("service.retiring._LONGEST_REQUEST_S", 0)
    monkeypatch.setattr("service.retiring._collect", lambda: None)
    with serving(make_settings(demo.bundle.path, demo.index, server={"canary_every_s": 0.2})) as server:
        gc.disable()
        try:
            for _ in range(3):
                reload(server, demo, arms(demo, 1, 1))
                assert httpx.post(f"{server.url}/recall", json={"query": "red"}).status_code == 200
                treatment = server.runtime.deployments["treatment"]
                index: Any = treatment.index
                parts = {
                    "encoder": weakref.ref(treatment.encoder),
                    "tower": weakref.ref(treatment.encoder.tower),
                    "bundle": weakref.ref(treatment.bundle),
                    "text": weakref.ref(treatment.bundle.text),
                    "index": weakref.ref(index),
                    "files": weakref.ref(index._live),
                }
                del treatment, index
                reload(server, demo, {"towers": {"control": {"weight": 1}}})
                wait_for(lambda parts=parts: not [name for name, part in parts.items() if part() is not None])
        finally:
            gc.enable()
        lines = [
            line
            for line in httpx.get(f"{server.url}/metrics").text.splitlines()
            if line.startswith("mrse_bundle_info{")
        ]
        assert len(lines) == 1, lines


def test_an_arm_has_one_series_though_its_index_changed_before_the_reload() -> None:
    metrics = Metrics()
    metrics.bundles({"control": ("b", "i"), "treatment": ("b", "i")})
    metrics.bundles({"control": ("b", "i+3")})
    lines = [line for line in metrics.render().decode().splitlines() if line.startswith("mrse_bundle_info{")]
    assert lines == ['mrse_bundle_info{arm="control",bundle="b",index="i+3"} 1.0']


@pytest.mark.parametrize("workers", [1, 2])
def test_switching_weights_in_the_file_and_hanging_up(demo: Demo, tmp_path: Path, workers: int) -> None:
    config = tmp_path / "mrse.toml"
    port = free_port()
    config.write_text(
        f'''[server]  # ours
port = {port}
workers = {workers}
[bundle]
path = "{demo.bundle.path}"
[index]
path = "{demo.index}"
[experiments.towers.control]
weight = 1.0  # the old one
[experiments.towers.treatment]
weight = 0.0
bundle = "{demo.other_bundle.path}"
index = "{demo.other_index}"
'''
    )
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve", "--config", str(config)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    try:
        ask = {"query": "red shoes", "k": 3}
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _version(url, ask) == demo.bundle.version)
        set_weights(config, "towers", {"control": 0, "treatment": 1})
        assert "# the old one" in config.read_text()
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: all(_version(url, ask) == demo.other_bundle.version for _ in range(8)))
        taken = 'mrse_reloads_total{result="taken"} 1.0'
        wait_for(lambda: taken in httpx.get(f"{url}/metrics", timeout=10).text)
    finally:
        process.terminate()
        process.wait(30)


def _version(url: str, ask: dict[str, Any]) -> str | None:
    try:
        version = httpx.post(f"{url}/recall", json=ask, timeout=10).json().get("model_version")
        return None if version is None else str(version)
    except httpx.HTTPError:
        time.sleep(0.1)
        return None
