"""The routes: Q2I (nearest items of the query) and I2I (nearest items of the triggers).

They run side by side; each ends with an outcome of its own, whatever becomes of the other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from models.bundle.portrait import Behaviour
from service.deadline import Deadline
from service.index.filters import Filter
from service.index.port import F32, IndexUnavailable, ItemIndex, Neighbours
from service.recall.outcome import Candidate, RouteOutcome, RouteStatus
from service.recall.triggers import Considered, Trigger, head_items, history_triggers, recent_items
from service.settings import Recall

log = logging.getLogger("mrse.recall")

#: Reasons of `IndexUnavailable` that mean that the time ran out.
_TIMEOUTS = frozenset({"timeout", "deadline"})


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """What both routes need. ``browse``: no query to be close to, so the floors do not apply."""

    embedding: F32
    k: int
    filters: Filter | None
    history: Sequence[Behaviour]
    now: datetime
    deadline: Deadline
    options: Recall
    browse: bool = False


@dataclass(slots=True)
class Triggering:
    """How I2I chose its triggers, filled as it runs, for ``explain``."""

    triggers: Sequence[Trigger] = ()
    considered: Sequence[Considered] = ()


async def run_routes(
    index: ItemIndex, request: RouteRequest, *, i2i: RouteOutcome | None = None
) -> tuple[dict[str, RouteOutcome], Triggering]:
    """Both routes, within the deadline.

    Args:
        index: where the items are.
        request: what to look for.
        i2i: the outcome of I2I where it is not to run.
    """
    triggering = Triggering()
    started = time.perf_counter()
    tasks = {"q2i": asyncio.create_task(_guarded("q2i", _q2i(index, request), started))}
    if i2i is None:
        work = _i2i(index, request, tasks["q2i"], triggering)
        tasks["i2i"] = asyncio.create_task(_guarded("i2i", work, started))
    try:
        await asyncio.wait(tasks.values(), timeout=request.deadline.remaining())
    finally:
        for task in tasks.values():
            task.cancel()  # does nothing to one that is done
    took = _ms(started)
    late = RouteOutcome("timeout", took_ms=took, reason="the deadline passed")
    outcomes = {
        name: task.result() if task.done() and not task.cancelled() else late for name, task in tasks.items()
    }
    if i2i is not None:
        outcomes["i2i"] = i2i
    return outcomes, triggering


async def _guarded(name: str, work: Coroutine[Any, Any, RouteOutcome], started: float) -> RouteOutcome:
    """The route's outcome, also when it fails: one route's trouble is not the other's."""
    try:
        return await work
    except IndexUnavailable as error:
        status: RouteStatus = "timeout" if error.reason in _TIMEOUTS else "error"
        return RouteOutcome(status, took_ms=_ms(started), reason=error.reason)
    except Exception:
        log.exception("route %s failed", name)
        return RouteOutcome("error", took_ms=_ms(started), reason="internal")


async def _q2i(index: ItemIndex, request: RouteRequest) -> RouteOutcome:
    started = time.perf_counter()
    found = await index.search(request.embedding[None], request.k, request.filters, request.deadline)
    scores = rounded(found[0].scores)
    candidates = [
        Candidate(item_id, rank, score, score)
        for rank, (item_id, score) in enumerate(zip(found[0].ids, scores, strict=True), start=1)
    ]
    return RouteOutcome("ok", candidates, found[0].coverage, _ms(started), _shortfall(found))


async def _i2i(
    index: ItemIndex, request: RouteRequest, q2i: asyncio.Task[RouteOutcome], triggering: Triggering
) -> RouteOutcome:
    started = time.perf_counter()
    triggers = await _triggers(index, request, q2i, triggering)
    if not triggers:
        return RouteOutcome("skipped", took_ms=_ms(started), reason="no triggers")
    options = request.options
    # One more than asked for: a trigger is its own nearest neighbour.
    vectors = np.stack([trigger.vector for trigger in triggers])
    found = await index.search(vectors, options.neighbours + 1, request.filters, request.deadline)
    coverage = min(near.coverage for near in found)
    paths = [
        (trigger, item_id, score)
        for trigger, near in zip(triggers, found, strict=True)
        for item_id, score in zip(near.ids, rounded(near.scores), strict=True)
        if item_id != trigger.item_id
    ]
    relevance = await _relevance(index, request, [item_id for _, item_id, _ in paths])
    limit = int(np.ceil(options.i2i_candidates * request.k))
    candidates = _keep(paths, relevance, request, limit)
    return RouteOutcome("ok", candidates, coverage, _ms(started), _shortfall(found))


async def _triggers(
    index: ItemIndex, request: RouteRequest, q2i: asyncio.Task[RouteOutcome], triggering: Triggering
) -> Sequence[Trigger]:
    query = None if request.browse else request.embedding
    recent = recent_items(request.history, request.options, request.now)
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


async def _relevance(index: ItemIndex, request: RouteRequest, ids: Sequence[str]) -> dict[str, float]:
    """Cosine of each item to the query."""
    if not ids:
        return {}
    stored = await index.vectors(list(dict.fromkeys(ids)), request.deadline)
    return dict(zip(stored.ids, rounded(stored.vectors @ request.embedding), strict=True))


def _keep(
    paths: Sequence[tuple[Trigger, str, float]],
    relevance: dict[str, float],
    request: RouteRequest,
    limit: int,
) -> list[Candidate]:
    """The neighbours that pass the relevance floor, best first, of at most ``limit`` distinct items."""
    floor = -1.0 if request.browse else request.options.relevance_floor
    calibration = request.options.i2i_calibration
    candidates = []
    rank, current = 0, ""
    for trigger, item_id, score in paths:
        rank = rank + 1 if trigger.item_id == current else 1
        current = trigger.item_id
        close = relevance.get(item_id)
        if close is not None and close >= floor:
            # An item is as good as its own closeness to the query, or as the path that led to it.
            value = max(close, calibration * max(trigger.score, 0.0) * score)
            candidates.append(Candidate(item_id, rank, score, value, trigger.item_id))
    candidates.sort(key=lambda c: (-c.value, c.item_id))
    kept: set[str] = set()
    for candidate in candidates:
        if len(kept) >= limit:
            break
        kept.add(candidate.item_id)
    return [candidate for candidate in candidates if candidate.item_id in kept]


def rounded(scores: F32) -> list[float]:
    """Cosines as they are shown; fp16 vectors carry no more digits, and short numbers are written faster."""
    values: list[float] = scores.astype(np.float64).round(5).tolist()
    return values


def _shortfall(found: Sequence[Neighbours]) -> str | None:
    reasons = sorted({reason for near in found for reason in near.degraded})
    return ", ".join(reasons) or None


def _ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
