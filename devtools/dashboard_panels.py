"""The panels of the Grafana dashboards: what each asks Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_OURS = 'cause=~"deadline|internal|model-failed|not-ready|overloaded|unavailable"'


class Panel(NamedTuple):
    """A panel: its queries, each with the name of its lines."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    told: str = ""
    stacked: bool = False
    table: bool = False


def _rate(metric: str, *by: str, labels: str = "") -> str:
    inner = f"rate({metric}{{{labels}}}[$__rate_interval])" if labels else f"rate({metric}[$__rate_interval])"
    return f"sum by ({', '.join(by)}) ({inner})" if by else f"sum({inner})"


def _share(part: str, whole: str) -> str:
    return f"{part} / {whole}"


def _quantile(share: float, metric: str, *by: str, labels: str = "") -> str:
    return f"histogram_quantile({share:g}, {_rate(f'{metric}_bucket', 'le', *by, labels=labels)})"


def _mean(metric: str, *by: str) -> str:
    return _share(_rate(f"{metric}_sum", *by), _rate(f"{metric}_count", *by))


_TIMES = "mrse_request_duration_seconds"
_RECALL = 'route="/recall"'
_ARM = ("experiment", "arm")
_NAMED = "{{experiment}} {{arm}}"
_ARMED = "mrse_arm_requests_total"
_ANSWERED = 'outcome="answered"'

SERVICE = [
    Panel(
        "Requests",
        [(_rate("mrse_requests_total", "route", "status"), "{{route}} {{status}}")],
        "reqps",
        stacked=True,
    ),
    Panel(
        "Recall latency",
        [(_quantile(share, _TIMES, labels=_RECALL), f"p{share * 100:g}") for share in (0.5, 0.99, 0.999)],
        "s",
        "From the first byte in to the last byte out.",
    ),
    Panel(
        "Errors by cause",
        [(_rate("mrse_request_errors_total", "cause"), "{{cause}}")],
        "reqps",
        "client-deadline, client-gone and mistakes of clients are no errors of ours.",
    ),
    Panel(
        "Error budget",
        [
            (
                _share(
                    f"sum(rate(mrse_request_errors_total{{{_RECALL},{_OURS}}}[{window}]))",
                    f"sum(rate(mrse_requests_total{{{_RECALL}}}[{window}]))",
                ),
                window,
            )
            for window in ("5m", "1h", "6h")
        ],
        "percentunit",
        "Share of recalls that failed by our own fault; 0.1% is the objective.",
    ),
    Panel("Refused", [(_rate("mrse_refused_total", "reason"), "{{reason}}")], "reqps"),
    Panel(
        "Load",
        [
            ("max by (instance) (mrse_load_ratio)", "load {{instance}}"),
            ("sum(mrse_waiting)", "waiting"),
            ("sum(mrse_in_flight)", "in flight"),
        ],
        told="From limits.shed_* on parts are left out; at 1 requests are refused.",
    ),
    Panel(
        "Time by stage (mean)",
        [(_mean("mrse_stage_duration_seconds", "stage"), "{{stage}}")],
        "s",
        stacked=True,
    ),
    Panel("Stage p99", [(_quantile(0.99, "mrse_stage_duration_seconds", "stage"), "{{stage}}")], "s"),
    Panel(
        "Wait for a turn",
        [
            (_quantile(share, "mrse_stage_duration_seconds", labels='stage="wait"'), f"p{share * 100:g}")
            for share in (0.5, 0.99)
        ],
        "s",
    ),
    Panel(
        "Query cache by tier",
        [
            (
                f"{_rate('mrse_cache_lookups_total', 'tier')} / ignoring (tier) group_left () "
                f"{_rate('mrse_cache_lookups_total')}",
                "{{tier}}",
            )
        ],
        "percentunit",
        stacked=True,
    ),
    Panel("Jobs of a run of a graph", [(_mean("mrse_encoder_batch_size", "part"), "{{part}}")]),
    Panel(
        "Redis",
        [
            (_rate("mrse_redis_events_total", "event"), "{{event}}"),
            ("max(mrse_redis_circuit_open)", "circuit open"),
        ],
    ),
    Panel("Degraded answers", [(_rate("mrse_degraded_total", "reason"), "{{reason}}")], "reqps"),
    Panel(
        "Index coverage (mean)", [(_mean("mrse_index_coverage_ratio", "route"), "{{route}}")], "percentunit"
    ),
    Panel(
        "Recall of live searches",
        [("min by (accepted) (mrse_index_recall_ratio)", "filter accepts: {{accepted}}")],
        "percentunit",
        "Of the nearest items, how many were found: live searches, asked again exactly in idle time.",
    ),
    Panel(
        "Items and changes",
        [("min(mrse_index_items)", "items"), ("max(mrse_index_pending_changes)", "changes since the base")],
    ),
    Panel(
        "Age of the index",
        [
            ("time() - min(mrse_index_built_timestamp_seconds > 0)", "base"),
            ("time() - min(mrse_index_verified_timestamp_seconds > 0)", "last verified"),
        ],
        "s",
    ),
    Panel("Index events", [("sum by (event) (increase(mrse_index_events_total[1h]))", "{{event}}")]),
    Panel("Memory", [("sum by (instance) (process_resident_memory_bytes)", "{{instance}}")], "bytes"),
    Panel(
        "Processor",
        [("sum by (instance) (rate(process_cpu_seconds_total[$__rate_interval]))", "{{instance}}")],
    ),
    Panel(
        "Connections",
        [("sum(mrse_connections)", "open"), (_rate("mrse_connections_closed_total", "reason"), "{{reason}}")],
    ),
    Panel(
        "Ready",
        [
            ("min by (instance) (mrse_ready)", "{{instance}}"),
            ("max by (part) (mrse_not_ready)", "not: {{part}}"),
        ],
    ),
    Panel("Loaded", [("mrse_bundle_info", ""), ("mrse_build_info", "")], table=True),
]
EXPERIMENTS = [
    Panel("Requests by arm", [(_rate(_ARMED, *_ARM), _NAMED)], "reqps"),
    Panel(
        "Errors of ours by arm",
        [
            (
                _share(
                    _rate(_ARMED, *_ARM, "outcome", labels='outcome!="answered"'),
                    f"on (experiment, arm) group_left () {_rate(_ARMED, *_ARM)}",
                ),
                _NAMED + " {{outcome}}",
            )
        ],
        "percentunit",
        "By cause; client-deadline and client-gone are the clients' own.",
    ),
    Panel("Unknown experiment names", [(_rate("mrse_experiment_unknown_total", "kind"), "{{kind}}")]),
    *(
        Panel(
            f"Latency p{share * 100:g} by arm",
            [(_quantile(share, "mrse_arm_request_duration_seconds", *_ARM), _NAMED)],
            "s",
        )
        for share in (0.5, 0.95, 0.99)
    ),
    *(
        Panel(
            title,
            [
                (
                    _share(
                        _rate(metric, *_ARM, *more),
                        f"on (experiment, arm) group_left () {_rate(_ARMED, *_ARM, labels=_ANSWERED)}",
                    ),
                    named,
                )
            ],
            "percentunit",
            "Of the arm's answers.",
        )
        for title, metric, more, named in (
            ("Empty answers by arm", "mrse_arm_empty_total", (), _NAMED),
            ("Partial answers by arm", "mrse_arm_partial_total", (), _NAMED),
            ("Degraded answers by arm", "mrse_arm_degraded_total", ("reason",), _NAMED + " {{reason}}"),
        )
    ),
    Panel("What each arm of towers answers with", [("mrse_bundle_info", "")], table=True),
]
_NODE = "content_proton_resource_usage"
_PROFILE = "content_proton_documentdb_matching_rank_profile_query_latency"
VESPA = [
    Panel(
        "Calls", [(_rate("mrse_index_calls_total", "server", "outcome"), "{{server}} {{outcome}}")], "reqps"
    ),
    Panel("Calls made again", [(_rate("mrse_index_call_retries_total", "server"), "{{server}}")], "reqps"),
    Panel("Wait for a connection p99", [(_quantile(0.99, "mrse_index_call_wait_seconds"), "p99")], "s"),
    Panel("Open circuits", [("sum by (server) (mrse_index_circuit_open)", "{{server}}")]),
    Panel("Recall of live searches", [("min(mrse_index_shadow_recall_ratio)", "recall")], "percentunit"),
    Panel(
        "Memory and disk of content nodes",
        [
            (f"max({_NODE}_memory_average)", "memory"),
            (f"max({_NODE}_disk_average)", "disk"),
            (f"max({_NODE}_feeding_blocked_max)", "feed blocked"),
        ],
        "percentunit",
        "At 80% of its memory the feed of a node is blocked.",
    ),
    Panel("Time on content nodes (mean)", [(_mean(_PROFILE, "rankProfile"), "{{rankProfile}}")], "s"),
    Panel("Queries answered in part", [("sum(degraded_queries_rate)", "a second")], "reqps"),
]
