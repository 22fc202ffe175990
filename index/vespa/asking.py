"""A query to Vespa in the time that a request has left, and several side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import orjson

from common.deadline import Deadline
from index.vespa import answer
from index.vespa.endpoints import LEAST_BUDGET, Endpoints
from index.vespa.errors import VespaError
from index.vespa.query import Body
from index.vespa.transport import Request

T = TypeVar("T")
U = TypeVar("U")

#: Share of a query's time for the way to Vespa and back, so that Vespa's own time-out comes first and brings
#: partial hits, with bounds in seconds. Its answers came 10 to 40 ms after it, on a busy machine.
_MARGIN_SHARE: Final = 0.1
_LEAST_MARGIN: Final = 0.005
_MOST_MARGIN: Final = 0.04
#: Most bytes of an answer beside its hits.
_ANSWER_BYTES: Final = 1 << 18


async def ask(
    endpoints: Endpoints, body: Callable[[float], Body], deadline: Deadline, largest: int = 0
) -> answer.Answer:
    """Send what ``body`` makes of the seconds that Vespa may take; hits have ``largest`` bytes at most.

    Raises:
        VespaError: too little time is left, or there is no answer.
    """
    left = deadline.remaining()
    if left < LEAST_BUDGET:
        raise VespaError("timeout", f"{left * 1000:.1f} ms left")

    def request(budget: float) -> Request:
        sent = orjson.dumps(body(without_margin(budget)))
        return Request("POST", "/search/", sent, largest=largest + _ANSWER_BYTES)

    reply = await endpoints.send(request, deadline)
    try:
        found = answer.parse(reply.status, reply.body)
    except VespaError as error:
        endpoints.ended(reply.endpoint, error)
        raise
    endpoints.ended(reply.endpoint)
    return found


def without_margin(left: float) -> float:
    """What Vespa may take of the seconds that are left."""
    margin = min(max(left * _MARGIN_SHARE, _LEAST_MARGIN), _MOST_MARGIN)
    return max(left - margin, left / 2)


async def all_of(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order; the first failure cancels the rest and is raised as it is."""
    if len(calls) == 1:
        return [await calls[0]]  # no task for it
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def both(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """As `all_of`, for two that are not of one kind."""
    calls: list[Coroutine[Any, Any, Any]] = [one, other]
    first, second = await all_of(calls)
    return first, second
