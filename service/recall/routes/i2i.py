"""I2I: the nearest items of triggers, which are items of the user's history or of the head of Q2I.

With a history it runs beside Q2I; without one it waits for Q2I's head.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain, compress, repeat
from typing import Any

import numpy as np
from pydantic import Field

from index.port import Neighbours, StoredVectors
from service.recall.routes.outcome import (
    CandidateColumns,
    RouteOutcome,
    Source,
    reasons,
    rounded,
    values_of,
)
from service.recall.routes.q2i import Q2I
from service.recall.routes.route import Earlier, Route, RouteRequest, RouteSettings, Share
from service.recall.routes.triggers import Considered, Trigger, head_items, history_triggers, recent_items


class I2ISettings(RouteSettings):
    """The table ``[recall.i2i]``. All values are *inferred*: the paper gives none of them."""

    share: Share = 0.2
    shed_at: Share | None = 0.5
    #: Candidates that the route returns, as a share of k.
    candidates: Share = 0.3
    #: Triggers used at most.
    triggers: int = Field(default=5, ge=1, le=200)
    #: Neighbours looked up for each trigger.
    neighbours: int = Field(default=30, ge=1, le=500)
    #: Least cosine between an item and the query for it to be a trigger.
    trigger_floor: float = Field(default=0.3, ge=-1, le=1)
    #: Older behaviours (days) are no triggers.
    trigger_max_age_days: float = Field(default=30.0, gt=0)
    #: Items from the head of Q2I that serve as triggers when history gives none.
    head_triggers: int = Field(default=2, ge=0, le=20)
    #: Where people buy again what they bought: the route also gives the triggers from the user's history
    #: themselves, at their cosine to the query plus this. None: it does not.
    own_bonus: float | None = Field(default=None, ge=0, le=2)
    #: Least cosine between a neighbour and the query.
    relevance_floor: float = Field(default=0.2, ge=-1, le=1)
    #: Factor on the path score cos(q, trigger) x cos(trigger, item) under ``merge = "score"``.
    calibration: float = Field(default=0.9, ge=0, le=2)


@dataclass(slots=True)
class Triggering:
    """How the triggers were chosen, and their neighbours where these are known without a search."""

    triggers: Sequence[Trigger] = ()
    considered: Sequence[Considered] = ()
    known: list[Neighbours] | None = None


class I2I(Route[I2ISettings]):
    """Searches by the vectors of its triggers, then by how relevant their neighbours are to the query."""

    name = "i2i"
    settings = I2ISettings

    def waits(self, request: RouteRequest) -> bool:
        """See `Route.waits`."""
        return not request.history

    def reads(self, request: RouteRequest) -> tuple[Sequence[str], int]:
        """See `Route.reads`."""
        table = self.table(request)
        return recent_items(
            request.history, request.now, max_age_days=table.trigger_max_age_days
        ), table.head_triggers

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        """See `Route.run`."""
        table = self.table(request)
        chosen, read = await self._triggers(request, earlier)
        triggers = chosen.triggers
        unreached = min((stored.coverage for stored in read), default=1.0)
        if not triggers:
            if unreached < 1.0:
                # There may be triggers where nobody looked.
                return RouteOutcome("ok", coverage=unreached, reason=reasons(read))
            return RouteOutcome("skipped", reason="no triggers")
        vectors = [trigger.vector for trigger in triggers if trigger.vector is not None]
        wanted = (_looked_for(table), request.filters, request.deadline)
        stored: list[StoredVectors] = []
        if request.first is not None:
            related = await request.first.index.related(np.stack(vectors), request.embedding, *wanted)
            found, relevance = related.near, {i: round(score, 5) for i, score in related.cosines.items()}
        else:
            names = [trigger.item_id for trigger in triggers]
            found = chosen.known or await request.neighbours.search(names, vectors, *wanted)
            # Triggers from the head of Q2I mean that Q2I is done: what it has scored need not be looked up.
            head = earlier[Q2I.name].result().candidates if triggers[0].origin == "head" else ()
            relevance, stored = await _relevance(request, found, values_of(head))
        candidates, returned = _keep(triggers, found, relevance, request, table)
        # Items whose vectors were not reached are no triggers, or fall below the floor.
        looked: list[Neighbours | StoredVectors] = [*read, *found, *stored]
        return RouteOutcome(
            "ok", candidates, returned, min(each.coverage for each in looked), reason=reasons(looked)
        )

    def explain(self, note: object) -> dict[str, Any]:
        """See `Route.explain`: the triggers, and the history items that were considered."""
        chosen = note if isinstance(note, Triggering) else Triggering()
        return {
            "triggers": [
                {"item_id": trigger.item_id, "origin": trigger.origin, "score": round(trigger.score, 4)}
                for trigger in chosen.triggers
            ],
            "considered": [
                asdict(item) | {"score": None if item.score is None else round(item.score, 4)}
                for item in chosen.considered
            ],
        }

    async def _triggers(
        self, request: RouteRequest, earlier: Earlier
    ) -> tuple[Triggering, list[StoredVectors]]:
        """The triggers, and what was read of the index to choose them."""
        table = self.table(request)
        chosen = request.notes[self.name] = Triggering()
        read: list[StoredVectors] = []
        recent = recent_items(request.history, request.now, max_age_days=table.trigger_max_age_days)
        if recent:
            if request.first is not None:
                stored = await request.first.vectors(recent)
            else:
                stored = await request.index.vectors(recent, request.deadline)
            read.append(stored)
            query = None if request.browse else request.embedding
            chosen.triggers, chosen.considered = history_triggers(
                recent, stored, query, floor=table.trigger_floor, most=table.triggers
            )
        if not chosen.triggers and Q2I.name in earlier:
            q2i = await asyncio.shield(earlier[Q2I.name])
            head = head_items(q2i.candidates, floor=table.trigger_floor, most=table.head_triggers)
            if head and request.first is None:
                chosen.known = request.neighbours.known(list(head), _looked_for(table), request.filters)
            if chosen.known is not None:
                chosen.triggers = [Trigger(item_id, score, None, "head") for item_id, score in head.items()]
            elif head:
                stored = await _head_vectors(request, list(head))
                read.append(stored)
                chosen.triggers = [
                    Trigger(item_id, head[item_id], vector, "head")
                    for item_id, vector in zip(stored.ids, stored.vectors, strict=True)
                ]
        return chosen, read


def _looked_for(table: I2ISettings) -> int:
    """Neighbours of a trigger: one more than wanted, for it is its own nearest one."""
    return table.neighbours + 1


async def _head_vectors(request: RouteRequest, head: Sequence[str]) -> StoredVectors:
    """The vectors of items at the head of Q2I."""
    if request.first is not None:
        came = (await request.first.get()).head
        if all(item_id in came for item_id in head):
            return StoredVectors(list(head), np.stack([came[item_id] for item_id in head]))
    return await request.index.vectors(head, request.deadline)


async def _relevance(
    request: RouteRequest, found: Sequence[Neighbours], scored: dict[str, float]
) -> tuple[dict[str, float], list[StoredVectors]]:
    """Cosine of each neighbour to the query, and what was read for it; that of ``scored`` stays."""
    ids = list(dict.fromkeys(item_id for near in found for item_id in near.ids if item_id not in scored))
    if not ids:
        return scored, []
    stored = await request.index.vectors(ids, request.deadline)
    cosines = rounded(stored.vectors @ request.embedding)
    return scored | dict(zip(stored.ids, cosines, strict=True)), [stored]


def _keep(
    triggers: Sequence[Trigger],
    found: Sequence[Neighbours],
    relevance: dict[str, float],
    request: RouteRequest,
    table: I2ISettings,
) -> tuple[CandidateColumns, int]:
    """The neighbours that pass the relevance floor, best first, and of how many distinct items they are."""
    floor = -1.0 if request.browse else table.relevance_floor
    ids = list(chain.from_iterable([near.ids for near in found]))
    counts = [len(near.ids) for near in found]
    scores = np.concatenate([near.scores for near in found])
    # An item is as good as its own closeness to the query, or as the path that led to it.
    factors = np.array([table.calibration * max(trigger.score, 0.0) for trigger in triggers], np.float32)
    # In columns, and all at once: a turn of a loop for each of hundreds takes three times as long.
    shown = np.concatenate([scores, scores * factors.repeat(counts)]).astype(np.float64).round(5)
    paths = shown[len(ids) :]
    closeness = np.array(list(map(relevance.get, ids, repeat(-2.0))))
    wanted: list[bool] = (closeness >= floor).tolist()
    ranks: list[int] = []
    start = 0
    for trigger, near, count in zip(triggers, found, counts, strict=True):
        own = near.ids.index(trigger.item_id) if trigger.item_id in near.ids else count
        again = table.own_bonus if trigger.origin == "history" else None
        if own < count and again is None:
            wanted[start + own] = False
            ranks += range(1, own + 2)  # its own is nobody's
            ranks += range(own + 1, count)
        else:
            ranks += range(1, count + 1)
        if own < count and again is not None:
            paths[start + own] = closeness[start + own] + again
        start += count
    worth = (-np.maximum(closeness, paths)).tolist()
    numbers = np.arange(len(triggers)).repeat(counts).tolist()
    kept = list(compress(zip(worth, ids, ranks, numbers, shown[: len(ids)].tolist(), strict=True), wanted))
    kept.sort()  # best first; no two have the same rank by the same trigger
    limit = math.ceil(table.candidates * request.k)
    items = list(dict.fromkeys([row[1] for row in kept]))
    if len(items) > limit:
        chosen = set(items[:limit])
        kept = [row for row in kept if row[1] in chosen]
    names = [trigger.item_id for trigger in triggers]
    sources: list[Source] = [
        {"route": "i2i", "trigger": names[number], "rank": rank, "score": score}
        for _, _, rank, number, score in kept
    ]
    columns = CandidateColumns([row[1] for row in kept], [-row[0] for row in kept], sources)
    return columns, min(limit, len(items))
