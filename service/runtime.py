"""What a running worker holds: settings, counters, and, once they are loaded, the stacks that answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from artifacts.cache.codec import F16, FeatureCodec, PortraitCodec
from common.deadline import Clock, Deadline
from index.port import IndexUnavailable
from service.admission import Admission, Pressure
from service.deployment import Progress, Stack, load_stacks, stack_key
from service.errors import StartError
from service.experiments import ExperimentBook
from service.query.cache.breaker import Breaker
from service.query.cache.features import CachedFeatures
from service.query.cache.l1 import LruCache
from service.query.cache.portraits import StoredPortraits
from service.query.cache.redis import RedisCache, SharedCache
from service.query.cache.tiers import TieredCache
from service.query.fusions import KnownFusions
from service.query.query import Query
from service.recall.neighbours import KnownNeighbours
from service.recall.pipeline import Lane, RecallResult, recall
from service.settings import Recall, Settings, Variant
from service.telemetry.metrics import Metrics

log = logging.getLogger("mrse.service")

#: Between two questions to an index that does not answer yet.
_ASK_AGAIN_S = 1.0
#: A reload waits this long for a server; the start waits for as long as it takes, and is not ready.
_PATIENCE_S = 60.0
#: No request outlives its deadline, of at most 10 s, by much.
_LONGEST_REQUEST_S = 15.0

#: Told the seconds of each stage of a recall, while its request is being answered.
OnStages = Callable[[Iterable[tuple[str, float]]], None]
#: Loads what the arms of ``towers`` need, off the event loop.
Loader = Callable[[Settings, Mapping[str, Variant], Progress], Mapping[str, Stack]]


class Runtime:
    """One worker's parts. Everything but the stacks is there from the start."""

    def __init__(
        self,
        settings: Settings,
        loader: Loader = load_stacks,
        clock: Clock = time.monotonic,
        metrics: Metrics | None = None,
        on_stages: OnStages | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
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
        self._on_stages = on_stages
        self._shared: SharedCache | None = None
        self._reloading = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        cache = settings.cache
        self._l1: LruCache[F16] = LruCache(cache.entries, cache.ttl_s, clock)
        self.metrics.gauge("cache_entries", "Query experts kept in process.", lambda: len(self._l1))
        self.metrics.gauge("in_flight", "Requests being worked on.", lambda: self.admission.in_flight)
        self.metrics.gauge("encoder_queue", "Queries that wait to be encoded.", self._queued)
        self.metrics.gauge("ready", "Whether bundle and index are loaded.", lambda: self.ready, "livemin")

    async def load(self) -> None:
        """Load bundle and index, then be ready.

        Raises:
            StartError: they cannot be served.
        """
        started = time.perf_counter()
        stacks = await self._load_stacks(self.settings, self.experiments.arms)
        if self.settings.redis.url is not None:
            knobs = self.settings.redis
            breaker = Breaker(knobs.breaker_failures, knobs.breaker_open_s, self.clock)
            self._shared = RedisCache(knobs, breaker, self.metrics.redis)
        self._serve(self.experiments, stacks)
        self.ready = True
        self.progress = "ready"
        log.info("ready", extra={"took_s": round(time.perf_counter() - started, 3)})

    async def reload(self, settings: Settings, patience_s: float = _PATIENCE_S) -> None:
        """Take the experiments and recall options of other settings, without dropping a request.

        Bundles and indexes that are new are loaded and checked first; then all changes at once; those that
        no arm names any more are closed when the last request that may use them is over. All other settings
        keep their values until a restart.

        Args:
            settings: the settings, read again.
            patience_s: seconds that the server behind a new index may take to answer.

        Raises:
            StartError: the new experiments cannot be served; everything stays as it was.
        """
        if not self.ready:
            raise StartError("not ready yet; reload when it is")
        async with self._reloading:
            wanted = self.settings.model_copy(
                update={"experiments": settings.experiments, "recall": settings.recall}
            )
            book = ExperimentBook(wanted.experiments, wanted.recall, self.metrics.experiment_unknown)
            try:
                stacks = await self._load_stacks(wanted, book.arms, patience_s)
            except TimeoutError as error:
                raise StartError(f"gave up after {patience_s:g} s: {self.progress}") from error
            finally:
                self.progress = "ready"  # what serves goes on serving
            before = set(map(id, self.stacks.values())) - set(map(id, stacks.values()))
            retired = [stack for stack in _distinct(self.stacks) if id(stack) in before]
            self.settings = wanted
            self._serve(book, stacks)
        log.info("reloaded", extra={"experiments": book.describe(), "retired": len(retired)})
        if retired:
            task = asyncio.create_task(_close_later(retired), name="retire")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Release what was loaded."""
        self.ready = False
        self.metrics.flush()
        for task in list(self._retiring):
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        if self._shared is not None:
            await self._shared.close()
        for stack in _distinct(self.stacks):
            await stack.close()

    async def _load_stacks(
        self, settings: Settings, arms: Mapping[str, Variant], patience_s: float | None = None
    ) -> dict[str, Stack]:
        """A stack for each arm: those that serve already, and new ones, checked."""
        have = {
            stack_key(self.settings, variant): self.stacks[arm]
            for arm, variant in self.experiments.arms.items()
            if arm in self.stacks
        }
        new = {arm: v for arm, v in arms.items() if stack_key(settings, v) not in have}
        loaded = await asyncio.to_thread(self._loader, settings, new, self._note_progress) if new else {}
        try:
            async with asyncio.timeout(patience_s):
                for stack in _distinct(loaded):
                    await self._until_it_answers(stack)
        except BaseException:
            for stack in _distinct(loaded):
                await stack.close()
            raise
        return {
            arm: loaded[arm] if arm in loaded else have[stack_key(settings, v)] for arm, v in arms.items()
        }

    async def _until_it_answers(self, stack: Stack) -> None:
        """Wait for the server behind an index; one that is not there yet is no reason to end."""
        check = stack.opened.check
        if check is None:
            return
        while True:
            self._note_progress(f"asking {stack.index.version} whether it is there")
            try:
                await check()
            except IndexUnavailable as error:
                self._note_progress(f"waiting for the index: {error.reason}")
                await asyncio.sleep(_ASK_AGAIN_S)
            except ValueError as error:  # it is another bundle's, or of another shape
                raise StartError(str(error)) from error
            else:
                return

    def _serve(self, book: ExperimentBook, stacks: Mapping[str, Stack]) -> None:
        """Change over, in one step of the event loop."""
        for arm, stack in self.stacks.items():
            self.metrics.bundle(arm, stack.bundle.version, stack.index.version, loaded=False)
        self.experiments = book
        self.stacks = stacks
        self.lanes = {arm: self._lane(stack) for arm, stack in stacks.items()}
        for arm, stack in stacks.items():
            self.metrics.bundle(arm, stack.bundle.version, stack.index.version)

    def deadline(self, timeout_ms: int | None, received: float) -> Deadline:
        """The deadline of a request whose last byte came at ``received`` on the clock."""
        milliseconds = timeout_ms or self.settings.deadline.default_ms
        return Deadline(received + milliseconds / 1000, self.clock)

    async def recall(
        self, lane: Lane, query: Query, options: Recall, pressure: Pressure, deadline: Deadline
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
        if self._on_stages is not None:
            self._on_stages(result.stages)
        self.metrics.degraded(result.degraded)
        for name, outcome in result.routes.items():
            if outcome.status == "ok":
                self.metrics.coverage(name, outcome.coverage)
        return result

    def _lane(self, stack: Stack) -> Lane:
        dimensions, cache = stack.bundle.manifest.dimensions, self.settings.cache
        codec = FeatureCodec(len(dimensions.experts), dimensions.expert_dim)
        features = stack.opened.features or CachedFeatures(stack.bundle.version, codec, self._shared)
        return Lane(
            stack.bundle.version,
            dimensions.expert_dim,
            dimensions.experts,
            dimensions.history,
            stack.bundle.manifest.behaviours,
            stack.encoder,
            TieredCache(codec, self._l1, self._shared, self.metrics.cache),
            stack.index,
            features,
            KnownNeighbours(cache.neighbours, self.metrics.neighbours),
            KnownNeighbours(cache.queries, self.metrics.heads),
            KnownFusions(cache.queries, self.metrics.fusions),
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
        encoders = [stack.encoder for stack in _distinct(self.stacks)]
        return sum(encoder.texts.depth + encoder.pictures.depth for encoder in encoders)


def _distinct(stacks: Mapping[str, Stack]) -> list[Stack]:
    """Each stack once, though arms may share it."""
    return list({id(stack): stack for stack in stacks.values()}.values())


async def _close_later(stacks: list[Stack]) -> None:
    """Close stacks once no request can still use them."""
    try:
        await asyncio.sleep(_LONGEST_REQUEST_S)
    finally:
        for stack in stacks:
            await stack.close()
