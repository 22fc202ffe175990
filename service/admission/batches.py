"""Batches: no more of their entries at once than let whole batches be in time.

A batch is as late as its last entry, and one that is late was much work for nothing: so a batch that crowds
the others is refused whole, rather than some entries of each.
"""

from __future__ import annotations

from collections.abc import Callable

from common.deadline import Clock
from service.admission.concurrency import Concurrency
from service.errors import Overloaded

#: Share of its time within which a batch is to be answered.
_IN_TIME = 0.6
#: A client that has no batch here may go over the limit by this factor, so that others do not keep it out.
_FIRST = 2
#: Beats of the pulse between two looks.
_BEATS = 4


class Batches:
    """Counts the entries of batches. For one event loop.

    Args:
        default_s: what a request has by default.
        most: entries, whatever they take.
        clock: of all deadlines.
        refused: counts a refusal by its reason.
    """

    def __init__(self, default_s: float, most: int, clock: Clock, refused: Callable[[str], None]) -> None:
        self._default_s = default_s
        self._clock = clock
        self._refused = refused
        self._bound = Concurrency(most, _IN_TIME * default_s)
        self._entries: dict[str, int] = {}
        self._all = 0
        self._beats = 0

    @property
    def limit(self) -> int:
        """Entries at once, while there is more than one batch."""
        return self._bound.limit

    @property
    def busy(self) -> bool:
        """Whether there are any."""
        return self._all > 0

    def refuse_crowding(self, client: str, entries: int) -> None:
        """Refuse a batch beside which the others would be late; one alone is always tried.

        Raises:
            Overloaded: it would crowd the others.
        """
        if not self._all:
            return
        limit = self._bound.limit * (1 if client in self._entries else _FIRST)
        if self._all + entries > limit:
            self._bound.pressed()
            self._refused("waiting")
            raise Overloaded("a batch of so many would take too long now")

    def begin(self, client: str, entries: int, within_s: float) -> Callable[[], None]:
        """Count a batch that is worked on; what is given is to be called at its end.

        Args:
            client: whose it is.
            entries: its entries.
            within_s: seconds in which all are to be answered.
        """
        began = self._clock()
        self._all += entries
        self._entries[client] = self._entries.get(client, 0) + entries

        def end() -> None:
            # As a share of its own time: a batch that may take long is not late when it does.
            seconds = (self._clock() - began) / max(within_s, 0.001) * self._default_s
            self._bound.finished(seconds, self._all)
            self._all -= entries
            self._entries[client] -= entries
            if not self._entries[client]:
                del self._entries[client]

        return end

    def look(self) -> None:
        """Set the limit, once in some beats."""
        self._beats += 1
        if self._beats % _BEATS == 0:
            self._bound.look()
