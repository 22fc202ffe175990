"""Alerts and dashboards ask only for metrics and labels that the service has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from producer.metrics import FollowMetrics
from service.process.connections import connections_of
from service.process.ends import worker_ends
from service.runtime import Runtime
from service.scope import RUNTIME, Told
from service.settings import load_settings

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


@cache
def exposed() -> frozenset[str]:
    """Names of all samples, after one observation of everything that has labels."""
    runtime = Runtime(load_settings(None, {}))
    connections_of({RUNTIME: runtime})
    metrics = runtime.metrics
    worker_ends(metrics.registry)
    watch = metrics.index.watch(["vespa:8080"])
    watch.ended("vespa:8080", "ok")
    watch.waited(0.001)
    watch.circuit("vespa:8080", True)
    watch.shadowed(0.99)
    metrics.request("/recall", "POST", 200, 0.01)
    metrics.arms.ended(Told({"towers": "control"}, degraded=["no_i2i"]), None, 0.01)
    metrics.index.recall("all", 1.0)
    metrics.reloaded("taken")
    metrics.bundles({"control": ("b-00000000", "b-00000000.00000000")})
    follow = generate_latest(FollowMetrics().registry)
    lines = (metrics.render() + follow).decode().splitlines()
    return frozenset(
        line.partition("{")[0].partition(" ")[0] for line in lines if line and not line.startswith("#")
    )


@pytest.mark.parametrize(("title", "expression"), list(queries()))
def test_every_metric_asked_for_exists(title: str, expression: str) -> None:
    asked = set(re.findall(r"\b(?:mrse|process)_[a-z0-9_]+", expression))
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
    volumes = [volume for service in compose["services"].values() for volume in service.get("volumes", [])]
    mounts = [volume for volume in volumes if isinstance(volume, str) and volume.startswith("./")]
    assert mounts
    for mount in mounts:
        assert (ROOT / mount.split(":")[0]).exists(), mount
    dockerfile = ROOT / compose["services"]["recall"]["build"]["dockerfile"]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
