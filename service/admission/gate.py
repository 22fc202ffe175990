"""The gate: starts requests in turns of the event loop, and refuses at once those that would wait too long.

Without it, all that sockets hold is begun in one turn of the loop: under overload each turn takes as long as
all clients are patient, everybody waits for everybody, and nobody is answered in time. Here a turn begins no
more than `_SLICE_S` of work, so that the loop comes back to its sockets soon; the rest waits in a queue that
is fair to clients and short: what would wait longer is refused while that is cheap, before it is parsed.
First in, first out within a client: the queue is so short that the order hardly matters to who is in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from common.deadline import Clock
from service.admission.concurrency import Concurrency
from service.admission.fair import FairQueue
from service.admission.pulse import LATE_S, Pulse
from service.errors import Overloaded

#: Work begun in one turn of the loop, and how much where several clients have something to do: the next one
#: waits for so long at least. Searches have a millisecond of each turn (`common.turns`): where 10 ms were
#: begun in one, new queries waited 120 ms for their search under overload, and half of them were too late.
_SLICE_S, _SHARED_SLICE_S = 0.003, 0.001
#: Shares of the default deadline: how long a request may wait in a burst; how long while there has been a
#: queue for `_STANDING_AFTER_S`, since a queue that stands only makes everybody late (CoDel); and the age
#: from which a request is not begun, for it would not end in time.
_BURST, _STANDING, _TOO_OLD = 0.4, 0.1, 0.6
_STANDING_AFTER_S = 0.1
#: The rate at which requests are begun is that of about so many seconds.
_MEMORY_S = 0.2
#: Seconds between two looks at the concurrency.
_LOOK_EVERY_S = 0.1


class _Waiting(NamedTuple):
    #: When it came, and until when it may be begun.
    arrived: float
    until: float
    #: Begins it; false where nobody waits for it any more.
    start: Callable[[], bool]
    refuse: Callable[[], None]


class Gate:
    """Lets requests in. For one event loop.

    Args:
        clock: of all deadlines.
        deadline_s: what a request has by default.
        pulse: of the loop.
        concurrency: how many are worked on at once.
    """

    def __init__(self, clock: Clock, deadline_s: float, pulse: Pulse, concurrency: Concurrency) -> None:
        self.clock = clock
        self.pulse = pulse
        self.concurrency = concurrency
        #: Whether several clients are there.
        self.shared: Callable[[], bool] = lambda: False
        self.burst_s, self._standing_s = _BURST * deadline_s, _STANDING * deadline_s
        self._too_old_s = _TOO_OLD * deadline_s
        self._slice_s = min(_SLICE_S, _STANDING * deadline_s / 2)
        self._queue: FairQueue[_Waiting] = FairQueue()
        #: Requests that are worked on.
        self.running = 0
        self._begun = 0  # in this turn
        self._armed = False  # the end of this turn will be noted
        self._empty_at = 0.0  # when nothing waited
        self._drained_at = 0.0
        #: Requests begun while others waited, and the seconds that took, both fading.
        self._drained, self._draining_s = 0.0, 0.0
        self._looked_at = 0.0
        pulse.also(self._beat)

    @property
    def waiting(self) -> int:
        """How many wait to be begun."""
        return len(self._queue)

    @property
    def patience_s(self) -> float:
        """How long a request may wait now."""
        if self._queue and self.clock() - self._empty_at > _STANDING_AFTER_S:
            return self._standing_s
        return self.burst_s

    @property
    def each_s(self) -> float:
        """Seconds from the beginning of one request to that of the next, while others wait."""
        return self._draining_s / self._drained if self._drained else self.pulse.cost_s

    def submit(
        self,
        client: str,
        arrived: float,
        start: Callable[[], bool],
        refuse: Callable[[], None],
        until: float | None = None,
    ) -> None:
        """Begin a request, now or later, or refuse it, now or when its time is over.

        Args:
            client: whose it is.
            arrived: when its first byte came.
            start: begins it; false where nobody waits for it any more.
            refuse: tells the client that it will not be.
            until: until when it may be begun; None: as long as a request may wait now.
        """
        now = self.clock()
        if not self._queue:
            if self._room() > 0 and not self._stale(now - arrived):
                if start():
                    self._begin()
                return
            self._empty_at = self._drained_at = now
        if self.hopeless(client, now, arrived + self.patience_s if until is None else until):
            refuse()
            return
        until = arrived + self._too_old_s if until is None else until
        self._queue.put(client, _Waiting(arrived, until, start, refuse))
        self._arm()

    def hopeless(self, client: str, now: float, latest: float) -> bool:
        """Whether a request of this client would be begun too late, if it came now."""
        return now + self._queue.ahead(client) * self.each_s > latest

    async def turn(self, client: str, arrived: float, until: float | None = None) -> None:
        """Wait for one's turn.

        Raises:
            Overloaded: it would not come in time, or did not.
        """
        if not self._queue and self._room() > 0 and not self._stale(self.clock() - arrived):
            self._begin()
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def start() -> bool:
            waits = not future.done()
            if waits:
                future.set_result(None)
            return waits

        def refuse() -> None:
            if not future.done():
                future.set_exception(Overloaded("it would wait too long"))

        self.submit(client, arrived, start, refuse, until)
        await future

    def finished(self, seconds: float) -> None:
        """Note that a request is done with, and how long it was worked on."""
        self.concurrency.finished(seconds, self.running)
        self.running -= 1
        self.pulse.finished()
        if self._queue:
            self._arm()

    def _stale(self, age_s: float) -> bool:
        """Whether a request is too old to be begun, because other requests kept the loop from it.

        Where the loop was on time its client was slow to send it, and where nothing else is worked on there
        is nothing to shed, whatever made the loop late. Then its own deadline decides.
        """
        return age_s > self._too_old_s and self.pulse.lag_s > LATE_S and self.running + self._begun > 0

    def _room(self) -> int:
        """How many may be begun in this turn."""
        slice_s = min(self._slice_s, _SHARED_SLICE_S) if self.shared() else self._slice_s
        most = max(1, int(slice_s / self.pulse.cost_s))
        return min(most - self._begun, self.concurrency.limit - self.running - self._begun)

    def _begin(self) -> None:
        self._begun += 1
        self._arm()

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """A turn of the loop has passed: what was begun has run, up to where it waits for something."""
        self._armed = False
        self._begun = 0
        now = self.clock()
        if not self._queue:
            self._empty_at = self._drained_at = now
            return
        room, begun = self._room(), 0
        while self._queue and begun < room:
            waiting = self._queue.pop()
            if now > waiting.until:
                waiting.refuse()
            elif waiting.start():
                begun += 1
        self._note_drained(begun, now)
        if begun:
            self._begun = begun
            self._arm()
        # Else there was no room: the next one that is done with makes some.

    def _note_drained(self, begun: int, now: float) -> None:
        elapsed, self._drained_at = now - self._drained_at, now
        kept = max(0.0, 1.0 - elapsed / _MEMORY_S)
        self._drained = self._drained * kept + begun
        self._draining_s = self._draining_s * kept + elapsed

    def _beat(self) -> None:
        now = self.pulse.moved
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self.concurrency.look()
        if self._queue:
            self._arm()  # should a request end without having been counted, the rest goes on
