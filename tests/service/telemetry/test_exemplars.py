"""Exemplars: the trace of a request stands on the bucket of its time, for scrapers that take OpenMetrics."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from service.app import create_app
from service.process.probes import OneProcess, Probes
from service.telemetry.exemplars import Exemplars, written
from service.telemetry.exposition import takes_open
from tests.service.conftest import Demo
from tests.service.telemetry.test_tracing import SAMPLED, TRACE, Spans
from tests.support.serving import in_process, make_settings, memory_index, opener_in_memory

pytest.importorskip("opentelemetry.sdk")
#: What Prometheus sends.
ACCEPT = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}


def exemplars(text: str) -> list[Any]:
    """Those of the time of recalls, by a parser that refuses what is not OpenMetrics."""
    (family,) = (f for f in text_string_to_metric_families(text) if f.name == "mrse_request_duration_seconds")
    return [(s.labels["le"], s.exemplar) for s in family.samples if s.exemplar is not None]


async def test_a_traced_request_is_an_exemplar_of_its_bucket(demo: Demo) -> None:
    opener = opener_in_memory(demo.bundle, memory_index(demo.bundle))
    app = create_app(make_settings(None, None), opener=opener, traces=Spans().provider)
    async with in_process(app) as client:
        assert (await client.post("/recall", json={"query": "shoes"}, headers=SAMPLED)).status_code == 200
        opened = await client.get("/metrics", headers=ACCEPT)
        plain = await client.get("/metrics")
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(Probes(OneProcess(app.state.runtime))), base_url="http://test"
        ) as probing:
            probed = await probing.get("/metrics", headers=ACCEPT)
            assert "# EOF" not in (await probing.get("/metrics")).text
    assert opened.headers["content-type"].startswith("application/openmetrics-text")
    assert plain.headers["content-type"].startswith("text/plain")
    assert TRACE not in plain.text
    for answer in (opened, probed):
        ((bound, exemplar),) = exemplars(answer.text)
        assert exemplar.labels == {"trace_id": TRACE}
        assert 0 < exemplar.value <= float(bound)
        assert abs(float(exemplar.timestamp) - time.time()) < 3600


def test_of_several_workers_the_latest_is_told_and_what_is_old_goes(tmp_path: Path) -> None:
    first, second = (Exemplars((0.1, 1.0), tmp_path) for _ in range(2))
    first.note("/recall", 0.05, "a" * 32)
    first.note("/recall", 5.0, "b" * 32)
    first.write()
    (tmp_path / f"exemplars_{os.getpid()}.json").rename(tmp_path / "exemplars_1.json")
    second.note("/recall", 0.1, "c" * 32)
    second.write()
    found = written(tmp_path)
    assert {bound: trace[0] for (_, bound), (trace, *_) in found.items()} == {"0.1": "c", "+Inf": "b"}
    os.utime(tmp_path / "exemplars_1.json", (0, 0))
    (tmp_path / "exemplars_2.json").write_text("no JSON")
    second.note("/recall", 0.1, "d" * 32)
    second.write()
    assert {bound for _, bound in written(tmp_path)} == {"0.1"}


def test_a_folder_that_is_gone_costs_no_request(tmp_path: Path) -> None:
    kept = Exemplars((0.1,), tmp_path / "gone")
    kept.note("/recall", 0.05, "a" * 32)
    kept.write()
    assert written(tmp_path / "gone") == {}


def test_who_says_nothing_gets_text() -> None:
    assert takes_open(ACCEPT["accept"])
    assert not takes_open(None)
    assert not takes_open("*/*")
