"""Calls that change something, on a port of their own: by settings, by call, and at a running service."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import pairwise
from os import environ
from pathlib import Path
from shutil import copytree
from typing import get_args

import httpx
import pytest

from devtools.waiting import free_port, wait_for
from service.access.ports import APART, Ports
from service.errors import NotHere
from service.settings import Scope, SettingsError
from tests.service.conftest import Demo
from tests.support.command import ROOT
from tests.support.serving import make_settings


@pytest.mark.parametrize("needs", get_args(Scope))
def test_each_call_is_answered_on_one_port(needs: Scope) -> None:
    ports = Ports(9001)
    for port in (9000, 9001):
        if (port == 9001) == (needs in APART):
            ports.check({"server": ("::1", port)}, needs)
        else:
            with pytest.raises(NotHere, match=r"server\.admin_port"):
                ports.check({"server": ("::1", port)}, needs)
    assert ports.apart
    assert not Ports(0).apart


def test_ports_that_are_the_same_are_refused() -> None:
    for ports in pairwise(("port", "admin_port", "probe_port")):
        with pytest.raises(SettingsError, match="different ports"):
            make_settings(None, None, server={**dict.fromkeys(ports, 9000), "admin_port": 9000})
    make_settings(None, None, server={"port": 0, "probe_port": 0, "admin_port": 9000})


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_keeps_changes_and_metrics_off_the_port_of_all_others(
    demo: Demo, tmp_path: Path, workers: int
) -> None:
    main, admin = free_port(), free_port()
    index = copytree(demo.index, tmp_path / "index")
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve"]
    command += ["--bundle", str(demo.bundle.path), "--index", str(index), "--port", str(main)]
    config = tmp_path / "mrse.toml"
    config.write_text(f"server.admin_port = {admin}")
    variables = {"MRSE_CONFIG": str(config), "MRSE_SERVER_ADMIN_TOKEN": "hush"}
    told = tmp_path / "told"
    with told.open("w") as log:
        process = subprocess.Popen(
            [*command, "--workers", str(workers)],
            env=environ | {"PYTHONPATH": str(ROOT)} | variables,
            stderr=log,
        )
    key = {"authorization": "Bearer hush"}

    def ready() -> bool:
        assert process.poll() is None, told.read_text()
        try:
            return all(
                httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=30).status_code == 200
                for port in (main, admin)
            )
        except httpx.HTTPError:
            return False

    try:
        wait_for(ready)
        for port, apart in ((main, False), (admin, True)):
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=key, timeout=60) as client:
                recall = client.post("/v1/recall", json={"query": "shoes", "timeout_ms": 10_000})
                metrics = client.get("/metrics")
                removed = client.post("/admin/index/remove", json={"ids": ["nobody"]})
                assert (recall.status_code == 200, metrics.status_code == 200) == (not apart, apart)
                assert (removed.status_code == 200) == apart, removed.text
                for refused in (recall,) if apart else (metrics, removed):
                    assert refused.status_code == 404
                    assert "server.admin_port" in refused.json()["detail"]
                assert client.get("/version").status_code == client.get("/livez").status_code == 200
        # Whether a key is good cannot be found out where it is not looked at.
        wrong = httpx.post(f"http://127.0.0.1:{main}/admin/index/remove", json={"ids": []}, timeout=60)
        assert wrong.status_code == 404
        assert f":{admin} for changes and metrics" in told.read_text()
        # No port is moved while the service runs: another one in the file, or none, opens and closes nothing.
        for reloads, port in enumerate((free_port(), 0), start=1):
            config.write_text(f"server.admin_port = {port}")
            process.send_signal(signal.SIGHUP)
            wait_for(lambda many=reloads: told.read_text().count('"reloaded"') == many)
            assert httpx.get(f"http://127.0.0.1:{admin}/metrics", timeout=60).status_code == 200
            assert httpx.get(f"http://127.0.0.1:{main}/metrics", timeout=60).status_code == 404
    finally:
        process.terminate()
        process.wait(60)
