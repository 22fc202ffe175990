"""What services tell is added up, and the canary is judged by it."""

from __future__ import annotations

import math

import pytest

from cli.release.exposition import Counts, Tally, counts_of, differing, less, read_exposition
from cli.release.guardrails import judge
from cli.release.plan import Canary
from service.scope import Told as ToldOfRequest
from service.telemetry.metrics import Metrics

INF = math.inf


def counts(requests: int, failed: int = 0, empty: int = 0, slow: int = 0) -> Counts:
    answered = requests - failed
    buckets = {
        0.008: float(answered - slow),
        0.128: float(answered - slow),
        0.256: float(answered),
        INF: float(answered),
    }
    return Counts(requests, failed, answered, empty, 0, buckets)


def states(control: Counts, canary: Counts, *, settled: bool = True) -> dict[str, str]:
    found = judge(control, canary, (control, canary) if settled else None, Canary())
    return {each.name: each.state for each in found}


def test_a_healthy_canary_is_fine() -> None:
    assert set(states(counts(900, 1, 9, 9), counts(100, 0, 1, 2)).values()) == {"fine"}


def test_one_that_fails_trips_at_once_and_one_failure_does_not() -> None:
    assert states(counts(90), counts(5, failed=5))["errors"] == "tripped"
    assert states(counts(0), counts(5, failed=5))["errors"] == "tripped"
    assert states(counts(90), counts(1, failed=1))["errors"] == "over"
    assert states(counts(1000, 100), counts(100, 11))["errors"] == "fine"
    assert states(counts(9000), counts(1000, failed=30))["errors"] == "tripped"
    assert states(counts(900), counts(100, failed=2))["errors"] == "over"


def test_one_that_finds_nothing_trips() -> None:
    assert states(counts(900, empty=9), counts(100, empty=30))["empty"] == "tripped"


def test_latency_counts_from_when_caches_are_warm() -> None:
    slow = counts(400, slow=80)
    assert states(counts(900), slow, settled=False)["p95_ms"] == "unknown"
    assert states(counts(900), slow)["p95_ms"] == "tripped"
    assert states(counts(900), counts(100, slow=7))["p95_ms"] == "fine"  # may be chance
    assert states(counts(900), counts(400, slow=36))["p95_ms"] == "over"


def test_nothing_is_known_of_a_canary_without_requests() -> None:
    assert set(states(counts(900), counts(0)).values()) == {"unknown"}


def test_the_service_s_own_exposition_is_understood() -> None:
    metrics = Metrics()
    metrics.bundles({"control": ("b0", "b0.11"), "canary": ("b1", "b1.22")})
    metrics.gauge("ready", "Whether the worker can answer.", lambda: 1, "livemin")
    told = [
        ToldOfRequest(arms={"towers": "canary", "merge": "rrf"}, items=3),
        ToldOfRequest(arms={"towers": "canary"}, items=0),
        ToldOfRequest(arms={"towers": "control"}, items=3, partial=True),
    ]
    for each in told:
        metrics.arms.ended(each, None, 0.003)
    metrics.arms.ended(told[0], "internal", 0.003)
    metrics.arms.ended(told[0], "client-deadline", 0.003)
    metrics.reloaded("refused")
    found = read_exposition(metrics.render().decode())
    assert (found.ready, found.refused) == (True, 1)
    assert found.loaded == {"control": ("b0", "b0.11"), "canary": ("b1", "b1.22")}
    canary, control = counts_of(found.counters, "canary"), counts_of(found.counters, "control")
    assert (canary.requests, canary.failed, canary.answered, canary.empty) == (4, 1, 2, 1)
    assert (control.requests, control.partial) == (1, 1)
    assert canary.quantile(0.5) == pytest.approx(0.003)
    assert canary.slower_than(0.004) == 0
    assert canary.slower_than(0.003) == pytest.approx(0.5)
    assert not differing([found], {"control": ("b0", None), "canary": ("b1", "b1.22")})
    assert differing([found], {"control": ("b0", "b0.99")}) == [
        "canary is still there",
        "control is b0 over b0.11",
    ]
    assert differing([found], {"control": ("b0", None), "canary": ("b1", None), "more": ("b", None)}) == [
        "more is not loaded"
    ]


def test_a_service_that_begins_anew_counts_on() -> None:
    def told(**by_service: float) -> dict[str, object]:
        return {
            name: read_exposition(
                "# TYPE mrse_arm_requests counter\n"
                f'mrse_arm_requests_total{{experiment="towers",arm="canary",outcome="answered"}} {value}\n'
            )
            for name, value in by_service.items()
        }

    tally = Tally()
    tally.begin(told(a=100, b=50))  # type: ignore[arg-type]
    tally.add(told(a=110, b=53))  # type: ignore[arg-type]
    tally.add(told(a=4))  # type: ignore[arg-type]  # a restarted, b is away
    before = dict(tally.total)
    kept = Tally(**tally.as_dict())  # as after a kill
    kept.add(told(a=5, b=60, c=7))  # type: ignore[arg-type]  # b is back, c is new
    assert counts_of(kept.total, "canary").requests == 10 + 3 + 4 + 1 + 7 + 7
    assert counts_of(less(kept.total, before), "canary").requests == 15
