"""What a running worker holds: settings, counters, and, once they are loaded, the deployments that answer."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from common.arrays import F16
from common.breaker import CircuitBreaker
from common.deadline import Clock
from common.lru import Lru
from service.access.audit import Audit
from service.access.guard import Guard
from service.admission import Admission
from service.canary import FIRST_PATIENCE_S, Watch
from service.deployment import Deployment, Folders, Worker, open_deployment
from service.errors import StartError
from service.events import EventStream
from service.experiments import TOWERS, ExperimentBook
from service.exposures import ExposureLog
from service.gauges import show_worker
from service.health import Health
from service.intake import Intake
from service.live_experiments import LiveExperiments
from service.opening import Opener, Openings, check_options, close_all
from service.query.cache.redis import RedisCache
from service.query.decoder.decoder import PictureDecoder
from service.query.pace import WAIT
from service.recall.controls.rulebook import RuleBook
from service.recalling import Recaller
from service.retiring import Retiring
from service.settings import Settings
from service.telemetry.gpu import watch_cards
from service.telemetry.metrics import Metrics
from service.upkeep import IndexWatch

log = logging.getLogger("mrse.service")

#: A reload waits this long for a server; the start waits for as long as it takes, and is not ready.
_PATIENCE_S = 60.0
#: Clients that were refused come back within so many times ``limits.retry_after_s``.
_RETRY_WITHIN = 3


class Runtime:
    """One worker's parts. Everything but the deployments is there from the start.

    ``ready`` says that bundle and index are loaded, so that requests are tried; whether the worker should get
    any is said by ``health``.
    """

    def __init__(
        self,
        settings: Settings,
        opener: Opener = open_deployment,
        traced: bool = False,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        #: Seconds on the clock of all deadlines.
        self.clock: Clock = time.monotonic
        self.admission = Admission(settings.limits, settings.deadline, self.clock, self.metrics.refused)
        self.guard = Guard(settings, self.metrics.access_refused, self.metrics.key_file)
        access = settings.access
        self.audit = Audit(access.audit, access.audit_required, self.metrics.audit_failures.inc)
        self.rules = RuleBook(settings.rules.path, self.metrics.rules_file)
        self.live_experiments = LiveExperiments(
            settings.assignment.path, self.metrics.experiment_unknown, self.metrics.experiments_file
        )
        self.experiments: ExperimentBook = self.live_experiments.book(settings)
        self.deployments: Mapping[str, Deployment] = {}
        self.health = Health()
        self.progress = "starting"
        self.ready = False
        header = settings.limits.client_header
        self._client_header = None if header is None else header.lower().encode()
        self._breaker: CircuitBreaker | None = None
        self._openings = Openings(opener, self._note_progress)
        #: Whether requests are traced: some of them have a span.
        self.traced = traced
        experts: Lru[str, F16] = Lru(settings.cache.entries, settings.cache.ttl_s)
        wait_s = WAIT * settings.deadline.default_ms / 1000
        decoder = PictureDecoder(
            settings.encoder, settings.limits.picture_pixels, self.metrics.picture, wait_s
        )
        self._worker = Worker(settings, self.metrics, experts, decoder)
        #: Items by content.
        self.intake = Intake(settings, self.metrics.picture)
        #: What users did.
        self.events = EventStream(settings)
        #: What was shown to whom.
        self.exposures = ExposureLog(settings, self.metrics.exposures)
        every_s = settings.server.canary_every_s
        self._watch = Watch(
            self.health, self.metrics.canary, every_s, lambda: self.recaller.answered, clock=self.clock
        )
        #: Answers requests, as long as ``ready``.
        self.recaller = Recaller(
            settings, self.metrics, self.rules, self.admission.gate, self._watch.doubt, traced
        )
        self._watching: asyncio.Task[None] | None = None
        self._reloading = asyncio.Lock()
        self._retiring = Retiring()
        show_worker(
            self._worker,
            self.admission,
            self.health,
            self.intake,
            self.rules,
            redis_is_open=self._redis_is_open,
            deployments=lambda: self._by_folders().values(),
        )
        self._files = IndexWatch(self.health, self.metrics)

    @property
    def client_header(self) -> bytes | None:
        """The header in which a trusted proxy tells the client's address, in lower case."""
        return self._client_header

    def retry_after(self) -> int:
        """Seconds after which the next client that is refused may try again: not all at the same time."""
        least = self.settings.limits.retry_after_s
        return random.randint(least, _RETRY_WITHIN * least)

    async def load(self) -> None:
        """Load bundle and index, then be ready.

        Raises:
            StartError: they cannot be served.
        """
        started = time.perf_counter()
        knobs = self.settings.redis
        if knobs.url is not None:
            breaker = self._breaker = CircuitBreaker(knobs.breaker_failures, knobs.breaker_open_s)
            self._worker = replace(
                self._worker, shared=RedisCache(knobs, breaker, self.metrics.redis, self.traced)
            )
        found = await self._openings.deployments(self.settings, self.experiments, {}, self._worker)
        check_options(self.settings, found)
        self._serve(self.experiments, found)
        watch_cards(self.metrics, {name for each in found.values() for name in each.encoder.tower.providers})
        self.exposures.start()
        await asyncio.to_thread(self._start_decoder)
        self._note_progress("asking the first queries")
        await self._watch.look(FIRST_PATIENCE_S)
        self._watching = asyncio.create_task(self._watch.run(), name="canary")
        self.ready = True
        self.progress = "ready"
        self.health.mend("loading")
        log.info("loaded", extra={"took_s": round(time.perf_counter() - started, 3)})

    async def reload(self, settings: Settings, patience_s: float = _PATIENCE_S) -> None:
        """Take the experiments and recall options of other settings, without dropping a request.

        Bundles and indexes that are new are loaded and checked first; then all changes at once. Deployments
        that no arm names any more are closed when the last request that may use them is over. All other
        settings keep their values until a restart.

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
                update={
                    "experiments": settings.experiments,
                    "recall": settings.recall,
                    "assignment": settings.assignment.model_copy(
                        update={"path": self.settings.assignment.path}
                    ),
                }
            )
            book = self.live_experiments.book(wanted)
            try:
                deployments = await self._openings.deployments(
                    wanted, book, self._by_folders(), self._worker, patience_s
                )
            except TimeoutError as error:
                raise StartError(f"gave up after {patience_s:g} s: {self.progress}") from error
            finally:
                self.progress = "ready"  # what serves goes on serving
            try:
                check_options(wanted, deployments)
            except StartError:
                known = self._by_folders()
                self._retiring.add([each for each in deployments.values() if each.folders not in known])
                raise
            before, after = self._by_folders(), {d.folders for d in deployments.values()}
            retired = [deployment for folders, deployment in before.items() if folders not in after]
            self.settings = wanted
            self._serve(book, deployments)
            self.take_experiments()  # what the file said while deployments were opened
        log.info("reloaded", extra={"experiments": book.describe(), "retired": len(retired)})
        self._retiring.add(retired)

    def take_experiments(self) -> None:
        """Take what the file of experiments says, in one step of the event loop."""
        book = self.live_experiments.book(self.settings, self.experiments)
        silent = [
            arm
            for arm in book.carrying() - self.experiments.carrying()
            if arm in self.deployments and self._openings.unheard(self.deployments[arm])
        ]
        if silent:
            log.error("towers stays as it was: the index of %s has not answered yet", ", ".join(silent))
            book = self.live_experiments.book(self.settings, self.experiments, without=(TOWERS,))
        self.experiments = book
        if self.ready:
            self._watch.send_to(self._watched())
        log.info("experiments changed", extra={"experiments": book.describe()})

    async def follow_experiments(self) -> None:
        """Take what is new in the file of experiments, for as long as the service runs."""
        await self.live_experiments.follow(self.take_experiments)

    def refuse_to_start(self, reason: str) -> None:
        """Say why nothing can be loaded."""
        self.progress = f"cannot start: {reason}"
        self.health.fail("loading", self.progress)

    async def forget(self, user_id: str) -> tuple[int, int]:
        """Remove a user's events from the stream, and the stored portraits of every bundle that is served.

        Returns:
            how many portraits there were, and how many events.

        Raises:
            Unavailable: Redis does not answer; they may still be there.
        """
        events = await self.events.forget(user_id)  # first, so that nobody makes a portrait of them again
        shared = self._worker.shared
        versions = {deployment.bundle.version for deployment in self.deployments.values()}
        return 0 if shared is None else await shared.forget(user_id, versions), events

    def leave(self) -> None:
        """Not be ready any more, because the process is about to end; requests are still answered."""
        self.health.fail("draining", "the service is about to end")

    async def close(self) -> None:
        """Release what was loaded."""
        await self.audit.close()
        self.ready = False
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.recaller.close()
        self.metrics.flush()
        await self._retiring.close()
        if self._worker.shared is not None:
            await self._worker.shared.close()
        await close_all(self._by_folders().values())
        await self.events.close()
        await asyncio.to_thread(self.exposures.close)
        await asyncio.to_thread(self._worker.decoder.close)
        await asyncio.to_thread(self.intake.close)

    def _serve(self, book: ExperimentBook, deployments: Mapping[str, Deployment]) -> None:
        """Change over, in one step of the event loop."""
        self.experiments = book
        self.deployments = deployments
        self.metrics.arms.expect(book.describe())
        self._watch.send_to(self._watched())
        # Of an index the base alone: with its changes it would be another label after each of them.
        named = {arm: (d.bundle.version, d.index.version.partition("+")[0]) for arm, d in deployments.items()}
        self.metrics.bundles(named)
        self._files.follow(deployment.upkeep for deployment in deployments.values())

    def _watched(self) -> Iterable[tuple[Deployment, bool]]:
        """Each deployment once, and whether an arm with traffic has it."""
        used = {id(self.deployments[arm]) for arm in self.experiments.carrying()}
        return [(each, id(each) in used) for each in self._by_folders().values()]

    def _by_folders(self) -> dict[Folders, Deployment]:
        """Each deployment once, though arms may share it."""
        return {deployment.folders: deployment for deployment in self.deployments.values()}

    def _start_decoder(self) -> None:
        try:
            self._worker.decoder.start()
        except OSError as error:  # the first picture tries again; queries in words need none
            log.warning("the picture processes do not start: %s", error)

    def _note_progress(self, step: str) -> None:
        self.progress = step
        if not self.ready:
            self.health.fail("loading", step)
        log.info(step)

    def _redis_is_open(self) -> bool:
        return self._breaker is not None and self._breaker.is_open
