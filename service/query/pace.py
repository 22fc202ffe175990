"""How long a job would wait in a queue, by how long those before it took."""

from __future__ import annotations

#: Of what a job takes, how much the newest ones count.
_NEWEST = 0.2
#: Share of the default deadline that a query may wait to be encoded, or its picture to be decoded.
WAIT = 0.3


class Pace:
    """The pace of a queue's workers. Jobs are noted by one thread; any may ask.

    Args:
        patience_s: no job may wait longer.
        at_once: jobs that are worked on at once.
    """

    def __init__(self, patience_s: float = float("inf"), at_once: int = 1) -> None:
        self._patience_s = patience_s
        self._at_once = at_once
        #: Seconds of one job.
        self.each_s = 0.0

    def took(self, seconds: float, jobs: int = 1) -> None:
        """Note that jobs took so long together."""
        self.each_s += _NEWEST * (seconds / jobs - self.each_s)

    def too_long(self, depth: int, within_s: float = float("inf")) -> bool:
        """Whether a job would wait too long behind so many, or not be done in so many seconds.

        One with nothing before it is always tried: what jobs take is known only by doing some.
        """
        wait_s = depth * self.each_s / self._at_once
        return depth > 0 and (wait_s > self._patience_s or wait_s + self.each_s > within_s)
