"""A share of live searches is asked again without the graph, in idle time: the recall that users get.

It has connections and a circuit of its own, so nothing that becomes of it touches a request; one is under way
at a time, and the next comes after a pause.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

import orjson

from common.arrays import F32
from common.calling import SPAN
from common.deadline import Clock, Deadline
from index.filters import Filter
from index.port import IndexUnavailable, Neighbours
from index.vespa import answer
from index.vespa.asking import without_margin
from index.vespa.endpoints import Endpoints
from index.vespa.query import QueryBuilder
from index.vespa.settings import ShadowSettings
from index.vespa.transport import Request

#: Searches exactly: a vector, how many items, the filter, the deadline.
Exact: TypeAlias = Callable[[F32, int, Filter | None, Deadline], Awaitable[Neighbours]]


def recall_of(near: Neighbours, exact: Neighbours) -> float:
    """Share of the exact answer that was found; by score, so that ties count whichever item was found."""
    if not exact.ids:
        return 1.0
    return min(int((near.scores >= exact.scores[-1] - 1e-6).sum()), len(exact.ids)) / len(exact.ids)


async def ask_exactly(
    apart: Endpoints, builder: QueryBuilder, vector: F32, k: int, filters: Filter | None, deadline: Deadline
) -> Neighbours:
    """An `Exact` search, over endpoints that no request uses.

    Raises:
        VespaError: there is no answer.
    """
    body = partial(builder.nearest, vector, k, filters, approximate=False)

    def request(budget: float) -> Request:
        return Request("POST", "/search/", orjson.dumps(body(budget=without_margin(budget))))

    reply = await apart.send(request, deadline)
    return answer.neighbours(answer.parse(reply.status, reply.body))


class Shadow:
    """Offered every search that went well.

    Args:
        settings: how often, and for how long.
        exact: asks.
        is_idle: whether there is room for it.
        told: gets the recall, or None where the exact search has no whole answer.
        clock: seconds.
        draw: a number from 0 to 1.
    """

    def __init__(
        self,
        settings: ShadowSettings,
        exact: Exact,
        is_idle: Callable[[], bool],
        told: Callable[[float | None], None],
        clock: Clock = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._exact = exact
        self._is_idle = is_idle
        self._told = told
        self._clock = clock
        self._draw = draw
        self._next_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether one is under way."""
        return self._task is not None

    def offer(self, vector: F32, k: int, filters: Filter | None, near: Neighbours) -> None:
        """A search ``[dim]`` was answered; costs a comparison where it is not drawn."""
        if self._draw() >= self._settings.share or self._task is not None or near.coverage < 1.0:
            return
        if near.degraded or self._clock() < self._next_at or not self._is_idle():
            return
        work = self._compare(vector.copy(), k, filters, near)
        self._task = asyncio.get_running_loop().create_task(work)

    async def ended(self) -> None:
        """Wait for what is under way."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def close(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _compare(self, vector: F32, k: int, filters: Filter | None, near: Neighbours) -> None:
        SPAN.set(None)  # it is no part of the request that asked
        try:
            deadline = Deadline.after(self._settings.timeout, self._clock)
            exact = await self._exact(vector, k, filters, deadline)
            whole = exact.coverage == 1.0 and not exact.degraded
            self._told(recall_of(near, exact) if whole else None)
        except IndexUnavailable:
            self._told(None)
        finally:
            self._next_at = self._clock() + self._settings.every
            self._task = None
