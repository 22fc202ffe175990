"""How many requests are worked on at once: as many as keep each of them quick."""

from __future__ import annotations

#: Never fewer: so many do not crowd each other, and one slow answer must not stop the others.
LEAST = 8
#: Times between two looks.
_ENOUGH = 8
_MOST_TIMES = 512
#: Share of the requests that are to be quick. Half of them: where only some are slow, what these wait for has
#: bounds of its own, and the others are not to wait for them.
_QUICK = 0.5
#: A shrink is at most to this share, growth is by this factor and one more.
_SHRINK, _GROW = 0.5, 1.25
#: Work may take so many times what it takes when no more than `LEAST` are at once: an engine that is slow by
#: nature is not taken for one that has too much to do.
_NATURAL = 2.0


class Concurrency:
    """A bound on the requests that are worked on, by the time that they take (a gradient limit).

    At a steady rate the time of each is in proportion to how many share it. So where half of them took over
    ``a`` times as long as they may, an ``a``-th of as many leaves them the time that they may take, and the
    rest waits where it can be refused. This holds whatever they wait for: the encoder's thread, the index's,
    or a server.

    Args:
        most: never more.
        target_s: seconds of work that are quick enough.
    """

    def __init__(self, most: int, target_s: float) -> None:
        self._most = most
        self._target_s = target_s
        self._natural_s = 0.0
        self._times: list[float] = []
        self._peak = 0
        self.limit = most

    def finished(self, seconds: float, at_once: int) -> None:
        """Note how long one was worked on, and how many were at once when it ended."""
        if len(self._times) < _MOST_TIMES:
            self._times.append(seconds)
        self._peak = max(self._peak, at_once)

    def pressed(self) -> None:
        """Note that one more was wanted and kept out."""
        self._peak = max(self._peak, self.limit)

    def look(self) -> None:
        """Set the limit by what was noted since the last look, where it is enough to go by."""
        if len(self._times) < _ENOUGH:
            return
        times, peak = sorted(self._times), self._peak
        self._times, self._peak = [], 0
        slow = times[int(len(times) * _QUICK)]
        if peak <= LEAST:
            self._natural_s = slow
        target_s = max(self._target_s, _NATURAL * self._natural_s)
        if slow > target_s:
            share = max(_SHRINK, target_s / slow)
            self.limit = min(self._most, max(LEAST, int(min(self.limit, peak) * share)))
        elif peak >= self.limit:
            self.limit = min(self._most, int(self.limit * _GROW) + 1)
