"""Requests are counted by the arms that they got, and errors by what caused them."""

from __future__ import annotations

import io
import json
import logging

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from service.app import create_app
from service.http.problems import _TITLES
from service.scope import CLIENT_DEADLINE, CLIENT_LEFT, Told
from service.telemetry.arms import MOST_PAIRS
from service.telemetry.labels import CAUSES, SERVER_CAUSES
from service.telemetry.logs import JsonFormatter
from service.telemetry.metrics import Metrics
from tests.service.conftest import Demo
from tests.service.http.test_health import samples, value
from tests.support.serving import in_process, make_settings, memory_index, opener_in_memory

#: Of the protocol, before there is a request.
_UNREAD = {"malformed-request", "head-too-large", "wrong-host"}


def of(arm: str, experiment: str = "towers", **more: str) -> dict[str, str]:
    return {"experiment": experiment, "arm": arm, **more}


def test_answers_are_counted_by_the_arm_of_every_experiment(client: httpx.Client) -> None:
    chosen = {"towers": "treatment", "merge": "rrf"}

    def counts() -> list[float]:
        return [
            value(client, name, **of(arm, experiment, **more))
            for experiment, arm in chosen.items()
            for name, more in (
                ("mrse_arm_requests_total", {"outcome": "answered"}),
                ("mrse_arm_request_duration_seconds_count", {}),
            )
        ]

    before = counts()
    header = {"X-Experiment": ",".join(f"{name}={arm}" for name, arm in chosen.items())}
    for number in range(3):
        client.post("/recall", json={"query": f"shoes {number}"}, headers=header).raise_for_status()
    client.get("/items/i3/similar", headers=header).raise_for_status()
    assert counts() == [each + 4 for each in before]


def test_what_an_arm_may_be_at_fault_for_is_0_before_it_is(client: httpx.Client) -> None:
    for experiment, arm in (("towers", "treatment"), ("merge", "rrf")):
        for outcome in SERVER_CAUSES:
            labels = of(arm, experiment, outcome=outcome)
            assert ("mrse_arm_requests_total", frozenset(labels.items())) in samples(client)


def test_entries_of_a_batch_count_each_for_itself_and_have_no_time(client: httpx.Client) -> None:
    labels = of("treatment", outcome="answered")
    before = value(client, "mrse_arm_requests_total", **labels)
    times = value(client, "mrse_arm_request_duration_seconds_count", **of("treatment"))
    body = {"requests": [{"query": f"batch {number}"} for number in range(5)]}
    client.post("/recall/batch", json=body, headers={"X-Experiment": "towers=treatment"}).raise_for_status()
    assert value(client, "mrse_arm_requests_total", **labels) == before + 5
    assert value(client, "mrse_arm_request_duration_seconds_count", **of("treatment")) == times


def test_empty_answers_are_counted(client: httpx.Client) -> None:
    before = value(client, "mrse_arm_empty_total", **of("control"))
    answer = client.post("/recall", json={"query": "shoes", "filters": {"category": "no such thing"}}).json()
    assert answer["items"] == []
    assert value(client, "mrse_arm_empty_total", **of("control")) == before + 1


def test_a_short_deadline_of_the_clients_own_is_no_error_of_ours(client: httpx.Client) -> None:
    def causes() -> dict[str, float]:
        return {
            cause: value(client, "mrse_request_errors_total", route="/items/{item_id}/similar", cause=cause)
            for cause in ("deadline", CLIENT_DEADLINE)
        }

    told = Told({}, own_deadline=True)
    assert told.cause("deadline") == CLIENT_DEADLINE
    assert told.cause("internal") == "internal"
    assert Told({}).cause("deadline") == "deadline"
    before = causes()
    statuses = [client.get("/items/i3/similar?timeout_ms=1").status_code for _ in range(20)]
    late = statuses.count(504)
    assert causes() == {**before, CLIENT_DEADLINE: before[CLIENT_DEADLINE] + late}


def test_problems_are_counted_by_cause(client: httpx.Client) -> None:
    def count(cause: str, route: str = "/recall") -> float:
        return value(client, "mrse_request_errors_total", route=route, cause=cause)

    invalid, malformed, unknown = (
        count("invalid-request"),
        count("malformed-json"),
        count("not-found", "unmatched"),
    )
    client.post("/recall", json={"k": 0})
    client.post("/recall", content=b"{", headers={"Content-Type": "application/json"})
    client.get("/nowhere")
    assert count("invalid-request") == invalid + 1
    assert count("malformed-json") == malformed + 1
    assert count("not-found", "unmatched") == unknown + 1


def test_every_kind_of_problem_is_a_cause() -> None:
    assert set(_TITLES) - _UNREAD == CAUSES - {CLIENT_DEADLINE, CLIENT_LEFT}


def test_pairs_of_experiment_and_arm_have_a_bound_and_words_are_those_that_we_know() -> None:
    metrics = Metrics()
    for number in range(MOST_PAIRS + 50):
        metrics.arms.ended(Told({"towers": f"arm{number}"}, degraded=["made up"]), None, 0.01)
    text = metrics.render().decode()
    answered = [line for line in text.splitlines() if line.startswith("mrse_arm_requests_total{")]
    assert len(answered) == MOST_PAIRS + 1
    assert 'mrse_arm_requests_total{arm="other",experiment="other",outcome="answered"} 50.0' in answered
    assert "made up" not in text
    assert 'reason="other"' in text


def test_no_metric_tells_when_it_was_made() -> None:
    assert "_created" not in Metrics().render().decode()
    assert generate_latest(CollectorRegistry()) == b""


def test_a_single_process_tells_what_it_uses(client: httpx.Client) -> None:
    assert value(client, "process_resident_memory_bytes") > 1_000_000
    assert value(client, "process_cpu_seconds_total") > 0
    assert value(client, "mrse_encoder_batch_size_count", part="encoder") > 0
    assert "mrse_build_info{" in client.get("/metrics").text


@pytest.mark.parametrize("sampled", [True, False])
async def test_the_line_of_a_request_tells_arms_routes_trace_and_problem(demo: Demo, sampled: bool) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("mrse")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    app = create_app(
        make_settings(None, None, server={"access_log": True}),
        opener=opener_in_memory(demo.bundle, memory_index(demo.bundle)),
    )
    trace = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"} if sampled else {}
    try:
        async with in_process(app) as client:
            await client.post("/recall", json={"query": "red shoes", "k": 7}, headers=trace)
            await client.post("/recall", json={"k": 0})
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    good, bad = (line for line in lines if line["message"] == "request")
    assert good["arms"] == {"towers": "control"}
    assert good["routes"]["q2i"] == "ok"
    assert (good["partial"], good["items"], good["degraded"]) == (False, 7, [])
    assert good.get("trace_id") == ("ab" * 16 if sampled else None)
    assert isinstance(good["pid"], int)
    assert "problem" not in good
    assert bad["problem"] == "invalid-request"
    assert "arms" not in bad
