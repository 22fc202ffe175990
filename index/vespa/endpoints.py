"""Several endpoints as one: they take turns, each has a circuit breaker, and one retry is safe."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from common.breaker import CircuitBreaker
from common.deadline import Clock, Deadline
from index.vespa.errors import CircuitOpen, TimedOut, Unreachable, VespaError
from index.vespa.settings import EndpointSettings
from index.vespa.transport import Reply, Request, Transport

#: Seconds. With less left nothing is sent: Vespa counts in milliseconds.
LEAST_BUDGET: Final = 0.003
#: Seconds. A time-out speaks against an endpoint only when it had at least this long: requests that arrive
#: with little left say nothing about Vespa.
_FAIR_BUDGET: Final = 0.02


class Endpoints:
    """Sends each request to the next endpoint whose circuit is closed.

    A request is tried again at most once, and only when no connection was made or it broke before an
    answer came, and the budget allows. A refused name or certificate would be refused again by the same
    endpoint, so those go to another endpoint or fail. An answer is never asked for twice, whatever its
    status, and neither is a time-out: the same query would take as long again, on a system that is slow.
    """

    def __init__(
        self, settings: EndpointSettings, clock: Clock = time.monotonic, transport: Transport | None = None
    ) -> None:
        self._urls = [url.rstrip("/") for url in settings.urls]
        self._breakers = [
            CircuitBreaker(settings.breaker_failures, settings.breaker_pause, clock) for _ in self._urls
        ]
        self._transport = Transport(settings) if transport is None else transport
        self._next = 0

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def send(self, request: Request, deadline: Deadline) -> Reply:
        """Ask one endpoint, or a second after a connection failure.

        Raises:
            VespaError: no budget is left, `CircuitOpen`, or as `Transport.send`.
        """
        first = self._choose(None)
        try:
            return await self._attempt(first, request, deadline)
        except Unreachable as error:
            if deadline.remaining() < LEAST_BUDGET or (error.lasts and len(self._urls) == 1):
                raise
            try:
                second = self._choose(first)
            except CircuitOpen:
                raise error from None
            if error.lasts and second == first:
                self._breakers[second].inconclusive()
                raise
        return await self._attempt(second, request, deadline)

    def _choose(self, failed: int | None) -> int:
        """The next endpoint in turn that may be asked; the one that just failed comes last."""
        count = len(self._urls)
        start = self._next
        if failed is None:
            self._next = (start + 1) % count
        turns = [(start + i) % count for i in range(count)]
        for turn in sorted(turns, key=lambda turn: turn == failed):
            if self._breakers[turn].allows():
                return turn
        raise CircuitOpen("circuit_open", f"all {count} endpoints failed lately")

    async def _attempt(self, number: int, request: Request, deadline: Deadline) -> Reply:
        breaker = self._breakers[number]
        budget = deadline.remaining()
        if budget < LEAST_BUDGET:
            breaker.inconclusive()
            raise VespaError("timeout", f"{budget * 1000:.1f} ms left")
        try:
            reply = await self._transport.send(self._urls[number], request, budget)
        except (asyncio.CancelledError, Exception) as error:
            if isinstance(error, Unreachable) or (isinstance(error, TimedOut) and budget >= _FAIR_BUDGET):
                breaker.failed()
            else:
                breaker.inconclusive()
            raise
        if reply.status in (502, 503, 504):
            breaker.failed()
        else:
            breaker.succeeded()
        return reply
