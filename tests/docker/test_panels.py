"""A real Prometheus scrapes the loaded service: panels have data, nothing fires, an end is noticed."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from devtools.dashboards import DASHBOARDS, text
from devtools.prometheus import alerts, ask, prometheus, prometheus_executable, queries
from devtools.redis import redis_server
from devtools.waiting import wait_for
from index.embedded.build import build_index
from tests.support import shop
from tests.support.command import ROOT
from tests.support.serving import Server, make_settings, serving

FOLDER = ROOT / "docker/grafana/dashboards"
#: What a busy machine may rightly make fire.
BUSY = {
    "RecallSlow",
    "RecallSaturated",
    "RecallRefused",
    "RecallDegraded",
    "RecallErrorBudgetFast",
    "RecallErrorBudgetSlow",
    "ExperimentArmFails",
    "ExperimentArmSlow",
}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_what_its_code_says(name: str) -> None:
    written = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert written == text(name), "python -m devtools.dashboards docker/grafana/dashboards"


def test_there_is_no_other_dashboard_and_none_has_two_panels_in_a_place() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == set(DASHBOARDS)
    for name in DASHBOARDS:
        places = [tuple(panel["gridPos"].values()) for panel in json.loads(text(name))["panels"]]
        assert len(set(places)) == len(places)


def load(server: Server) -> None:
    """Requests of every kind, for each arm."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for number in range(8):
            header = {"X-Experiment": f"merge={('score', 'rrf')[number % 2]}"}
            history = [{"item_id": "nobody", "action": "click"}]
            for body in (
                {"query": f"red shoes {number % 3}"},
                {"query": "shoes", "history": history},
                {"query": "shoes", "filters": {"category": "no such thing"}},
            ):
                client.post("/recall", json=body, headers=header)
            client.get("/items/i3/similar", headers=header)
            client.get("/items/nobody/similar", headers=header)
            client.post("/recall", json={"k": 0})


@pytest.mark.skipif(
    prometheus_executable() is None, reason="prometheus is not installed; Debian's package is prometheus"
)
def test_every_panel_has_data_and_an_end_is_noticed(tmp_path: Path) -> None:
    bundle = shop.bundle(tmp_path / "bundle", 1)
    shop.write_embeddings(bundle, tmp_path / "embeddings")
    build_index(tmp_path / "embeddings", tmp_path / "index", cluster_rows=1)
    arms = {"score": {"weight": 1}, "rrf": {"weight": 1, "recall": {"merge": "rrf"}}}
    with redis_server(tmp_path) as redis, ExitStack() as service:
        settings = make_settings(
            bundle.path,
            tmp_path / "index",
            experiments={"merge": arms},
            redis={"url": redis.url},
            server={"recall_check_every_s": 0.01},
            access={"anonymous": ["read", "metrics", "experiments"]},
        )
        server = service.enter_context(serving(settings))
        with prometheus(tmp_path, server.url.removeprefix("http://"), hasty=True) as watching:
            wait_for(lambda: ask(watching, "up == 1"))

            def seen(query: str) -> bool:
                load(server)
                return bool(ask(watching, query))

            wait_for(lambda: seen("sum(mrse_index_recall_checks_total) > 0"))
            wait_for(lambda: seen("sum(rate(mrse_arm_degraded_total[1m])) > 0"))
            for name in ("recall", "experiments"):
                for query in queries(name):
                    wait_for(lambda query=query: ask(watching, query))  # type: ignore[misc]
            for query in queries("vespa"):  # there is none here: that Prometheus takes them
                ask(watching, query)
            assert alerts(watching) <= BUSY
            service.close()
            wait_for(lambda: "RecallDown" in alerts(watching))
