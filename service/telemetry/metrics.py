"""Prometheus metrics on a registry of their own.

No label ever carries a query, a user or an item.

Several workers count into files of one folder, which prometheus-client maps into memory, and whichever of
them is asked answers for all: counters and histograms are sums, also over workers that have ended; gauges
are of the workers that live, as each last noted them.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
)

from common.build import service_version
from common.metrics import NAMESPACE, SHARED_VARIABLE
from service.degraded import degraded_words
from service.query.batcher import Failure
from service.query.encoder import BATCHED, FAILURES, FALLIBLE, Batched, Fallible
from service.recall.routes import ROUTES
from service.telemetry.arms import ArmMetrics
from service.telemetry.children import children, counted, labelled, lookups
from service.telemetry.exemplars import Exemplars
from service.telemetry.exposition import exposed, merged
from service.telemetry.gauges import Gauges
from service.telemetry.index import IndexMetrics
from service.telemetry.labels import CAUSES, SERVER_CAUSES, Closed
from service.telemetry.observing import Observations, Timings
from service.telemetry.process import watch_process
from service.telemetry.reloads import Reload, reload_metrics

#: Seconds between two notes of the gauges, where workers share their metrics.
NOTE_EVERY_S = 1.0
#: Stages of a recall, before and after those that the routes are.
_STAGES_BEFORE = ("wait", "parse", "cache", "encode", "features", "fusion")
_STAGES_AFTER = ("merge", "controls", "answer")
#: What a shop may want of an answer beside that it fits: the label of a metric.
_CONTROLS = ("weights", "boosts", "diversity", "pins", "bans", "fields")
#: Up to the longest time that a client may give a request.
_LATENCY = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.5, 5, 10)
_STAGE = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2.5, 10)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
#: Methods that are labels: those that some route has. The names of methods are the client's to choose.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})


class Metrics:
    """All metrics of one worker; it shares those of the folder that `SHARED_VARIABLE` names, if it is set.

    Attributes:
        neighbours: counts a trigger's neighbours, known before or not.
        heads: counts the results of a query without a history, known before or not.
        fusions: counts the embedding of a query without a history, known before or not.
        portrait: counts a lookup of a stored portrait: found, none, Redis away, or damaged.
        cache: counts a lookup of query experts, by tier.
        picture: counts a picture by what became of it.
        canary: counts a query that the service asked itself, by what came of it.
        redis: counts what happened to a call to Redis.
        refused: counts a request refused before any work, by reason.
        access_refused: counts a request refused by its key or for want of one, by reason.
        rules_file: counts a reading of the file of rules after it changed.
        exposures: events of the exposure log: ``written``, ``dropped`` since too many waited, or ``failed``.
        experiments_file: counts a reading of the file of experiments after it changed.
        audit_failures: lines of the file of changes that could not be written.
        key_file: counts a reading of the file of keys after it changed.
        experiment_unknown: counts an unknown ``experiment`` or ``variant`` (an arm), and an arm that is
            ``forbidden`` to the caller. The name itself is the client's, so it is no label.
        items: items by content, ``put`` into every arm's index, ``refused``, or ``removed``.
        events: events, ``taken`` or ``refused``.
        flush: counts what was observed and waits to be counted.
        exemplars: keeps traces of requests by how long they took.
        arms: counts requests by the arms that they got.
        index: counts searches, what happens to the index's files, and calls to servers behind it.
        gauge, gauges: register what is read by `note`, as `Gauges` does.
        cancelled: requests whose client went away.
        connection_closed: counts a connection that ended, by why: ``client`` closed it, or broke it; the
            answer said so (``answered``); it was ``idle``; its TLS ``handshake`` failed or took too long;
            the head took too long (``head_timeout``); the answer was not taken (``write_timeout``); another
            got its place (``evicted``); ``refused``; ``shutdown``.
        connection_refused: counts an answer that the protocol gave by itself, by its status.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.shared = os.environ.get(SHARED_VARIABLE)
        self.registry = CollectorRegistry()
        self._counter = partial(Counter, namespace=NAMESPACE, registry=self.registry)
        self._gauge = partial(Gauge, namespace=NAMESPACE, registry=self.registry)
        histogram = partial(Timings, namespace=NAMESPACE, registry=self.registry)
        self._note_process = watch_process(self.registry, self.shared is not None)
        self.exemplars = Exemplars(_LATENCY, Path(self.shared) if self.shared else None)
        observations = Observations(
            at_once=not self.shared
        )  # another worker is asked for what this one counts
        self._observe, self.flush = observations.note, observations.flush
        gauges = Gauges(self._gauge)
        self.gauge, self.gauges, self._read_gauges = gauges.gauge, gauges.gauges, gauges.note
        count, count_many = partial(labelled, self._counter), partial(counted, self._counter)
        count_lookups = partial(lookups, self._counter)
        self._requests = cache(
            self._counter("requests", "Requests by route.", ["route", "method", "status"]).labels
        )
        whole = "Time from the first byte in to the last byte out."
        self._latency = cache(
            histogram("request_duration_seconds", whole, ["route"], buckets=_LATENCY).labels
        )
        self._errors = cache(
            self._counter(
                "request_errors", "Requests that a problem answered, by its cause.", ["route", "cause"]
            ).labels
        )
        for cause in SERVER_CAUSES:
            self._errors("/recall", cause)
        self.arms = ArmMetrics(
            self._counter,
            partial(histogram, buckets=_LATENCY),
            self._observe,
            frozenset(CAUSES),
            frozenset(degraded_words()),
        )
        stage = histogram("stage_duration_seconds", "Time by stage of a recall.", ["stage"], buckets=_STAGE)
        self._stages = children(stage, (*_STAGES_BEFORE, *ROUTES, *_STAGES_AFTER))
        tiers = ("l1", "redis", "miss")
        self.cache = count("cache_lookups", "Query experts by the tier that had them.", "tier", tiers)
        self.neighbours = count_lookups("neighbour", "Lists of I2I neighbours by whether they were known.")
        self.heads = count_lookups("search", "Results of Q2I without a history by whether they were known.")
        self.fusions = count_lookups("fusion", "Embeddings without a history by whether they were known.")
        self.portrait = count(
            "portrait_lookups", "Stored portraits looked for.", "found", ("yes", "no", "away", "damaged")
        )
        events = ("timeout", "error", "open", "dropped", "written")
        self.redis = count("redis_events", "What happened to calls to Redis.", "event", events)
        degraded = self._counter("degraded", "Answers that fell short, by reason.", ["reason"])
        self._degraded = {word: degraded.labels(word) for word in (*degraded_words(), "other")}
        became = "Pictures by what became of them; costly: took too much to decode, known: did so before."
        outcomes = ("decoded", "damaged", "costly", "known", "failed")
        self.picture: Callable[[str], None] = count("pictures", became, "outcome", outcomes)
        results = ("passed", "failed", "inconclusive")
        self.canary = count("canaries", "Queries that the service asked itself.", "result", results)
        failures = self._counter("model_failures", "Runs of a graph that failed.", ["part", "how"])
        self._model_failures = {
            (part, how): failures.labels(part, how) for part in FALLIBLE for how in FAILURES
        }
        reasons = ("in_flight", "waiting", "share", "encoder_queue", "not_ready")
        self.refused = count("refused", "Requests refused before any work.", "reason", reasons)
        why = ("missing", "unknown", "expired", "forbidden", "rate", "quota", "slowed")
        self._reloads, self._reloaded = reload_metrics(self.registry)
        self._batches = children(
            histogram("encoder_batch_size", "Jobs of a run of a graph.", ["part"], buckets=_BATCHES),
            BATCHED,
        )
        build = self._gauge("build_info", "What runs.", ["version", "python"], multiprocess_mode="livemax")
        build.labels(service_version(), platform.python_version()).set(1)
        self.access_refused = count("access_refused", "Requests refused by key.", "reason", why)
        self.key_file = count("key_file", "Readings of a changed file of keys.", "result", ("read", "failed"))
        self.rules_file = count(
            "rules_file", "Readings of a changed file of rules.", "result", ("read", "failed")
        )
        self.exposures = count_many(
            "exposures", "Events of the exposure log.", "result", ("written", "dropped", "failed")
        )
        self.experiments_file = count(
            "experiments_file", "Readings of a changed file of experiments.", "result", ("read", "failed")
        )
        controlled = self._counter("controls", "Answers that a control changed, or told more.", ["control"])
        self._controls = children(controlled, _CONTROLS)
        self.audit_failures = self._counter("audit_failures", "Changes that could not be audited.")
        unknown = "Names in X-Experiment that do not exist, or are not the caller's to choose."
        kinds = ("experiment", "variant", "forbidden")
        self.experiment_unknown = count("experiment_unknown", unknown, "kind", kinds)
        of_stages = partial(histogram, buckets=_STAGE)
        self.index = IndexMetrics(self._counter, self._gauge, of_stages, self._observe)
        self.items = count_many("items", "Items by content.", "result", ("put", "refused", "removed"))
        self.events = count_many("events", "Events of users.", "result", ("taken", "refused"))
        self.cancelled = self._counter("cancelled", "Requests whose client went away.")
        self.connection_closed = count(
            "connections_closed", "Connections that ended, by why.", "reason", get_args(Closed)
        )
        statuses = ("400", "405", "408", "421", "431", "503")
        self.connection_refused = count(
            "connection_refusals", "Requests refused before they were read, by status.", "status", statuses
        )
        self._loaded: dict[str, tuple[str, str]] = {}
        loaded = ["arm", "bundle", "index"]
        self._bundle = self._gauge("bundle_info", "What is loaded.", loaded, multiprocess_mode="livemax")

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a finished request; ``route`` is its template, never its path."""
        method = method if method in _METHODS else "other"
        self._requests(route, method, f"{status // 100}xx").inc()
        self._observe(self._latency(route), seconds)

    def error(self, route: str, cause: str) -> None:
        """Count a request that a problem answered; ``route`` is its template."""
        self._errors(route, cause if cause in CAUSES else "other").inc()

    def reloaded(self, result: Reload) -> None:
        """Count a reading of the settings while serving, and note when it was."""
        self._reloads.labels(result).inc()
        self._reloaded.labels(result).set(time.time())

    def batch(self, part: Batched, jobs: int) -> None:
        """Observe how many jobs a graph ran together."""
        self._observe(self._batches(part), jobs)

    def stage(self, name: str, seconds: float) -> None:
        """Observe one stage."""
        self._observe(self._stages(name), seconds)

    def stages(self, seconds: Iterable[tuple[str, float]]) -> None:
        """Observe the stages of a recall."""
        for name, value in seconds:
            self._observe(self._stages(name), value)

    def degraded(self, reasons: Iterable[str]) -> None:
        """Count why an answer fell short."""
        for reason in reasons:
            self._degraded.get(reason, self._degraded["other"]).inc()

    def controls(self, used: Iterable[str]) -> None:
        """Count the controls that an answer was made with."""
        for name in used:
            self._controls(name).inc()

    def model_failed(self, part: Fallible, how: Failure) -> None:
        """Count a run of a graph that failed; any thread may."""
        self._model_failures[part, how].inc()

    def bundles(self, loaded: Mapping[str, tuple[str, str]]) -> None:
        """Note each arm's bundle and index, and that those noted before are no longer loaded."""
        for arm, (bundle, index) in self._loaded.items():
            if self.shared:  # a label in a shared file cannot be removed; `merged` leaves out what is 0
                self._bundle.labels(arm, bundle, index).set(0)
            else:
                self._bundle.remove(arm, bundle, index)
        self._loaded = dict(loaded)
        for arm, (bundle, index) in self._loaded.items():
            self._bundle.labels(arm, bundle, index).set(1)

    def note(self) -> None:
        """Count what was observed and read the gauges, so that another worker that is asked knows them."""
        self.flush()
        self.exemplars.write()
        self._note_process()
        self._read_gauges()

    def render(self, is_open: bool = False) -> bytes:
        """The exposition, as OpenMetrics or as text: of this worker, or of all that share."""
        self.note()
        return self.rendered(is_open)

    def rendered(self, is_open: bool = False) -> bytes:
        """As `render`, as it was last noted; any thread may ask."""
        if self.shared:
            return merged(Path(self.shared), is_open)
        return exposed(self.registry, self.exemplars.kept, is_open)
