"""What a route gives back, and whether it could.

`Source` and `Item` are plain dictionaries in the form that the answer has on the wire: a recall makes
hundreds of them, and each is built once. The OpenAPI document derives their schemas from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, overload

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from common.arrays import F32
from common.schema import OMITTED, OneOf, closed
from index.port import Neighbours, StoredVectors


def _route_names() -> tuple[str, ...]:
    from service.recall.routes import ROUTES  # which holds routes that are made of what is defined here

    return tuple(ROUTES)


RouteName = Annotated[str, OneOf(_route_names)]
#: ``skipped``: there was nothing to do; ``shed``: left out under load.
RouteStatus = Literal["ok", "timeout", "error", "skipped", "shed"]


@closed
class Source(TypedDict):
    """How one route found an item."""

    route: RouteName
    trigger: NotRequired[
        Annotated[str | None, Field(description="I2I: the item whose neighbour this is."), OMITTED]
    ]
    rank: Annotated[int, Field(description="Place among the results of this route and trigger, from 1.")]
    score: Annotated[
        float,
        Field(
            description="Cosine to the query (q2i), the trigger (i2i), the nearest interest (u2i) or the "
            "picture (p2i); BM25 (lexical); popularity, as a share of the most popular item's (popular)."
        ),
    ]


@closed
class Item(TypedDict):
    """An item of the answer."""

    item_id: str
    score: Annotated[
        float,
        Field(
            description="Higher is better, comparable within one answer. With merge=score the best of the "
            "cosine to the query and I2I's calibrated path score; with merge=rrf the sum of 1 / ranks; "
            "with merge=calibrated the best cosine, and what other routes' scores are worth beside it; with "
            "merge=interleave 1 / place."
        ),
    ]
    sources: list[Source]
    pinned: NotRequired[
        Annotated[
            bool | None,
            Field(
                description="It stands where a rule pinned it, whatever its score; 0 where no route found it."
            ),
            OMITTED,
        ]
    ]
    fields: NotRequired[
        Annotated[
            dict[str, Any] | None,
            Field(
                description="What the item has of `fields`: `title` as the shop wrote it, other strings as "
                "filters compare them, without regard to case."
            ),
            OMITTED,
        ]
    ]
    team: NotRequired[
        Annotated[str | None, Field(description="With merge=interleave: the team that picked it."), OMITTED]
    ]


class Candidate(NamedTuple):
    """An item as one route, through one trigger, found it."""

    item_id: str
    #: The score on the common scale of all routes, for ``merge = "score"``.
    value: float
    source: Source


class CandidateColumns(Sequence[Candidate]):
    """Candidates as three lists of one length, which nobody changes.

    Most candidates are merged and never looked at one by one: to make a `Candidate` of each took a fortieth
    of a remembered ``POST /recall``.
    """

    __slots__ = ("item_ids", "sources", "values")

    def __init__(self, item_ids: list[str], values: list[float], sources: list[Source]) -> None:
        self.item_ids = item_ids
        self.values = values
        self.sources = sources

    def __len__(self) -> int:
        return len(self.item_ids)

    def __iter__(self) -> Iterator[Candidate]:
        rows = zip(self.item_ids, self.values, self.sources, strict=True)
        return map(tuple.__new__, repeat(Candidate), rows)  # in half the time that calling it takes

    @overload
    def __getitem__(self, place: int) -> Candidate: ...
    @overload
    def __getitem__(self, place: slice) -> CandidateColumns: ...
    def __getitem__(self, place: int | slice) -> Candidate | CandidateColumns:
        if isinstance(place, slice):
            return CandidateColumns(self.item_ids[place], self.values[place], self.sources[place])
        return Candidate(self.item_ids[place], self.values[place], self.sources[place])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        return repr(list(self))


@dataclass(slots=True)
class RouteOutcome:
    """What became of one route.

    Attributes:
        status: how it ended.
        candidates: best first; an item may stand several times, through several triggers.
        returned: distinct items among them.
        coverage: share of the index that was looked at, 0 where the route gave nothing.
        took_ms: milliseconds; whoever runs the route notes them.
        reason: why it fell short.
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


def columns_of(candidates: Sequence[Candidate]) -> Iterable[tuple[str, float, Source]]:
    """The item, value and source of each candidate."""
    if isinstance(candidates, CandidateColumns):
        return zip(candidates.item_ids, candidates.values, candidates.sources, strict=True)
    return candidates


def ids_of(candidates: Sequence[Candidate]) -> list[str]:
    """The item of each candidate; nobody changes the list."""
    if isinstance(candidates, CandidateColumns):
        return candidates.item_ids
    return [candidate.item_id for candidate in candidates]


def values_of(candidates: Sequence[Candidate]) -> dict[str, float]:
    """The value of each item, the last where it stands several times."""
    if isinstance(candidates, CandidateColumns):
        return dict(zip(candidates.item_ids, candidates.values, strict=True))
    return {item_id: value for item_id, value, _ in candidates}


def rounded(scores: F32) -> list[float]:
    """Cosines as they are shown; fp16 vectors carry no more digits, and short numbers are written faster."""
    values: list[float] = scores.astype(np.float64).round(5).tolist()
    return values


def reasons(found: Sequence[Neighbours | StoredVectors]) -> str | None:
    """Why searches and look-ups saw a part of the index only; None where none did."""
    return ", ".join(sorted({reason for near in found for reason in near.degraded})) or None
