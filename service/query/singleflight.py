"""One computation for each key, however many callers want it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

V = TypeVar("V")


@dataclass(slots=True, eq=False)
class _Flight(Generic[V]):
    task: asyncio.Task[None] | None = None
    waiters: list[asyncio.Future[V]] = field(default_factory=list)


class SingleFlight(Generic[V]):
    """Shares running work by key.

    The work runs in a task of its own, so a caller that is cancelled (client gone, deadline passed) does not
    harm the others; when the last caller has left, the work is cancelled. An exception reaches every caller
    and is not kept: the next caller starts again.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The result of ``work`` for this key, of the call that is running or of a new one."""
        loop = asyncio.get_running_loop()
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            flight.task = loop.create_task(self._fly(key, flight, work))
        # Not the task, shielded: it would tell its callers one turn of the loop later.
        waiter: asyncio.Future[V] = loop.create_future()
        flight.waiters.append(waiter)
        try:
            return await waiter
        finally:
            flight.waiters.remove(waiter)
            if not flight.waiters and self._flights.get(key) is flight:
                # The next caller must not join work that is being cancelled.
                del self._flights[key]
                if flight.task is not None:
                    flight.task.cancel()

    async def _fly(self, key: str, flight: _Flight[V], work: Callable[[], Coroutine[Any, Any, V]]) -> None:
        try:
            value = await work()
        except asyncio.CancelledError:
            for waiter in flight.waiters:
                waiter.cancel()
            raise
        except BaseException as error:
            for waiter in flight.waiters:
                if not waiter.done():
                    waiter.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            for waiter in flight.waiters:
                if not waiter.done():
                    waiter.set_result(value)
        finally:
            if self._flights.get(key) is flight:
                del self._flights[key]
