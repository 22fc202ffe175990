"""The composition root: settings in, an application out."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from common.build import service_version
from service.deployment import open_deployment
from service.errors import StartError
from service.http import (
    admin,
    documentation,
    events,
    experiments,
    health,
    items,
    playground,
    recall,
    reference,
    rules,
    similar,
    users,
)
from service.http.door import DOOR, Door, OnRefusal
from service.http.middleware import Lines, Observe
from service.http.routing import FixedPaths, answer_error
from service.opening import Opener
from service.reloading import ReadSettings, Reloader
from service.runtime import Runtime
from service.scope import RUNTIME
from service.settings import Settings
from service.telemetry import tracing
from service.telemetry.metrics import NOTE_EVERY_S, Metrics

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger("mrse.service")

#: FastAPI's own OpenTelemetry layer is off, whatever providers the process has: it slows every request.
_TELEMETRY: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
#: Allocations, less the objects freed, between two runs of the garbage collector over the youngest objects:
#: dozens of answers.
_ALLOCATIONS_BETWEEN_COLLECTIONS = 20_000
OnFatal = Callable[[StartError], None]


class _Application(FastAPI):
    """FastAPI without its outermost layers, each of which has every request pass through it.

    `Observe`, which stands below them, answers for bugs itself; nothing here uses their limit on bodies.
    """

    def build_middleware_stack(self) -> ASGIApp:
        layer: Any = super().build_middleware_stack()
        while not isinstance(layer, Observe):
            layer = layer.app
        observe: ASGIApp = layer
        return observe


def create_app(
    settings: Settings,
    *,
    opener: Opener = open_deployment,
    on_fatal: OnFatal | None = None,
    read_again: ReadSettings | None = None,
    on_loaded: Callable[[], None] | None = None,
    before_accepting: Callable[[], Awaitable[None]] | None = None,
    traces: TracerProvider | None = None,
) -> FastAPI:
    """Build the application. Bundle and index load in the background once it is started.

    Args:
        settings: see `service.settings`.
        opener: opens a deployment; runs on a thread.
        on_fatal: told why the service cannot start, so that the caller ends the process. Until then the
            process is alive and not ready.
        read_again: reads the settings once more, when ``app.state.reloader`` is asked; their experiments are
            taken at once.
        on_loaded: told that bundle and index are loaded.
        before_accepting: awaited before the application has started, so before the server accepts.
        traces: gets the spans of requests, whatever the settings say; it is shut down at the end.

    Raises:
        StartError: experiments that do not go together.
    """
    provider = traces or tracing.open_provider(settings.tracing)
    runtime = Runtime(settings, opener, traced=provider is not None)

    reloader = (
        None if read_again is None else Reloader(runtime, read_again, again=settings.server.watch_config)
    )
    door = Door(
        runtime.admission,
        runtime.client_header,
        runtime.retry_after,
        _count_refusal(runtime.metrics),
        runtime.guard.recognise,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        runtime.admission.pulse.start()
        tasks = {asyncio.create_task(_load(runtime, on_fatal, on_loaded), name="load")}
        if reloader is not None:
            tasks.add(asyncio.create_task(reloader.run(), name="reload"))
        if before_accepting is not None:
            await before_accepting()
        tasks.add(asyncio.create_task(runtime.guard.follow(), name="keys"))
        tasks.add(asyncio.create_task(runtime.follow_experiments(), name="experiments"))
        # Not before: the gauges are of the workers that answer.
        tasks.add(asyncio.create_task(_note(runtime.metrics), name="note"))
        try:
            yield {DOOR: door, RUNTIME: runtime}  # for the protocol of the connections
        finally:
            runtime.admission.pulse.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await runtime.close()
            if provider is not None:
                await asyncio.to_thread(provider.shutdown)  # exports what is left

    app = _Application(
        title="MRSE Recall",
        version=service_version(),
        description="Multi-modality recall for shopping search: items for a query, a picture, a history.",
        lifespan=lifespan,
        telemetry=_TELEMETRY,
        exception_handlers={HTTPException: answer_error},
        docs_url=None,  # both pages load their scripts from elsewhere; `reference` has one that does not
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.runtime = runtime
    app.state.reloader = reloader
    routes = [*recall.routes, *similar.routes, *health.routes]
    routes += [*playground.routes(settings.playground), *reference.routes]
    if settings.takes_changes:
        routes += [*admin.routes(), *items.routes, *events.routes, *users.routes, *rules.routes]
        routes += experiments.routes
    app.router.routes[:0] = routes  # ahead of FastAPI's own
    documentation.complete(app, settings.limits)
    app.add_middleware(FixedPaths, routes=routes)
    if provider is not None:
        note = runtime.metrics.exemplars.note
        app.add_middleware(tracing.TraceRequests, provider=provider, note=note)
    server = settings.server
    lines = Lines(server.access_log_share, server.access_log_slow_ms) if server.access_log else None
    app.add_middleware(Observe, metrics=runtime.metrics, lines=lines)
    return app


def _count_refusal(metrics: Metrics) -> OnRefusal:
    def count(route: str, method: str, seconds: float) -> None:
        metrics.request(route, method, 503, seconds)
        metrics.error(route, "overloaded")

    return count


def _tune_garbage_collector() -> None:
    """Keep the collector away from what never becomes garbage: libraries, model and index.

    Gains tail latency: a walk through them takes tens of milliseconds, in the middle of a request. The
    threshold gains speed: an answer of some hundred items, which is freed without the collector, does not
    start it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_BETWEEN_COLLECTIONS)


async def _load(runtime: Runtime, on_fatal: OnFatal | None, on_loaded: Callable[[], None] | None) -> None:
    try:
        await runtime.load()
        _tune_garbage_collector()
        if on_loaded is not None:
            on_loaded()
    except StartError as error:
        runtime.refuse_to_start(str(error))
        log.error("cannot start: %s", error)
        if on_fatal is not None:
            on_fatal(error)
    except Exception as error:
        runtime.refuse_to_start("an unexpected error, see the log")
        log.exception("cannot start")
        if on_fatal is not None:
            on_fatal(StartError(f"unexpected error while loading: {error!r}"))


async def _note(metrics: Metrics) -> None:
    while True:
        try:
            metrics.note()
        except Exception:  # else the parent of workers would take them for hung, and nobody would know why
            log.exception("metrics were not noted")
        await asyncio.sleep(NOTE_EVERY_S)
