"""Runs the routes of a request, within its deadline.

Each ends with an outcome of its own, whatever becomes of the others. Routes that need nothing of each other
run side by side; those that wait begin when the others have ended. A route that waits for nothing gets no
task.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from common.calling import SPAN, Span
from common.deadline import Begun, within
from common.seldom import Seldom
from index.port import IndexUnavailable
from service.recall.routes import ROUTES
from service.recall.routes.first import First
from service.recall.routes.outcome import RouteOutcome, RouteStatus
from service.recall.routes.q2i import Q2I
from service.recall.routes.route import Earlier, Route, RouteRequest

log = logging.getLogger("mrse.recall")

_told = Seldom()

#: Reasons of `IndexUnavailable` that mean that the time ran out.
TIMEOUTS = frozenset({"timeout", "deadline"})
_SHED = RouteOutcome("shed", reason="under pressure")
_NOTHING = RouteOutcome("skipped", reason="nothing to search by")
_UNWANTED = RouteOutcome("skipped", reason="nothing that it searches by")
_OFF = RouteOutcome("skipped", reason="turned off")


@lru_cache(maxsize=64)
def _skipped(why: str) -> RouteOutcome:
    """Nobody changes the outcome of a route that was not run, so all requests share it."""
    return RouteOutcome("skipped", reason=why)


async def run_routes(request: RouteRequest, load: float) -> dict[str, RouteOutcome]:
    """The outcome of every route, in the order of the registry.

    Args:
        request: what to look for.
        load: from 0 to 1; a route whose ``shed_at`` is below it is left out.
    """
    outcomes: dict[str, RouteOutcome] = {}
    begin: list[Route[Any]] = []
    wait: list[Route[Any]] = []
    for name, table in request.tables.items():
        if not table.enabled or not table.weight:
            outcomes[name] = _OFF
        elif table.shed(load):
            outcomes[name] = _SHED if ROUTES[name].wanted(request) else _UNWANTED
        elif (route := ROUTES[name]).needs_query and request.empty:
            outcomes[name] = _NOTHING
        elif (why := route.idle(request)) is not None:
            outcomes[name] = _skipped(why)
        else:
            (wait if route.waits(request) else begin).append(route)
    ended: dict[str, asyncio.Future[RouteOutcome]] = {}
    first = _first(request, [*begin, *wait])
    if first is not None:
        request = replace(request, first=first)
    try:
        for routes in (begin, wait):
            await _side_by_side(routes, request, ended)
    finally:
        if first is not None:
            await first.end()
    outcomes |= {name: future.result() for name, future in ended.items()}
    return {name: outcomes[name] for name in request.tables}


def _first(request: RouteRequest, routes: Sequence[Route[Any]]) -> First | None:
    """What the routes need first of an index that is far; None where it is near, or Q2I is not run."""
    index = request.far
    if index is None or all(route.name != Q2I.name for route in routes):
        return None
    reads = [route.reads(request) for route in routes]
    return First(
        index,
        request.embedding,
        request.k,
        request.filters,
        request.deadline,
        ids=list(dict.fromkeys(item_id for ids, _ in reads for item_id in ids)),
        head=max(head for _, head in reads),
    )


async def _side_by_side(
    routes: Sequence[Route[Any]], request: RouteRequest, ended: dict[str, asyncio.Future[RouteOutcome]]
) -> None:
    """Run routes and add their outcomes to ``ended``; each sees those that began before it.

    Each is begun here. Most have searched an index that is near when they would first wait, and are done:
    two tasks and two turns of the loop would take a fiftieth of a request with a history. Once one waits,
    those behind it get tasks, and it goes on here. A route whose span others must not see gets its task.
    """
    if request.traced and len(routes) > 1:
        async with asyncio.TaskGroup() as tasks:
            for route in routes:
                ended[route.name] = tasks.create_task(_guarded(route, request, dict(ended)))
        return
    loop = asyncio.get_running_loop()
    for place, route in enumerate(routes, start=1):
        work = _guarded(route, request, dict(ended))
        ended[route.name] = done = loop.create_future()
        try:
            waits_for = work.send(None)
        except StopIteration as stopped:
            done.set_result(stopped.value)
            continue
        async with asyncio.TaskGroup() as tasks:
            for later in routes[place:]:
                ended[later.name] = tasks.create_task(_guarded(later, request, dict(ended)))
            done.set_result(await Begun(work, waits_for))
        return


async def _guarded(route: Route[Any], request: RouteRequest, earlier: Earlier) -> RouteOutcome:
    """The route's outcome, also when it fails: one route's trouble is not another's."""
    span = None
    if request.traced and (whole := SPAN.get()) is not None:
        span = whole.child(route.name)
        SPAN.set(span)
    started = time.perf_counter()
    try:
        outcome = await within(request.deadline.remaining(), route.run(request, earlier))
    except TimeoutError:
        outcome = RouteOutcome("timeout", reason="the deadline passed")
    except IndexUnavailable as error:
        status: RouteStatus = "timeout" if error.reason in TIMEOUTS else "error"
        outcome = RouteOutcome(status, reason=error.reason)
    except Exception:
        if (left_out := _told.now()) is not None:
            log.exception("route %s failed", route.name, extra={"left_out": left_out})
        outcome = RouteOutcome("error", reason="internal")
    except asyncio.CancelledError:
        if span is not None:
            span.end("CancelledError")
        raise
    finally:
        if span is not None:
            SPAN.set(whole)
    outcome.took_ms = (time.perf_counter() - started) * 1000
    if span is not None:
        _tell(span, outcome)
    return outcome


def _tell(span: Span, outcome: RouteOutcome) -> None:
    """End a route's span."""
    span.note("mrse.route.status", outcome.status)
    span.note("mrse.route.items", outcome.returned)
    span.note("mrse.route.coverage", outcome.coverage)
    span.end(None if outcome.status == "ok" else outcome.status)
