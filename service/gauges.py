"""What a worker tells of itself whenever its metrics are asked for, beside what it counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from service.admission import Admission
from service.deployment import Deployment, Worker
from service.health import PARTS, Health
from service.intake import Intake
from service.recall.controls.rulebook import RuleBook


def show_worker(
    worker: Worker,
    admission: Admission,
    health: Health,
    intake: Intake,
    rules: RuleBook,
    redis_is_open: Callable[[], bool],
    deployments: Callable[[], Iterable[Deployment]],
) -> None:
    """Have the gauges of a worker's load, queues and readiness in its metrics.

    Args:
        worker, admission, health, intake, rules: are asked.
        redis_is_open: whether the shared cache is left alone.
        deployments: those that serve, each once.
    """
    gauge, gate = worker.metrics.gauge, admission.gate
    gauge("cache_entries", "Query experts kept in process.", lambda: len(worker.experts))
    gauge("waiting", "Requests that wait for their turn.", lambda: gate.waiting)
    gauge("concurrency_limit", "Requests that may be worked on.", lambda: gate.concurrency.limit)
    gauge("loop_lag_seconds", "How late the event loop is.", lambda: gate.pulse.lag_s, "livemax")

    def moved() -> float:
        return time.time() - (time.monotonic() - admission.pulse.moved)

    gauge("loop_moved_seconds", "When the event loop last moved, in seconds since 1970.", moved, "liveall")
    load = "Load of the request that waited longest in the last second: from limits.shed_* on parts are "
    load += "left out, at 1 requests are refused."
    gauge("load_ratio", load, admission.peak, "livemax")
    circuit = "Whether the shared cache is left alone after failures."
    gauge("redis_circuit_open", circuit, redis_is_open)
    gauge("in_flight", "Requests being worked on.", lambda: admission.in_flight)
    gauge("items_under_way", "Items by content.", lambda: intake.under_way)

    def queued() -> float:
        encoders = [deployment.encoder for deployment in deployments()]
        waiting = sum(encoder.texts.depth + encoder.pictures.depth for encoder in encoders)
        return waiting + worker.decoder.depth

    gauge("encoder_queue", "Queries that wait to be encoded.", queued)
    gauge("ready", "Whether the worker can answer.", lambda: health.ready, "livemin")
    worker.metrics.gauges("not_ready", "What keeps a worker from answering.", "part", PARTS, health.failing)
    if rules.path is not None:
        gauge("rules", "Queries with a rule of pins or bans.", lambda: len(rules), "livemax")
