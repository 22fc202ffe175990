"""Several endpoints as one: they take turns, each has a circuit breaker, and one retry is safe."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from common.breaker import CircuitBreaker
from common.deadline import Clock, Deadline
from common.seldom import Seldom
from index.vespa.errors import (
    CircuitOpen,
    NoConnection,
    NotDeployed,
    RequestRefused,
    TimedOut,
    Unreachable,
    VespaError,
)
from index.vespa.settings import EndpointSettings
from index.vespa.transport import Reply, Request, Transport
from index.watching import CALL_OUTCOMES, CallOutcome, CallWatch

log = logging.getLogger("mrse.vespa")
_told = Seldom()

#: Seconds. With less left nothing is sent: Vespa counts in milliseconds.
LEAST_BUDGET: Final = 0.003
#: Seconds. A time-out speaks against an endpoint only when it had at least this long: requests that arrive
#: with little left say nothing about Vespa.
_FAIR_BUDGET: Final = 0.02
#: Seconds. Who gives up with no more than this left waited as long as there was time to.
_AT_THE_END: Final = 0.002

#: A request, or what makes it for the seconds that are left when it is sent.
Asked: TypeAlias = Request | Callable[[float], Request]


class Endpoints:
    """Sends each request to the next endpoint whose circuit is closed.

    A request is tried again at most once, and only when no connection was made or it broke before an
    answer came, and the budget allows. A refused name or certificate would be refused again by the same
    endpoint, so those go to another endpoint or fail. An answer is never asked for twice, whatever its
    status, and neither is a time-out: the same query would take as long again, on a system that is slow.

    So many requests are under way at an endpoint as it may have connections; others wait, and prefer one that
    is free. How long they waited says nothing about the endpoint.
    """

    def __init__(
        self, settings: EndpointSettings, clock: Clock = time.monotonic, transport: Transport | None = None
    ) -> None:
        self._urls = [url.rstrip("/") for url in settings.urls]
        self._breakers = [
            CircuitBreaker(settings.breaker_failures, settings.breaker_pause, clock) for _ in self._urls
        ]
        self._places = [asyncio.Semaphore(settings.connections) for _ in self._urls]
        self._transport = Transport(settings) if transport is None else transport
        self._connections = settings.connections
        #: Requests that have a place.
        self.under_way = 0
        self._next = 0
        self._clock = clock
        self._servers = {url: urlsplit(url).netloc for url in self._urls}
        self._watch: CallWatch | None = None

    @property
    def servers(self) -> Sequence[str]:
        """See `IndexCalls.servers`."""
        return list(self._servers.values())

    @property
    def is_idle(self) -> bool:
        """Whether fewer than a quarter of the connections are in use."""
        return self.under_way * 4 < len(self._urls) * self._connections

    def shadowed(self, recall: float | None) -> None:
        """See `CallWatch.shadowed`."""
        if self._watch is not None:
            self._watch.shadowed(recall)

    def listen(self, watch: CallWatch) -> None:
        """See `IndexCalls.listen`."""
        self._watch = watch

    def ended(self, endpoint: str, error: VespaError | None = None) -> None:
        """A call to an endpoint (its base URL) ended with an answer that can be used, or did not.

        Who gets a `Reply` says so when it is read; what ends without one is known here.
        """
        if self._watch is not None:
            self._watch.ended(self._servers[endpoint], "ok" if error is None else outcome_of(error))
        if error is not None:
            tell(endpoint, error)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def send(self, request: Asked, deadline: Deadline) -> Reply:
        """Ask one endpoint, or a second after a connection failure.

        Raises:
            VespaError: no budget is left, `CircuitOpen`, `NoConnection`, or as `Transport.send`.
        """
        first, ticket = self._choose(None)
        try:
            return await self._attempt(first, ticket, request, deadline)
        except (Unreachable, CircuitOpen) as error:
            lasts = isinstance(error, Unreachable) and error.lasts
            if deadline.remaining() < LEAST_BUDGET or (lasts and len(self._urls) == 1):
                raise
            try:
                second, ticket = self._choose(first)
            except CircuitOpen:
                raise error from None
            if lasts and second == first:
                self._breakers[second].inconclusive(ticket)
                raise
        if self._watch is not None:
            self._watch.retried(self._servers[self._urls[second]])
        return await self._attempt(second, ticket, request, deadline)

    def _choose(self, failed: int | None) -> tuple[int, int]:
        """The next endpoint in turn that may be asked, and its breaker's ticket.

        Those that are busy come later, and the one that just failed comes last.
        """
        count = len(self._urls)
        start = self._next
        if failed is None:
            self._next = (start + 1) % count
        turns = [(start + i) % count for i in range(count)]
        for turn in sorted(turns, key=lambda turn: (turn == failed, self._places[turn].locked())):
            ticket = self._breakers[turn].enter()
            if ticket is not None:
                return turn, ticket
        raise CircuitOpen("circuit_open", f"all {count} endpoints failed lately")

    async def _attempt(self, number: int, ticket: int, request: Asked, deadline: Deadline) -> Reply:
        """Ask one endpoint, when it is this request's turn."""
        breaker, places = self._breakers[number], self._places[number]
        try:
            if places.locked():
                await self._wait(number, places, deadline)
            else:
                await places.acquire()  # which does not wait
        except BaseException:
            breaker.inconclusive(ticket)
            raise
        self.under_way += 1
        try:
            if not breaker.counts(ticket):
                raise CircuitOpen("circuit_open", "the endpoint failed while this request waited")
            return await self._ask(number, ticket, request, deadline)
        finally:
            self.under_way -= 1
            places.release()

    async def _ask(self, number: int, ticket: int, request: Asked, deadline: Deadline) -> Reply:
        breaker = self._breakers[number]
        budget = deadline.remaining()
        try:
            if budget < LEAST_BUDGET:
                raise VespaError("timeout", f"{budget * 1000:.1f} ms left")
            sent = request if isinstance(request, Request) else request(budget)
            reply = await self._transport.send(self._urls[number], sent, budget)
        except (asyncio.CancelledError, Exception) as error:
            # The caller may notice the deadline before we do, and cancels.
            late = isinstance(error, TimedOut) or (
                isinstance(error, asyncio.CancelledError) and deadline.remaining() <= _AT_THE_END
            )
            if isinstance(error, Unreachable) or (late and budget >= _FAIR_BUDGET):
                self._count(number, breaker.failed, ticket)
            else:
                breaker.inconclusive(ticket)
            if isinstance(error, VespaError):
                self.ended(self._urls[number], error)
            elif self._watch is not None and isinstance(error, asyncio.CancelledError):
                self._watch.ended(self._servers[self._urls[number]], "timeout" if late else "cancelled")
            raise
        failed = reply.status in (502, 503, 504)
        self._count(number, breaker.failed if failed else breaker.succeeded, ticket)
        return reply

    def _count(self, number: int, happened: Callable[[int], None], ticket: int) -> None:
        """Tell a breaker how a call ended, and who watches where that opened or closed its circuit."""
        breaker = self._breakers[number]
        before = breaker.is_open
        happened(ticket)
        if breaker.is_open != before and self._watch is not None:
            self._watch.circuit(self._servers[self._urls[number]], breaker.is_open)

    async def _wait(self, number: int, places: asyncio.Semaphore, deadline: Deadline) -> None:
        """Take a place within the deadline, when another request leaves it."""
        started = self._clock()
        try:
            async with asyncio.timeout(deadline.remaining()):
                await places.acquire()
        except TimeoutError as error:
            full = NoConnection("all connections were in use until the deadline")
            if self._watch is not None:
                self._watch.ended(self._servers[self._urls[number]], "no_connection")
            raise full from error
        finally:
            if self._watch is not None:
                self._watch.waited(self._clock() - started)


def outcome_of(error: VespaError) -> CallOutcome:
    """The label of an error: of a bounded set."""
    if isinstance(error, NoConnection):
        return "no_connection"
    if isinstance(error, RequestRefused | NotDeployed):
        return "refused"
    return error.reason if error.reason in CALL_OUTCOMES else "other"


def tell(endpoint: str, error: VespaError) -> None:
    """Log, at most once a second, that an endpoint gave no answer.

    What it said may echo values of the query, so that is for debugging alone.
    """
    if (left_out := _told.now()) is not None:
        about = {"endpoint": endpoint, "reason": error.reason, "kind": type(error).__name__}
        log.warning("vespa gave no answer", extra={**about, "left_out": left_out})
        log.debug("vespa said: %s", error)
