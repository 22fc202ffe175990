"""Several endpoints as one: turns, breakers, and the one retry that is safe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from common.deadline import Clock, Deadline
from index.vespa.breaker import Breaker
from index.vespa.errors import (
    CircuitOpen,
    DeadlinePassed,
    NameNotResolved,
    TimedOut,
    TlsFailed,
    Unreachable,
)
from index.vespa.settings import BreakerSettings
from index.vespa.transport import Reply, Transport


class Endpoints:
    """Sends each request to the next endpoint whose circuit is closed.

    A request is tried again at most once, and only when no connection was made or it broke before an
    answer came, and the budget allows. A refused name or certificate would be refused again by the same
    endpoint, so those go to another endpoint or fail. An answer is never asked for twice, whatever its
    status, and neither is a time-out: the same query would take as long again, on a system that is slow.
    """

    def __init__(
        self,
        urls: Sequence[str],
        transport: Transport,
        breaker: BreakerSettings,
        *,
        least_budget: float,
        clock: Clock = time.monotonic,
    ) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._breakers = [Breaker(breaker, clock) for _ in urls]
        self._transport = transport
        self._settings = breaker
        self._least_budget = least_budget
        self._next = 0

    @property
    def open_circuits(self) -> int:
        """Endpoints that are being left alone."""
        return sum(breaker.is_open for breaker in self._breakers)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        deadline: Deadline,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask one endpoint, or a second after a connection failure.

        Raises:
            VespaError: `DeadlinePassed`, `CircuitOpen`, or as `Transport.send`.
        """
        first = self._choose(None)
        try:
            return await self._attempt(first, method, path, body, deadline, headers)
        except Unreachable as error:
            lasting = isinstance(error, NameNotResolved | TlsFailed)
            if deadline.remaining() < self._least_budget or (lasting and len(self._urls) == 1):
                raise
            try:
                second = self._choose(first)
            except CircuitOpen:
                raise error from None
            if lasting and second == first:
                self._breakers[second].inconclusive()
                raise
        return await self._attempt(second, method, path, body, deadline, headers)

    def _choose(self, failed: int | None) -> int:
        """The next endpoint in turn that may be asked; the one that just failed comes last."""
        count = len(self._urls)
        start = self._next
        if failed is None:
            self._next = (start + 1) % count
        turns = [(start + i) % count for i in range(count)]
        if failed is not None:
            turns = [turn for turn in turns if turn != failed] + [failed]
        for turn in turns:
            if self._breakers[turn].allows():
                return turn
        raise CircuitOpen(f"all {count} endpoints failed lately")

    async def _attempt(
        self,
        number: int,
        method: str,
        path: str,
        body: bytes | None,
        deadline: Deadline,
        headers: Mapping[str, str] | None,
    ) -> Reply:
        breaker = self._breakers[number]
        budget = deadline.remaining()
        if budget < self._least_budget:
            breaker.inconclusive()
            raise DeadlinePassed(f"{budget * 1000:.1f} ms left")
        try:
            reply = await self._transport.send(method, self._urls[number] + path, body, budget, headers)
        except Unreachable:
            breaker.failed()
            raise
        except TimedOut:
            if budget >= self._settings.least_budget:
                breaker.failed()
            else:
                breaker.inconclusive()
            raise
        except (asyncio.CancelledError, Exception):
            breaker.inconclusive()
            raise
        if reply.status in (502, 503, 504):
            breaker.failed()
        else:
            breaker.succeeded()
        return reply
