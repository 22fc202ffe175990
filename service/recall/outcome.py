"""What a route gives back, and whether it could.

`Source` and `Item` are plain dictionaries in the form that the answer has on the wire: a recall makes
hundreds of them, and each is built once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, NotRequired, TypedDict

RouteName = Literal["q2i", "i2i"]
#: ``skipped``: there was nothing to do; ``shed``: left out under pressure.
RouteStatus = Literal["ok", "timeout", "error", "skipped", "shed"]


class Source(TypedDict):
    """How one route, through one trigger, found an item."""

    route: RouteName
    trigger: NotRequired[str]
    #: Place among the results of this route and trigger, from 1.
    rank: int
    #: Cosine to the query (Q2I) or to the trigger (I2I).
    score: float


class Item(TypedDict):
    """An item of the answer."""

    item_id: str
    score: float
    sources: list[Source]


class Candidate(NamedTuple):
    """An item as one route, through one trigger, found it."""

    item_id: str
    #: The score on the common scale of all routes, for ``merge = "score"``.
    value: float
    source: Source


@dataclass(frozen=True, slots=True)
class RouteOutcome:
    """One route's candidates, best first; an item may stand several times, through several triggers.

    ``returned`` counts distinct items. ``coverage`` is the share of the index that was looked at, 0 where
    the route gave nothing; ``reason`` says why it fell short.
    """

    status: RouteStatus
    candidates: Sequence[Candidate] = ()
    returned: int = 0
    coverage: float = 0.0
    took_ms: float = 0.0
    reason: str | None = None

    @property
    def short(self) -> bool:
        """Whether the route should have given more than it did."""
        return self.status in ("timeout", "error") or (self.status == "ok" and self.coverage < 1.0)
