"""How many requests a key may make in a day."""

from __future__ import annotations

import time
from collections.abc import Collection

from common.deadline import Clock

_DAY_S = 86_400


class Quotas:
    """What each name has used of its quota since midnight, in UTC.

    It is counted in memory, so a worker that is started again begins anew: a bound on cost, not an invoice.

    Args:
        share: what this worker has of each quota, as of `Rates`.
        clock: seconds since 1970.
    """

    def __init__(self, share: float = 1.0, clock: Clock = time.time) -> None:
        self._share = share
        self._clock = clock
        self._day = 0
        self._used: dict[str, float] = {}

    def wait(self, name: str, quota: int, cost: float = 1.0) -> float:
        """Use a part of a quota; 0, or the seconds until the day ends, where there is not so much left."""
        now = self._clock()
        if (day := int(now // _DAY_S)) != self._day:
            self._day, self._used = day, {}
        used = self._used.get(name, 0.0) + cost
        if used > max(1.0, quota * self._share):
            return _DAY_S - now % _DAY_S
        self._used[name] = used
        return 0.0

    def keep(self, names: Collection[str]) -> None:
        """Forget what all other names have used."""
        self._used = {name: used for name, used in self._used.items() if name in names}
