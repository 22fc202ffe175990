"""Alerts and dashboards ask only for metrics and labels that the service has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from service.health import Health
from service.telemetry.metrics import Metrics
from service.upkeep import IndexWatch

#: Of the metric set ``Vespa`` of 8.700.24, as its metrics proxy names them for Prometheus.
VESPA = {
    "content_proton_resource_usage_feeding_blocked_max",
    "content_proton_resource_usage_memory_average",
    "content_proton_resource_usage_disk_average",
    "content_proton_documentdb_matching_rank_profile_query_latency_sum",
    "content_proton_documentdb_matching_rank_profile_query_latency_count",
    "degraded_queries_rate",
}
ROOT = Path(__file__).parents[2]
#: What alerts are made of.
RECORDED = {
    rule["record"]
    for group in yaml.safe_load((ROOT / "docker/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
    if "record" in rule
}


def queries() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load((ROOT / "docker/alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    for file in (ROOT / "docker/grafana/dashboards").glob("*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield panel["title"], target["expr"]


def exposed() -> set[str]:
    """Names of all samples, after one observation of everything that has labels."""
    metrics = Metrics()
    IndexWatch(Health(), metrics)
    watch = metrics.watch(["vespa:8080"])
    watch.ended("vespa:8080", "ok")
    watch.waited(0.001)
    watch.circuit("vespa:8080", True)
    watch.shadowed(0.99)
    metrics.request("/recall", "POST", 200, 0.01)
    metrics.bundles({"control": ("b-00000000", "b-00000000.00000000")})
    lines = metrics.render().decode().splitlines()
    return {re.match(r"[a-zA-Z_:]+", line).group() for line in lines if line and not line.startswith("#")}  # type: ignore[union-attr]


@pytest.mark.parametrize(("title", "expression"), list(queries()))
def test_every_metric_asked_for_exists(title: str, expression: str) -> None:
    asked = set(re.findall(r"\bmrse_[a-z0-9_]+", expression))
    of_vespa = set(re.findall(r"\b(?:content|query|degraded)_[a-z0-9_]+", expression)) - asked
    assert of_vespa <= VESPA
    recorded = set(re.findall(r"\bmrse:[a-z0-9_:]+", expression))
    assert recorded <= RECORDED
    if "up{" in expression:
        return  # Prometheus' own
    assert asked or of_vespa or recorded, f"{title} asks for no metric that we know"
    assert asked <= exposed(), f"{title} asks for what is not there"


def test_compose_mounts_exist() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = [v for s in compose["services"].values() for v in s.get("volumes", []) if v.startswith("./")]
    assert mounts
    for mount in mounts:
        assert (ROOT / mount.split(":")[0]).exists(), mount
    dockerfile = ROOT / compose["services"]["recall"]["build"]["dockerfile"]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
