"""The routes: Q2I (nearest items of the query) and I2I (nearest items of the triggers).

Each ends with an outcome of its own, whatever becomes of the other. They run side by side where a history
may trigger I2I; without one I2I waits for the head of Q2I anyway, and tasks for it would be for nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

from artifacts.bundle.portrait import Behaviour
from common.deadline import Deadline, within
from index.filters import Filter
from index.port import F32, IndexUnavailable, ItemIndex, Neighbours
from service.deployment import Deployment
from service.recall.outcome import Candidate, RouteOutcome, RouteStatus, Source
from service.recall.triggers import Considered, Trigger, head_items, history_triggers, recent_items
from service.settings import Recall

log = logging.getLogger("mrse.recall")

#: Reasons of `IndexUnavailable` that mean that the time ran out.
_TIMEOUTS = frozenset({"timeout", "deadline"})


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What both routes need. ``browse``: no query to be close to, so the floors do not apply. ``common``: no
    history is in the embedding, so that others will search by the same one.
    """

    embedding: F32
    k: int
    filters: Filter | None
    history: Sequence[Behaviour]
    now: datetime
    deadline: Deadline
    options: Recall
    browse: bool = False
    common: bool = False


@dataclass(slots=True)
class Triggering:
    """How I2I chose its triggers, filled as it runs, for ``explain``."""

    triggers: Sequence[Trigger] = ()
    considered: Sequence[Considered] = ()


async def run_routes(
    deployment: Deployment,
    request: RouteRequest,
    *,
    i2i: RouteOutcome | None = None,
) -> tuple[dict[str, RouteOutcome], Triggering]:
    """Both routes, within the deadline.

    Args:
        deployment: what answers.
        request: what to look for.
        i2i: the outcome of I2I where it is not to run.
    """
    triggering = Triggering()
    guarded = partial(_guarded, deadline=request.deadline, started=time.perf_counter())
    q2i = guarded("q2i", _q2i(deployment, request))
    if i2i is not None:
        return {"q2i": await q2i, "i2i": i2i}, triggering
    recent = recent_items(request.history, request.options, request.now)
    if not recent:
        ready = asyncio.get_running_loop().create_future()
        ready.set_result(await q2i)
        work = _i2i(deployment, request, recent, ready, triggering)
        return {"q2i": ready.result(), "i2i": await guarded("i2i", work)}, triggering
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(q2i)
        second = tasks.create_task(guarded("i2i", _i2i(deployment, request, recent, first, triggering)))
    return {"q2i": first.result(), "i2i": second.result()}, triggering


async def _guarded(
    name: str, work: Coroutine[Any, Any, RouteOutcome], *, deadline: Deadline, started: float
) -> RouteOutcome:
    """The route's outcome, also when it fails: one route's trouble is not the other's."""
    try:
        return await within(deadline.remaining(), work)
    except TimeoutError:
        return RouteOutcome("timeout", took_ms=_ms(started), reason="the deadline passed")
    except IndexUnavailable as error:
        status: RouteStatus = "timeout" if error.reason in _TIMEOUTS else "error"
        return RouteOutcome(status, took_ms=_ms(started), reason=error.reason)
    except Exception:
        log.exception("route %s failed", name)
        return RouteOutcome("error", took_ms=_ms(started), reason="internal")


async def _q2i(deployment: Deployment, request: RouteRequest) -> RouteOutcome:
    started = time.perf_counter()
    embedding, asked = request.embedding, (request.k, request.filters, request.deadline)
    if request.common:
        found = await deployment.heads.search([embedding.tobytes()], [embedding], *asked)
    else:
        found = await deployment.index.search(embedding[None], *asked)
    scores = rounded(found[0].scores)
    sources: list[Source] = [
        {"route": "q2i", "rank": rank, "score": score} for rank, score in enumerate(scores, start=1)
    ]
    # As Candidate(...) for each, in a third of the time.
    rows = zip(found[0].ids, scores, sources, strict=True)
    candidates = list(map(tuple.__new__, repeat(Candidate), rows))
    coverage, reason = found[0].coverage, _shortfall(found)
    return RouteOutcome("ok", candidates, len(candidates), coverage, _ms(started), reason)


async def _i2i(
    deployment: Deployment,
    request: RouteRequest,
    recent: Sequence[str],
    q2i: asyncio.Future[RouteOutcome],
    triggering: Triggering,
) -> RouteOutcome:
    started = time.perf_counter()
    triggers = await _triggers(deployment.index, request, recent, q2i, triggering)
    if not triggers:
        return RouteOutcome("skipped", took_ms=_ms(started), reason="no triggers")
    options = request.options
    # One more than asked for: a trigger is its own nearest neighbour.
    names, vectors = [t.item_id for t in triggers], [t.vector for t in triggers]
    asked = (options.neighbours + 1, request.filters, request.deadline)
    found = await deployment.neighbours.search(names, vectors, *asked)
    coverage = min(near.coverage for near in found)
    # Triggers from the head of Q2I mean that Q2I is done: what it has scored need not be looked up.
    scored = {c[0]: c[1] for c in q2i.result().candidates} if triggers[0].origin == "head" else {}
    relevance = await _relevance(deployment.index, request, found, scored)
    candidates, returned = _keep(triggers, found, relevance, request)
    return RouteOutcome("ok", candidates, returned, coverage, _ms(started), _shortfall(found))


async def _triggers(
    index: ItemIndex,
    request: RouteRequest,
    recent: Sequence[str],
    q2i: asyncio.Future[RouteOutcome],
    triggering: Triggering,
) -> Sequence[Trigger]:
    query = None if request.browse else request.embedding
    if recent:
        stored = await index.vectors(recent, request.deadline)
        triggering.triggers, triggering.considered = history_triggers(recent, stored, query, request.options)
        if triggering.triggers:
            return triggering.triggers
    head = head_items((await asyncio.shield(q2i)).candidates, request.options)
    if head:
        stored = await index.vectors(list(head), request.deadline)
        triggering.triggers = [
            Trigger(item_id, head[item_id], vector, "head")
            for item_id, vector in zip(stored.ids, stored.vectors, strict=True)
        ]
    return triggering.triggers


async def _relevance(
    index: ItemIndex, request: RouteRequest, found: Sequence[Neighbours], scored: dict[str, float]
) -> dict[str, float]:
    """Cosine of each neighbour to the query, of those in ``scored`` as it stands there."""
    ids = list(dict.fromkeys(item_id for near in found for item_id in near.ids if item_id not in scored))
    if not ids:
        return scored
    stored = await index.vectors(ids, request.deadline)
    return scored | dict(zip(stored.ids, rounded(stored.vectors @ request.embedding), strict=True))


def _keep(
    triggers: Sequence[Trigger],
    found: Sequence[Neighbours],
    relevance: dict[str, float],
    request: RouteRequest,
) -> tuple[list[Candidate], int]:
    """The neighbours that pass the relevance floor, best first, and of how many distinct items they are."""
    options = request.options
    floor = -1.0 if request.browse else options.relevance_floor
    kept: list[tuple[float, str, int, int, Source]] = []
    for number, (trigger, near) in enumerate(zip(triggers, found, strict=True)):
        # An item is as good as its own closeness to the query, or as the path that led to it.
        paths = rounded(near.scores * (options.i2i_calibration * max(trigger.score, 0.0)))
        again = options.own_bonus if trigger.origin == "history" else None
        name = trigger.item_id
        rank = 0
        for item_id, score, path in zip(near.ids, rounded(near.scores), paths, strict=True):
            close = relevance.get(item_id, -2.0)
            if item_id == name:
                if again is None:
                    continue
                path = close + again
            rank += 1
            if close >= floor:
                source: Source = {"route": "i2i", "trigger": name, "rank": rank, "score": score}
                value = close if close > path else path
                kept.append((-value, item_id, rank, number, source))
    kept.sort()  # best first; no two have the same rank by the same trigger
    limit = math.ceil(options.i2i_candidates * request.k)
    items = list(dict.fromkeys([row[1] for row in kept]))
    if len(items) > limit:
        chosen = set(items[:limit])
        kept = [row for row in kept if row[1] in chosen]
    return [Candidate(row[1], -row[0], row[4]) for row in kept], min(limit, len(items))


def rounded(scores: F32) -> list[float]:
    """Cosines as they are shown; fp16 vectors carry no more digits, and short numbers are written faster."""
    values: list[float] = scores.astype(np.float64).round(5).tolist()
    return values


def _shortfall(found: Sequence[Neighbours]) -> str | None:
    reasons = sorted({reason for near in found for reason in near.degraded})
    return ", ".join(reasons) or None


def _ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
