"""Which events train, and which are held out: the one rule that training, co-clicks and evaluation share."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from artifacts.actions import ACTIONS
from artifacts.shop.schema import Event
from common.arrays import F64, I8

#: Share of the newest behaviours that is val, and again that is test, where the file marks no split
#: (*inferred*).
HELD_OUT = 0.05


@dataclass(frozen=True)
class Holdout:
    """The file's own marks where it has any (unmarked rows then train); else the newest are held out.

    ``val_from`` and ``test_from`` are POSIX seconds and count only where ``marked`` is False.
    """

    marked: bool
    val_from: float
    test_from: float

    @classmethod
    def from_events(cls, events: Iterable[Event], share: float = HELD_OUT) -> Holdout:
        """Read the events once; 8 bytes are kept of each behaviour."""
        times = array("d")
        for event in events:
            if event.split is not None:
                return cls(True, np.inf, np.inf)
            if event.action in ACTIONS.behaviours:
                times.append(event.ts.timestamp())
        return cls.from_times(np.frombuffer(times), share)

    @classmethod
    def from_times(cls, times: F64, share: float = HELD_OUT) -> Holdout:
        """For a file that marks nothing, from the POSIX seconds of its behaviours."""
        if not len(times):
            return cls(False, np.inf, np.inf)
        val, test = np.quantile(times, [1 - 2 * share, 1 - share], method="higher")
        return cls(False, float(val), float(test))

    def split(self, event: Event) -> str:
        """``train``, ``val`` or ``test``."""
        if self.marked:
            return event.split or "train"
        at = event.ts.timestamp()
        return "test" if at >= self.test_from else "val" if at >= self.val_from else "train"

    def splits(self, times: F64) -> I8:
        """As `split` for events that have no mark, by their POSIX seconds: places in `SPLITS`."""
        return ((times >= self.val_from).astype(np.int8) + (times >= self.test_from)).astype(np.int8)
