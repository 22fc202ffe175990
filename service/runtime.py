"""What a running worker holds: settings, stacks once they are loaded, and the checks that requests share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from models.bundle import Behaviour, PictureError
from models.bundle.text import normalise
from service.admission import Admission, Pressure
from service.api.schemas import HistoryEntry, RecallRequest
from service.cache.breaker import Breaker
from service.cache.codec import F16, FeatureCodec
from service.cache.features import CachedFeatures
from service.cache.l1 import LruCache
from service.cache.redis import RedisCache, SharedCache
from service.cache.tiers import TieredCache
from service.deadline import Clock, Deadline
from service.encode.picture import QueryPicture, parse_picture
from service.errors import DeadlinePassed, FieldError, StartError
from service.experiments import Assignment, ExperimentBook
from service.index.filters import Filter, FilterError, parse_filter
from service.metrics import Metrics
from service.recall.pipeline import Lane, RecallQuery, RecallResult, recall
from service.settings import Settings, Variant
from service.stack import Progress, Stack, load_stacks

log = logging.getLogger("mrse.service")

#: Loads what the arms of ``towers`` need, off the event loop.
Loader = Callable[[Settings, Mapping[str, Variant], Progress], Mapping[str, Stack]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request whose fields have been checked against the index that will answer it."""

    request: RecallRequest
    assignment: Assignment
    lane: Lane
    filters: Filter | None


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

    def prepare(self, request: RecallRequest, request_id: str, experiment: str | None) -> Prepared:
        """Check what can be checked without work.

        Raises:
            FieldError: nothing to search by, k above the limit, or a filter that the index cannot answer.
        """
        if not request.history and request.picture is None and not normalise(request.query):
            raise FieldError("query", "there is nothing to search by: give a query, a picture or a history")
        self.check_k(request.k)
        assignment = self.experiments.assign(request.user_id or request_id, experiment)
        lane = self.lanes[assignment.towers]
        return Prepared(request, assignment, lane, self.filters(lane, request.filters))

    def check_k(self, k: int) -> None:
        """Raises `FieldError` for a k above the limit."""
        if k > self.settings.limits.max_k:
            raise FieldError("k", f"Input should be less than or equal to {self.settings.limits.max_k}")

    @staticmethod
    def filters(lane: Lane, raw: Mapping[str, object]) -> Filter | None:
        """The filters for a lane's index.

        Raises:
            FieldError: they do not fit its attributes.
        """
        try:
            return parse_filter(raw, lane.index.attributes) if raw else None
        except FilterError as error:
            field = "filters" if error.field == "filters" else f"filters.{error.field}"
            raise FieldError(field, str(error)) from error

    def deadline(self, timeout_ms: int | None, received: float) -> Deadline:
        """The deadline of a request whose last byte came at ``received`` on the clock."""
        milliseconds = timeout_ms or self.settings.deadline.default_ms
        return Deadline(received + milliseconds / 1000, self.clock)

    async def answer(self, prepared: Prepared, pressure: Pressure, deadline: Deadline) -> RecallResult:
        """Recall for a checked request; raises as `service.recall.pipeline.recall` does."""
        request = prepared.request
        query = RecallQuery(
            request.query,
            [_behaviour(entry) for entry in request.history],
            request.k,
            prepared.filters,
            await self._picture(request.picture, deadline),
        )
        result = await recall(
            prepared.lane,
            query,
            prepared.assignment.recall,
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

    async def _picture(self, text: str | None, deadline: Deadline) -> QueryPicture | None:
        if text is None:
            return None
        limits = self.settings.limits
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await asyncio.to_thread(
                    parse_picture, text, max_bytes=limits.picture_bytes, max_pixels=limits.picture_pixels
                )
        except PictureError as error:
            raise FieldError("picture", str(error)) from error
        except TimeoutError as error:
            raise DeadlinePassed("reading the picture") from error

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
        )

    def _note_progress(self, step: str) -> None:
        self.progress = step
        log.info(step)

    def _queued(self) -> float:
        encoders = {id(stack.encoder): stack.encoder for stack in self.stacks.values()}
        return sum(encoder.texts.depth + encoder.pictures.depth for encoder in encoders.values())


def _behaviour(entry: HistoryEntry) -> Behaviour:
    return Behaviour(entry.item_id, entry.action, entry.ts)


__all__ = ["Loader", "Prepared", "Runtime", "StartError"]
