"""A real Prometheus (Debian's package ``prometheus``) that watches a service by the shipped rules."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from devtools.dashboards import DASHBOARDS
from devtools.waiting import free_port, wait_for

_DOCKER = Path(__file__).parents[1] / "docker"


def prometheus_executable() -> str | None:
    """Where it is; None where it is not installed."""
    return shutil.which("prometheus")


@contextmanager
def prometheus(folder: Path, target: str, *, hasty: bool = False) -> Iterator[httpx.Client]:
    """Watch one service until the block is left.

    Args:
        folder: for its configuration and data.
        target: ``host:port`` of the service.
        hasty: look twice a second, and fire without patience; else as often, and as patiently, as it is
            shipped.

    Yields:
        a client of its API.
    """
    rules = yaml.safe_load((_DOCKER / "alerts.yml").read_text())
    config = yaml.safe_load((_DOCKER / "prometheus.yml").read_text())
    if hasty:
        for group in rules["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
        often = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
        config["global"] = often
    del config["alerting"]
    config["scrape_configs"] = [{"job_name": "mrse-recall", "static_configs": [{"targets": [target]}]}]
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            prometheus_executable() or "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=30) as client:
            wait_for(lambda: _answers(client))
            yield client
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.HTTPError:
        return False


def ask(client: httpx.Client, query: str) -> list[Any]:
    """What a query gives now."""
    answer = client.get("/api/v1/query", params={"query": query.replace("$__rate_interval", "1m")}).json()
    if answer["status"] != "success":
        raise ValueError(f"{query}: {answer}")
    return list(answer["data"]["result"])


def alerts(client: httpx.Client, state: str = "firing") -> set[str]:
    """The names of alerts that fire, or are ``pending``."""
    return {each["metric"]["alertname"] for each in ask(client, f'ALERTS{{alertstate="{state}"}}')}


def queries(name: str) -> list[str]:
    """What the panels of a dashboard ask."""
    return [query for panel in DASHBOARDS[name][1] for query, _ in panel.queries]
