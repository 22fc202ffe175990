"""All connections of a worker together: how many may be open, which go first, and what they hold.

A connection stands in at most one queue, by what it keeps its place for; each queue is in the order of entry:

::

    ending    was answered, and still sends     closed first
    fresh     has sent no request yet           then these
    partial   a head or body is on its way      then those that are at it for over a second
    kept      waits for its next request        then these
    stalled   does not take its answer          then these
    none      a request is being worked on      never

When no place is free a new connection takes that of the first of these. Where there is none it gets one of
a few reserved places, where it has a short time to ask a probe, and is answered 503 for anything else.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from service.errors import Overloaded
from service.process.hosts import AllowedHosts
from service.scope import CONNECTIONS, RUNTIME

if TYPE_CHECKING:
    from service.runtime import Runtime
    from service.settings import Settings
    from service.telemetry.labels import Closed

#: Connections a worker keeps where nothing else is set; an idle one costs about 10 kB.
_OPEN = 8192
#: Descriptors kept for files, Redis, engines and the like.
_OTHER_FILES = 128
#: Descriptors that a worker asks for: enough for `_OPEN` and the rest.
_DESCRIPTORS = 65_536
#: Places above the cap, for probes.
RESERVED = 16
#: Seconds between two looks at all connections.
_SWEEP_S = 1.0
#: A head or body that is on its way for less is not given up for a new connection.
_PARTIAL_S = 1.0
#: Bytes of a body that are always taken, whatever other connections hold.
FREE_BODY = 16 * 1024
#: Bytes of answers that may wait in this process for clients to take them, of all connections together.
_UNSENT = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection, and all together, may take; see ``[connections]`` of the settings."""

    open: int = _OPEN
    head_s: float = 10.0
    idle_s: float = 75.0
    write_s: float = 30.0
    body_bytes: int = 64 * 1024 * 1024
    retry_after_s: int = 1


class Connection(Protocol):
    """One connection, as all together see it.

    Attributes:
        due: when it ends if nothing happens, in seconds on ``time.monotonic``.
        since: when the head of its request began.
    """

    due: float
    since: float

    def expire(self, now: float) -> None:
        """End what is past its deadline."""

    def watch_writing(self, now: float) -> int:
        """Note whether the client takes its answer, and end the connection if it does not; see `unsent`."""

    def unsent(self) -> int:
        """Bytes of answers that wait in this process for the client to take them."""

    def evict(self) -> None:
        """Give the place to another connection, at once."""

    def refuse_body(self, why: Exception) -> None:
        """Do not read on the body of the request that is on its way."""

    def abort(self, reason: Closed) -> None:
        """End the connection at once, and free what waits to be sent."""


class Connections:
    """For one event loop, not for threads.

    Args:
        bounds: see `Bounds`.
        hosts: which names the service may be asked by.
        closed: told why a connection ended.
        refused: told the status of an answer that the protocol gave by itself.

    Attributes:
        held: bytes of bodies that are being read, or whose requests are being worked on.
        draining: answers say ``Connection: close``.
    """

    def __init__(
        self,
        bounds: Bounds,
        hosts: AllowedHosts,
        closed: Callable[[str], None] = lambda reason: None,
        refused: Callable[[str], None] = lambda status: None,
    ) -> None:
        self.bounds = bounds
        self.hosts = hosts
        self.closed = closed
        self.refused = refused
        self.held = 0
        self.draining = False
        self.ending: OrderedDict[Connection, None] = OrderedDict()
        self.fresh: OrderedDict[Connection, None] = OrderedDict()
        self.kept: OrderedDict[Connection, None] = OrderedDict()
        self.partial: OrderedDict[Connection, None] = OrderedDict()
        self.stalled: OrderedDict[Connection, None] = OrderedDict()
        #: Those with a reserved place that have not asked yet.
        self.reserved: OrderedDict[Connection, None] = OrderedDict()
        #: Those whose body is incomplete and larger than `FREE_BODY`, the first one first.
        self.bodies: OrderedDict[Connection, None] = OrderedDict()
        self._open: set[Connection] = set()
        self._sweeping = False

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, connection: Connection) -> bool:
        """Count a new connection; whether it has one of the reserved places only.

        Where even those are taken, the first that has not asked yet goes.
        """
        reserved = False
        if len(self._open) >= self.bounds.open:
            victim = self._victim()
            if victim is not None:
                victim.evict()
            reserved = len(self._open) >= self.bounds.open
        if reserved:
            if len(self.reserved) >= RESERVED:
                next(iter(self.reserved)).evict()
            self.reserved[connection] = None
        else:  # those with a reserved place make no room for others
            self.fresh[connection] = None
        self._open.add(connection)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep_again)
        return reserved

    def full(self) -> bool:
        """Whether not even a reserved place is left."""
        return len(self._open) > self.bounds.open + RESERVED

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is no more, or is being closed."""
        self._open.discard(connection)
        self.reserved.pop(connection, None)
        self.bodies.pop(connection, None)

    def _victim(self) -> Connection | None:
        slow = next(iter(self.partial), None)
        if slow is not None and time.monotonic() - slow.since <= _PARTIAL_S:
            slow = None
        queues = (self.ending, self.fresh, slow and (slow,), self.kept, self.stalled)
        return next((next(iter(queue)) for queue in queues if queue), None)

    def reclaim(self, connection: Connection) -> None:
        """Make room, where bodies hold too much: the one that is being read for longest is not read on."""
        if self.held > self.bounds.body_bytes:
            victim = next(iter(self.bodies), connection)
            self.bodies.pop(victim, None)
            victim.refuse_body(Overloaded("too many bytes of bodies are being read"))

    def _sweep_again(self) -> None:
        self.sweep(time.monotonic())
        self._sweeping = bool(self._open)
        if self._sweeping:
            asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep_again)

    def sweep(self, now: float) -> None:
        """End what is past its deadline at ``now``, in seconds on ``time.monotonic``."""
        unsent = 0
        for connection in tuple(self._open):
            if connection.due <= now:
                connection.expire(now)
            unsent += connection.watch_writing(now)
        while unsent > _UNSENT and self.stalled:
            victim = next(iter(self.stalled))
            unsent -= victim.unsent()
            victim.abort("write_timeout")


def connections_of(state: dict[str, object]) -> Connections:
    """The connections of this worker, kept in the state of its server; made by the first one."""
    found = state.get(CONNECTIONS)
    if not isinstance(found, Connections):
        found = state[CONNECTIONS] = _of_runtime(state.get(RUNTIME))  # type: ignore[arg-type]
    return found


def _of_runtime(runtime: Runtime | None) -> Connections:
    if runtime is None:  # an application without one, as in a test
        return Connections(Bounds(), AllowedHosts((), ""))
    settings, metrics = runtime.settings, runtime.metrics
    made = Connections(
        bounds_of(settings),
        AllowedHosts(settings.server.hosts, settings.server.host),
        metrics.connection_closed,
        metrics.connection_refused,
    )
    metrics.gauge("connections", "Connections that are open.", lambda: len(made))
    metrics.gauge("body_bytes", "Bytes of bodies being read or worked on.", lambda: made.held)
    return made


def bounds_of(settings: Settings) -> Bounds:
    """The bounds that the settings and the limit of open files make."""
    table = settings.connections
    return Bounds(
        open=table.open or open_by_descriptors(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        head_s=table.head_s,
        idle_s=settings.server.keep_alive_s,
        write_s=table.write_s,
        body_bytes=table.body_bytes,
        retry_after_s=settings.limits.retry_after_s,
    )


def open_by_descriptors(limit: int) -> int:
    """How many connections go with a limit of open files, so that accepting never lacks one."""
    if limit == resource.RLIM_INFINITY:
        return _OPEN
    return max(1, min(_OPEN, max(limit - _OTHER_FILES, limit // 2) - RESERVED))


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files of this process and its children, as far as the hard one lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
