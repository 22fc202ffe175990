"""For each alert, series that make it fire and series that are just not enough, in promtool's notation.

A series is ``a+bxn``: n more values, each b higher, a minute apart. Each case is looked at ``AT`` minutes in.
"""

from __future__ import annotations

from typing import NamedTuple

AT = 480  # six hours of the slow burn rate, and the hour before which nothing was counted
_DAY = 86_400
_FOUR_DAYS = 4 * 24 * 60


class Case(NamedTuple):
    """Series that an alert fires for, and that it does not fire for."""

    fires: dict[str, str]
    silent: dict[str, str]
    #: Minutes in; series that change do so shortly before `AT`.
    at: int = 100


def _rate(*per_minute: tuple[float, int]) -> str:
    """A counter that grows by so much a minute, for so many minutes each."""
    text, at = [], 0.0
    for grows, minutes in per_minute:
        text.append(f"{at:g}+{grows:g}x{minutes - 1}")
        at += grows * minutes
    return " ".join(text)


def _steady(value: float) -> str:
    return f"{value:g}x{AT}"


def _grows(by: float) -> str:
    return f"0+{by:g}x{AT}"


def _later(before: float, after: float, minutes: int) -> str:
    """A counter whose growth changes so many minutes before it is looked at."""
    return _rate((before, AT - minutes), (after, minutes + 1))


def _errors(fast: float, cause: str = "model-failed") -> dict[str, str]:
    """A thousand recalls a minute, of which some fail."""
    return {
        'mrse_requests_total{route="/recall",method="POST",status="2xx"}': _grows(1000),
        f'mrse_request_errors_total{{route="/recall",cause="{cause}"}}': _grows(fast),
    }


def _few(what: str) -> dict[str, str]:
    """240 requests an arm in half an hour, and a difference that is no more than chance gives."""
    series = {}
    for arm, share in (("control", 0.1), ("treatment", 0.14)):
        labels = f'experiment="few",arm="{arm}"'
        failed = share if what == "errors" else 0.0
        series[f'mrse_arm_requests_total{{{labels},outcome="answered"}}'] = _grows(8 * (1 - failed))
        series[f'mrse_arm_requests_total{{{labels},outcome="internal"}}'] = _grows(8 * failed)
        series[f"mrse_arm_empty_total{{{labels}}}"] = _grows(8 * share if what == "empty" else 0.0)
    return series


def _latency(name: str, labels: str, bounds: dict[str, float]) -> dict[str, str]:
    return {f'{name}_bucket{{{labels}le="{le}"}}': _grows(by) for le, by in bounds.items()}


def _stage(share: float) -> dict[str, str]:
    """A hundred recalls a minute, of which a share takes 0.128 to 0.256 s."""
    bounds = {"0.064": 100 - 100 * share, "0.128": 100 - 100 * share, "0.256": 100, "+Inf": 100}
    return _latency("mrse_request_duration_seconds", 'route="/recall",', bounds)


def _arms(**by: str) -> dict[str, str]:
    return {
        f'mrse_arm_requests_total{{experiment="towers",arm="{name.split("__")[0]}",'
        f'outcome="{name.split("__")[1].replace("_", "-")}"}}': series
        for name, series in by.items()
    }


def _arm_times(slow: float) -> dict[str, str]:
    found: dict[str, str] = {}
    for arm, late in (("control", 0.0), ("treatment", slow)):
        labels = f'experiment="towers",arm="{arm}",'
        bounds = {"0.032": 100 - late, "0.064": 100 - late, "0.128": 100, "+Inf": 100}
        found |= _latency("mrse_arm_request_duration_seconds", labels, bounds)
    return found | _arms(control__answered=_grows(100), treatment__answered=_grows(100))


def _vespa_latency(seconds: float) -> dict[str, str]:
    name = "content_proton_documentdb_matching_rank_profile_query_latency"
    return {
        f'{name}_sum{{rankProfile="q2i"}}': _grows(60 * seconds),
        f'{name}_count{{rankProfile="q2i"}}': _grows(60),
    }


_UP = 'up{job="mrse-recall",instance="recall:8081"}'
CASES: dict[str, Case] = {
    "RecallDown": Case({_UP: f"1x{AT - 3} 0x4"}, {_UP: f"1x{AT - 1} 0x1"}, AT),
    "RecallAbsent": Case({'up{job="vespa"}': _steady(1)}, {_UP: _steady(0)}),
    "RecallNotReady": Case(
        {'mrse_ready{instance="a"}': f"1x{AT - 4} 0x5"}, {'mrse_ready{instance="a"}': f"1x{AT - 2} 0x2"}, AT
    ),
    # 1.44% is the bound; mistakes of clients and their own short deadlines count for nothing.
    "RecallErrorBudgetFast": Case(_errors(16), _errors(500, "client-deadline") | _errors(14)),
    "RecallErrorBudgetSlow": Case(_errors(7), _errors(500, "invalid-request") | _errors(5), AT),
    "RecallSlow": Case(_stage(0.03), _stage(0.005)),
    "RecallSaturated": Case(
        {'mrse_load_ratio{instance="a"}': _steady(0.8)}, {'mrse_load_ratio{instance="a"}': _steady(0.65)}
    ),
    "RecallRefused": Case(
        _errors(0) | {'mrse_refused_total{reason="waiting"}': _grows(15)},
        _errors(0) | {'mrse_refused_total{reason="waiting"}': _grows(5)},
    ),
    "RecallDegraded": Case(
        _errors(0) | {'mrse_degraded_total{reason="i2i_timeout"}': _grows(60)},
        _errors(0)
        | {
            'mrse_degraded_total{reason="i2i_timeout"}': _grows(40),
            'mrse_degraded_total{reason="no_portrait"}': _grows(900),
        },
    ),
    "ReloadRefused": Case(
        {
            'mrse_reload_timestamp_seconds{instance="a",result="refused"}': _steady(900),
            'mrse_reload_timestamp_seconds{instance="a",result="taken"}': _steady(600),
        },
        {
            'mrse_reload_timestamp_seconds{instance="a",result="refused"}': _steady(600),
            'mrse_reload_timestamp_seconds{instance="a",result="taken"}': _steady(900),
        },
    ),
    "RecallWorkersEnd": Case(
        {'mrse_worker_ends_total{instance="a",how="failed"}': _grows(1)},
        {'mrse_worker_ends_total{instance="a",how="signal"}': f"0x{AT - 60} 2x61"},
        AT,
    ),
    "FollowDown": Case(
        {'up{job="mrse-follow",instance="a"}': f"1x{AT - 20}"},
        {_UP: _steady(1), 'up{job="mrse-follow",instance="b"}': f"1x{AT - 4} 0x4"},
        AT,
    ),
    "FileNotTaken": Case(
        {'mrse_key_file_total{instance="a",result="failed"}': f"0x{AT - 10} 1x11"},
        {'mrse_rules_file_total{instance="a",result="read"}': _grows(1)},
        AT,
    ),
    "AuditFails": Case({"mrse_audit_failures_total": _grows(1)}, {"mrse_audit_failures_total": _steady(4)}),
    "ExposuresLost": Case(
        {
            'mrse_exposures_total{result="written"}': _grows(90),
            'mrse_exposures_total{result="dropped"}': _grows(10),
        },
        {
            'mrse_exposures_total{result="written"}': _grows(9999),
            'mrse_exposures_total{result="failed"}': _grows(1),
        },
    ),
    "RedisAway": Case(
        {'mrse_redis_events_total{event="timeout"}': _grows(60)},
        {
            'mrse_redis_events_total{event="timeout"}': _grows(3),
            'mrse_redis_events_total{event="written"}': _grows(600),
        },
    ),
    "CacheCollapsed": Case(
        {
            'mrse_cache_lookups_total{tier="l1"}': _later(80, 0, 40),
            'mrse_cache_lookups_total{tier="miss"}': _later(20, 100, 40),
        },
        {
            'mrse_cache_lookups_total{tier="l1"}': _later(80, 50, 40),
            'mrse_cache_lookups_total{tier="miss"}': _later(20, 50, 40),
        },
        AT,
    ),
    "FollowLags": Case(
        {'mrse_follow_lag_seconds{instance="a"}': _steady(400)},
        {'mrse_follow_lag_seconds{instance="a"}': _steady(250)},
    ),
    "IndexCoverageLow": Case(
        _latency("mrse_index_coverage_ratio", 'route="q2i",', {"0.99": 2, "+Inf": 100})
        | {'mrse_index_coverage_ratio_count{route="q2i"}': _grows(100)},
        _latency("mrse_index_coverage_ratio", 'route="q2i",', {"0.99": 0.5, "+Inf": 100})
        | {'mrse_index_coverage_ratio_count{route="q2i"}': _grows(100)},
    ),
    "IndexRecallLow": Case(
        {'mrse_index_recall_ratio{accepted="tenth"}': _steady(0.9)},
        {'mrse_index_recall_ratio{accepted="tenth"}': _steady(0.97)},
    ),
    # promtool's time begins at 0.
    "IndexStale": Case(
        {"mrse_index_built_timestamp_seconds": f"1x{_FOUR_DAYS}"},
        {"mrse_index_built_timestamp_seconds": f"{2 * _DAY}x{_FOUR_DAYS}"},
        _FOUR_DAYS,
    ),
    "IndexChangesWait": Case(
        {"mrse_index_pending_changes": _steady(50_000)}, {"mrse_index_pending_changes": _steady(20_000)}
    ),
    "IndexDamaged": Case({"mrse_index_damages": _steady(1)}, {"mrse_index_damages": _steady(0)}),
    "IndexNotWritable": Case(
        {'mrse_index_events_total{event="no_space"}': _grows(1)},
        {
            'mrse_index_events_total{event="rebuilt"}': _grows(1),
            'mrse_index_events_total{event="no_space"}': _steady(5),
        },
    ),
    "IndexNotVerified": Case(
        {"mrse_index_verified_timestamp_seconds": f"1x{_FOUR_DAYS}"},
        {"mrse_index_verified_timestamp_seconds": f"{2 * _DAY}x{_FOUR_DAYS}"},
        _FOUR_DAYS,
    ),
    "ExperimentArmFails": Case(
        _arms(
            control__answered=_grows(100),
            treatment__answered=_grows(97),
            treatment__model_failed=_grows(3),
        ),
        _arms(
            control__answered=_grows(100),
            treatment__answered=_grows(60),
            treatment__client_deadline=_grows(40),
            other__answered=_steady(0),
            other__model_failed=_later(0, 1, 10),  # too few to judge by
        )
        | _few("errors"),
        AT,
    ),
    "ExperimentArmEmpty": Case(
        _arms(control__answered=_grows(100), treatment__answered=_grows(100))
        | {
            'mrse_arm_empty_total{experiment="towers",arm="control"}': _grows(1),
            'mrse_arm_empty_total{experiment="towers",arm="treatment"}': _grows(5),
        },
        _arms(control__answered=_grows(100), treatment__answered=_grows(100))
        | {
            'mrse_arm_empty_total{experiment="towers",arm="control"}': _grows(4),
            'mrse_arm_empty_total{experiment="towers",arm="treatment"}': _grows(5),
        }
        | _few("empty"),
    ),
    "ExperimentArmSlow": Case(_arm_times(10), _arm_times(0)),
    "VespaCallsFail": Case(
        {
            'mrse_index_calls_total{server="v:8080",outcome="ok"}': _grows(90),
            'mrse_index_calls_total{server="v:8080",outcome="timeout"}': _grows(10),
        },
        {
            'mrse_index_calls_total{server="v:8080",outcome="ok"}': _grows(90),
            'mrse_index_calls_total{server="v:8080",outcome="timeout"}': _grows(2),
            'mrse_index_calls_total{server="v:8080",outcome="cancelled"}': _grows(50),
        },
    ),
    "VespaCircuitOpen": Case(
        {'mrse_index_circuit_open{server="v:8080"}': _steady(1)},
        {'mrse_index_circuit_open{server="v:8080"}': f"0x{AT - 1} 1x1"},
        AT,
    ),
    "VespaRecallLow": Case(
        {"mrse_index_shadow_recall_ratio": _steady(0.9)}, {"mrse_index_shadow_recall_ratio": _steady(0.97)}
    ),
    "VespaFeedBlocked": Case(
        {"content_proton_resource_usage_feeding_blocked_max": _steady(1)},
        {"content_proton_resource_usage_feeding_blocked_max": _steady(0)},
    ),
    "VespaMemoryHigh": Case(
        {"content_proton_resource_usage_memory_average": _steady(0.75)},
        {"content_proton_resource_usage_memory_average": _steady(0.6)},
    ),
    "VespaSlow": Case(_vespa_latency(0.08), _vespa_latency(0.02)),
    "VespaDegraded": Case({"degraded_queries_rate": _steady(2)}, {"degraded_queries_rate": _steady(0.5)}),
}
