"""What a route gives back, and whether it could."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

#: ``skipped``: there was nothing to do; ``shed``: left out under pressure.
RouteStatus = Literal["ok", "timeout", "error", "skipped", "shed"]


class Candidate(NamedTuple):
    """An item as one route, through one trigger, found it."""

    item_id: str
    #: Place among the results of this route and trigger, from 1.
    rank: int
    #: Cosine to the query (Q2I) or to the trigger (I2I).
    score: float
    #: The score on the common scale of all routes, for ``merge = "score"``.
    value: float
    trigger: str | None = None


@dataclass(frozen=True, slots=True)
class RouteOutcome:
    """One route's candidates, best first; an item may stand several times, through several triggers.

    ``coverage`` is the share of the index that was looked at, 0 where the route gave nothing; ``reason``
    says why it fell short.
    """

    status: RouteStatus
    candidates: Sequence[Candidate] = ()
    coverage: float = 0.0
    took_ms: float = 0.0
    reason: str | None = None

    @property
    def returned(self) -> int:
        """Distinct items."""
        return len({candidate.item_id for candidate in self.candidates})

    @property
    def short(self) -> bool:
        """Whether the route should have given more than it did."""
        return self.status in ("timeout", "error") or (self.status == "ok" and self.coverage < 1.0)
