"""Metrics, logs and versions: what an operator sees, and what must not be seen."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving

SECRETS = {
    "query": "my secret wish",
    "user_id": "user-4711",
    "history": [{"item_id": "i12", "action": "click"}],
}


def samples(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def value(client: httpx.Client, name: str, **labels: str) -> float:
    return samples(client).get((name, frozenset(labels.items())), 0.0)


def test_stages_cache_and_coverage_are_measured(client: httpx.Client) -> None:
    client.post("/recall", json={"query": "metrics of shoes"})
    client.post("/recall", json={"query": "metrics of shoes"})
    for stage in ("wait", "encode", "cache", "features", "fusion", "q2i", "i2i", "merge", "parse", "answer"):
        assert value(client, "mrse_stage_duration_seconds_count", stage=stage) >= 1, stage
    assert value(client, "mrse_cache_lookups_total", tier="l1") >= 1
    assert value(client, "mrse_cache_lookups_total", tier="miss") >= 1
    assert value(client, "mrse_index_coverage_ratio_count", route="q2i") >= 2
    assert value(client, "mrse_ready") == 1
    assert value(client, "mrse_in_flight") == 0
    assert value(client, "mrse_encoder_queue") == 0


def test_what_is_loaded_is_a_metric_and_a_version(client: httpx.Client, demo: Demo) -> None:
    version = client.get("/version").json()
    control = version["towers"]["control"]
    assert control["bundle"] == demo.bundle.version
    assert control["index"]["items"] == 60
    assert control["precisions"]["query_experts"] == "fp32"
    assert control["providers"] == ["CPUExecutionProvider"]
    assert version["experiments"]["merge"] == {"score": 1.0, "rrf": 0.0}
    labels = {"arm": "control", "bundle": demo.bundle.version, "index": control["index"]["version"]}
    assert value(client, "mrse_bundle_info", **labels) == 1


def test_metrics_never_carry_what_users_sent(client: httpx.Client) -> None:
    client.post("/recall", json=SECRETS)
    client.get("/items/i12/similar")
    text = client.get("/metrics").text
    for secret in ("secret wish", "user-4711", "i12"):
        assert secret not in text


def test_two_services_in_one_process_share_nothing(demo: Demo) -> None:
    settings = make_settings(demo.bundle.path, demo.index)
    with (
        serving(settings) as one,
        serving(settings) as two,
        httpx.Client(base_url=one.url) as first,
        httpx.Client(base_url=two.url) as second,
    ):
        first.post("/recall", json={"query": "a"})
        labels = {"route": "/recall", "method": "POST", "status": "2xx"}
        assert value(first, "mrse_requests_total", **labels) == 1
        assert value(second, "mrse_requests_total", **labels) == 0


def test_telemetry_of_the_framework_is_off(client: httpx.Client, demo: Demo) -> None:
    app = create_app(make_settings(demo.bundle.path, demo.index))
    assert app._native_telemetry.enabled() is False
