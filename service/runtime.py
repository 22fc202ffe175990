"""What a running worker holds: settings, counters, and, once they are loaded, the stacks that answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from service.admission import Admission, Pressure
from service.cache.breaker import Breaker
from service.cache.codec import F16, FeatureCodec, PortraitCodec
from service.cache.features import CachedFeatures
from service.cache.l1 import LruCache
from service.cache.portraits import StoredPortraits
from service.cache.redis import RedisCache, SharedCache
from service.cache.tiers import TieredCache
from service.deadline import Clock, Deadline
from service.experiments import ExperimentBook
from service.metrics import Metrics
from service.recall.pipeline import Lane, RecallQuery, RecallResult, recall
from service.settings import Recall, Settings, Variant
from service.stack import Progress, Stack, load_stacks

log = logging.getLogger("mrse.service")

#: Loads what the arms of ``towers`` need, off the event loop.
Loader = Callable[[Settings, Mapping[str, Variant], Progress], Mapping[str, Stack]]


class Runtime:
    """One worker's parts. Everything but the stacks is there from the start."""

    def __init__(
        self, settings: Settings, loader: Loader = load_stacks, clock: Clock = time.monotonic
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.admission = Admission(settings.limits, lambda: self.metrics.refused("in_flight"))
        self.experiments = ExperimentBook(
            settings.experiments, settings.recall, self.metrics.experiment_unknown
        )
        self.stacks: Mapping[str, Stack] = {}
        self.lanes: Mapping[str, Lane] = {}
        self.progress = "starting"
        self.ready = False
        self.clock = clock
        self._loader = loader
        self._shared: SharedCache | None = None
        self.metrics.gauge("in_flight", "Requests being worked on.", lambda: self.admission.in_flight)
        self.metrics.gauge("encoder_queue", "Queries that wait to be encoded.", self._queued)
        self.metrics.gauge("ready", "Whether bundle and index are loaded.", lambda: self.ready)

    async def load(self) -> None:
        """Load bundle and index, then be ready.

        Raises:
            StartError: they cannot be served.
        """
        started = time.perf_counter()
        self.stacks = await asyncio.to_thread(
            self._loader, self.settings, self.experiments.arms, self._note_progress
        )
        if self.settings.redis.url is not None:
            knobs = self.settings.redis
            breaker = Breaker(knobs.breaker_failures, knobs.breaker_open_s, self.clock)
            self._shared = RedisCache(knobs, breaker, self.metrics.redis)
        l1: LruCache[F16] = LruCache(self.settings.cache.entries, self.settings.cache.ttl_s, self.clock)
        self.metrics.gauge("cache_entries", "Query experts kept in process.", lambda: len(l1))
        self.lanes = {arm: self._lane(stack, l1) for arm, stack in self.stacks.items()}
        for arm, stack in self.stacks.items():
            self.metrics.bundle(arm, stack.bundle.version, stack.index.version)
        self.ready = True
        self.progress = "ready"
        log.info("ready", extra={"took_s": round(time.perf_counter() - started, 3)})

    async def close(self) -> None:
        """Release what was loaded."""
        self.ready = False
        if self._shared is not None:
            await self._shared.close()
        for stack in {id(stack): stack for stack in self.stacks.values()}.values():
            await stack.close()

    def deadline(self, timeout_ms: int | None, received: float) -> Deadline:
        """The deadline of a request whose last byte came at ``received`` on the clock."""
        milliseconds = timeout_ms or self.settings.deadline.default_ms
        return Deadline(received + milliseconds / 1000, self.clock)

    async def recall(
        self, lane: Lane, query: RecallQuery, options: Recall, pressure: Pressure, deadline: Deadline
    ) -> RecallResult:
        """Recall and count; raises as `service.recall.pipeline.recall` does."""
        result = await recall(
            lane,
            query,
            options,
            pressure,
            deadline,
            now=lambda: datetime.now(UTC),
            reserve_s=self.settings.deadline.reserve_ms / 1000,
        )
        self.metrics.stages(result.stages)
        self.metrics.degraded(result.degraded)
        for name, outcome in result.routes.items():
            if outcome.status == "ok":
                self.metrics.coverage(name, outcome.coverage)
        return result

    def _lane(self, stack: Stack, l1: LruCache[F16]) -> Lane:
        dimensions = stack.bundle.manifest.dimensions
        codec = FeatureCodec(len(dimensions.experts), dimensions.expert_dim)
        features = stack.features or CachedFeatures(stack.bundle.version, codec, self._shared)
        return Lane(
            stack.bundle.version,
            dimensions.expert_dim,
            dimensions.experts,
            dimensions.history,
            stack.encoder,
            TieredCache(codec, l1, self._shared, self.metrics.cache),
            stack.index,
            features,
            self._portraits(stack),
        )

    def _portraits(self, stack: Stack) -> StoredPortraits | None:
        if self._shared is None:
            return None
        dimensions = stack.bundle.manifest.dimensions
        codec = PortraitCodec(len(dimensions.experts), dimensions.expert_dim)
        return StoredPortraits(stack.bundle.version, codec, self._shared, self.metrics.portrait)

    def _note_progress(self, step: str) -> None:
        self.progress = step
        log.info(step)

    def _queued(self) -> float:
        encoders = {id(stack.encoder): stack.encoder for stack in self.stacks.values()}
        return sum(encoder.texts.depth + encoder.pictures.depth for encoder in encoders.values())
