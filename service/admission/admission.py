"""The places of the requests that are worked on, and what each request does without."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from common.deadline import Clock
from service.admission.batches import Batches
from service.admission.concurrency import Concurrency
from service.admission.gate import Gate
from service.admission.pulse import Pulse
from service.errors import Overloaded
from service.settings import DeadlineSettings, Limits

#: Share of the default deadline in which work is quick enough, whatever share is spent waiting for its turn.
_QUICK = 0.3
#: While others are there, a client has at most so many times the places that are free: a few clients never
#: take all, and one that asks little finds some (dynamic thresholds, Choudhury and Hahne).
_TIMES_FREE = 4
#: Seconds for which a client counts as there after it was seen.
_THERE_S = 1.0


class LoadShedding(NamedTuple):
    """What a request does without, by how long it has waited."""

    #: From 0 to 1, where requests are refused. A route is left out where its ``shed_at`` is lower.
    load: float
    #: Share of k that is still looked for.
    k_share: float
    no_portrait: bool
    #: How long the request waited before it was begun.
    waited_s: float = 0.0


class Ticket:
    """The right to be worked on; leaving the ``with`` block gives it back."""

    __slots__ = ("_admission", "_batch", "_began", "_client", "_places", "shedding")

    def __init__(self, admission: Admission, client: str, waited_s: float) -> None:
        self._admission = admission
        self._client = client
        self._batch: Callable[[], None] | None = None
        self._places = 0
        self.widen(1)
        self._began: float | None = admission.begin()
        self.shedding = admission.shedding(waited_s)

    def widen(self, places: int, within_s: float = float("inf")) -> None:
        """Take this many places in all, one for each entry of a batch.

        Args:
            places: see there.
            within_s: seconds in which all are to be answered.

        Raises:
            Overloaded: not so many are free, or they would not be answered in time.
        """
        if places > 1:
            self._admission.batches.refuse_crowding(self._client, places)
        self._admission.take(self._client, places - self._places)
        if places > 1:
            self._batch = self._admission.batches.begin(self._client, places, within_s)
        self._places = places

    def pause(self) -> None:
        """Keep the places, but do not count as worked on: entries of a batch do so each by itself."""
        if self._began is not None:
            self._admission.end(self._began)
            self._began = None

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *error: object) -> None:
        self.pause()
        if self._batch is not None:
            self._batch()
        self._admission.give_back(self._client, self._places)


class Entry:
    """An entry of a batch that is worked on; leaving the ``with`` block ends it."""

    __slots__ = ("_admission", "_began", "shedding")

    def __init__(self, admission: Admission, waited_s: float) -> None:
        self._admission = admission
        self._began = admission.begin()
        self.shedding = admission.shedding(waited_s)

    def __enter__(self) -> Entry:
        return self

    def __exit__(self, *error: object) -> None:
        self._admission.end(self._began)


class Admission:
    """Who is worked on, who waits, and how much each does without. For one event loop, not for threads.

    Args:
        limits: see there.
        deadline: see there.
        clock: of all deadlines.
        refused: counts a refusal by its reason.
    """

    def __init__(
        self, limits: Limits, deadline: DeadlineSettings, clock: Clock, refused: Callable[[str], None]
    ) -> None:
        self._limits = limits
        self.refused = refused
        self.pulse = Pulse()
        default_s = deadline.default_ms / 1000
        self.gate = Gate(clock, default_s, self.pulse, Concurrency(limits.in_flight, _QUICK * default_s))
        self.batches = Batches(default_s, limits.in_flight, clock, refused)
        self.pulse.also(self.batches.look)
        #: The highest load of a request since it was last read.
        self._peak = 0.0
        #: Places taken, and by whom.
        self.in_flight = 0
        self._places: dict[str, int] = {}
        #: The client that was seen last, when that was, and when another was.
        self._seen, self._seen_at, self._before_at = "", float("-inf"), float("-inf")
        self.gate.shared = lambda: self.gate.clock() - self._before_at < _THERE_S

    def enter(self, client: str, waited_s: float) -> Ticket:
        """Take a place.

        Args:
            client: whose request it is.
            waited_s: how long it has waited since it came.

        Raises:
            Overloaded: none is free.
        """
        return Ticket(self, client, waited_s)

    async def entry(self, client: str, until: float) -> Entry:
        """Wait for the turn of an entry of a batch, whose places are taken.

        Raises:
            Overloaded: it did not come in time.
        """
        since = self.gate.clock()
        try:
            await self.gate.turn(client, since, until)
        except Overloaded:
            self.refused("waiting")
            raise
        return Entry(self, self.gate.clock() - since)

    def refuse_hopeless(self, remaining_s: float, waited_s: float) -> None:
        """Refuse a request whose own deadline is shorter than it takes, once it is known.

        Raises:
            Overloaded: it has waited for most of its time, and no time is left to answer it.
        """
        if waited_s > remaining_s and remaining_s < 2 * self.pulse.cost_s:
            self.refused("waiting")
            raise Overloaded("it waited for most of its time")

    def take(self, client: str, places: int) -> None:
        """Count places as taken, all or none.

        Raises:
            Overloaded: not so many are free, or not for this client.
        """
        free = self._limits.in_flight - self.in_flight - places
        if free < 0:
            self.refused("in_flight")
            raise Overloaded("too many requests are being worked on")
        own = self._places.get(client, 0) + places
        if self._others(client) and own > _TIMES_FREE * free + 1:
            self.refused("share")
            raise Overloaded("too many requests of this client are being worked on")
        self.in_flight += places
        self._places[client] = own

    def give_back(self, client: str, places: int) -> None:
        """Count places as free."""
        self.in_flight -= places
        left = self._places[client] - places
        if left:
            self._places[client] = left
        else:
            del self._places[client]

    def begin(self) -> float:
        """Count a request as worked on; when it began."""
        self.gate.running += 1
        return self.gate.clock()

    def end(self, began: float) -> None:
        """Count a request as done with."""
        self.gate.finished(self.gate.clock() - began)

    def shedding(self, waited_s: float) -> LoadShedding:
        """What a request does without that has waited so long."""
        limits, gate = self._limits, self.gate
        load = max(waited_s / gate.patience_s, gate.running / limits.in_flight)
        if load > self._peak:
            self._peak = load
        k_share = limits.shed_k if load > limits.shed_candidates_at else 1.0
        return LoadShedding(min(load, 1.0), k_share, load > limits.shed_portrait_at, waited_s)

    def peak(self) -> float:
        """The highest load of a request since this was last asked: 1, or more, is where they are refused."""
        peak, self._peak = self._peak, 0.0
        return peak

    def _others(self, client: str) -> bool:
        """Whether another client was seen lately; notes that this one was."""
        now = self.gate.clock()
        if client != self._seen:
            self._before_at, self._seen = self._seen_at, client
        self._seen_at = now
        return now - self._before_at < _THERE_S or len(self._places) > (client in self._places)
