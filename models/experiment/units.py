"""The units of an experiment: the arm of each, what it did from then on, and how they should be split."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from common.arrays import F64, I64
from models.experiment.exposures import Exposures
from models.experiment.outcomes import KINDS, Outcomes


class Units:
    """The units: the arm of each and when it was seen, by its first and last answer."""

    def __init__(self, seen: Exposures) -> None:
        count = len(seen.clients)
        _, first = np.unique(seen.client, return_index=True)
        self.arm: I64 = seen.arm[first]
        self.share: F64 = seen.share[first]
        self.first: F64 = seen.at[first]
        self.last = np.zeros(count)
        np.maximum.at(self.last, seen.client, seen.at)
        changed = np.bincount(seen.client, seen.arm != self.arm[seen.client], minlength=count) > 0
        self.moved = int(changed.sum())
        self.kinds_by_request = len(seen.client) > 1000 and count > 0.95 * len(seen.client)
        self._seen = seen
        self._count = count

    def totals(self, did: Outcomes, window_s: float, until: float = math.inf) -> dict[str, F64]:
        """Of each unit ``[units]``: answers, outcomes by kind, revenue, and those before it was exposed."""
        seen, count = self._seen, self._count
        answered = seen.at <= until

        def summed(client: I64, chosen: Any, values: F64 | None = None) -> F64:
            weights = None if values is None else values[chosen]
            return np.bincount(client[chosen], weights, minlength=count).astype(np.float64)

        totals = {
            "answers": summed(seen.client, answered),
            "latency": summed(seen.client, answered, seen.took_ms),
            "partial answers": summed(seen.client, answered & seen.partial),
            "empty answers": summed(seen.client, answered & seen.empty),
        }
        start, end = self.first[did.client], self.last[did.client]
        after = (did.at >= start) & (did.at <= end + window_s) & (did.at <= until)
        before = did.at < start
        for number, kind in enumerate(KINDS):
            its = did.kind == number
            totals[kind] = summed(did.client, after & its)
            totals[f"{kind} before"] = summed(did.client, before & its)
        order = did.kind == KINDS.index("order")
        totals["revenue"] = summed(did.client, after & order, did.value)
        totals["revenue before"] = summed(did.client, before & order, did.value)
        return totals


def shares_of(seen: Exposures, units: Units) -> tuple[dict[str, float], Any, list[str]]:
    """Each arm's share of the units, by the last weights; the units drawn by them; what is to be told."""
    changed = -math.inf
    shares = {}
    for number, arm in enumerate(seen.arms):
        its = seen.share[seen.arm == number]
        shares[arm] = float(its[-1])
        moves = np.flatnonzero(np.abs(np.diff(its)) > 1e-9)
        if len(moves):
            changed = max(changed, float(seen.at[seen.arm == number][moves[-1]]))
    fresh = units.first > changed
    notes = []
    if changed > -math.inf:
        notes.append(
            "The weights moved on the way. The split is judged by the units that were first seen after the "
            "last move; figures that mix both times may be off (Simpson's paradox): compare each time alone."
        )
    whole = sum(shares.values())
    if whole < 1 - 1e-6:
        notes.append("An arm with a weight was shown to nobody.")
    if whole <= 0:
        return dict.fromkeys(shares, 1 / len(shares)), fresh, notes
    return {arm: share / whole for arm, share in shares.items()}, fresh, notes
