"""What a route gives back, and whether it could.

`Source` and `Item` are plain dictionaries in the form that the answer has on the wire: a recall makes
hundreds of them, and each is built once. The OpenAPI document derives their schemas from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from common.schema import OMITTED, OneOf

RouteName = Annotated[str, OneOf(lambda: ("q2i", "i2i"))]
#: ``skipped``: there was nothing to do; ``shed``: left out under pressure.
RouteStatus = Literal["ok", "timeout", "error", "skipped", "shed"]
_STRICT = ConfigDict(extra="forbid", strict=True)


@with_config(_STRICT)
class Source(TypedDict):
    """How one route found an item."""

    route: RouteName
    trigger: NotRequired[
        Annotated[str | None, Field(description="I2I: the item whose neighbour this is."), OMITTED]
    ]
    rank: Annotated[int, Field(description="Place among the results of this route and trigger, from 1.")]
    score: Annotated[float, Field(description="Cosine to the query (q2i) or to the trigger (i2i).")]


@with_config(_STRICT)
class Item(TypedDict):
    """An item of the answer."""

    item_id: str
    score: Annotated[
        float,
        Field(
            description="Higher is better, comparable within one answer. With merge=score the best of the "
            "cosine to the query and I2I's calibrated path score; with merge=rrf the sum of reciprocal ranks."
        ),
    ]
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
