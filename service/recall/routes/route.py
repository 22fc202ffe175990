"""What a route is: one way to find items for a query."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from artifacts.bundle import Behaviour
from common.arrays import F32
from common.deadline import Deadline
from index.filters import Filter
from index.port import FarIndex, ItemIndex, LexicalIndex, PhotoIndex, RankedIndex
from service.recall.routes.first import First
from service.recall.routes.neighbours import NeighbourCache
from service.recall.routes.outcome import RouteOutcome

Share = Annotated[float, Field(ge=0.0, le=1.0)]
#: Of a route. *Inferred*: a cosine of 0.1 at 10 is the best there is.
Weight = Annotated[float, Field(ge=0.0, le=10.0, allow_inf_nan=False)]


class RouteSettings(BaseModel):
    """The table ``[recall.<name>]`` of a route; a subclass adds keys and gives these other defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Whether the route is run.
    enabled: bool = True
    #: Share of the answer's places that the route is sure of when it has that many items. A browse, which
    #: asks for nothing, has no such places.
    share: Share = 0.0
    #: Load above which the route is left out (see ``limits.shed_candidates_at``); None: it never is.
    shed_at: Share | None = None
    #: Factor on what the route's items are worth; a request may give another. 0: the route is not run.
    weight: Weight = 1.0

    def shed(self, load: float) -> bool:
        """Whether the route is left out at this load."""
        return self.enabled and self.shed_at is not None and load > self.shed_at


S = TypeVar("S", bound=RouteSettings)


@dataclass(slots=True, kw_only=True)  # a frozen one takes several times as long to make
class RouteRequest:
    """What the routes get; nobody changes it.

    Attributes:
        text: the query's text in its normal form.
        user_id: who asks, where it was told.
        embedding: the query's embedding ``[dim]``, of unit length.
        k: items wanted.
        filters: what every item must fulfil.
        history: the user's behaviours, most recent first.
        now: the time of day.
        deadline: of every route.
        tables: each route's settings, by its name.
        index: where the items are.
        heads: its nearest items of queries without a history.
        neighbours: its nearest items of triggers.
        lexical: searches by words; None where the index holds no texts.
        photos: searches by pictures; None where the index holds no picture features.
        ranked: lists items by an attribute; None where the index does not say how popular items are.
        far: answers what routes need of the index together; None where it is near.
        photo: the picture feature of the query's picture ``[picture_dim]``, of unit length; None where the
            query has no picture, or the index no picture features, or where the route for it is shed.
        pictured: whether the query has a picture.
        interests: the user's interest vectors ``[n, dim]``, of unit length; None where the bundle gives none.
        pull: how much the history turned the query, 0 to 1; 0 where the bundle does not say.
        empty: there is nothing to search by: no words, no picture and no history that is known.
        browse: there is no query to be close to, so floors on the closeness to it do not apply.
        common: no history is in the embedding, so others will search by the same one.
        kept: whether what is found may be kept for others who ask alike.
        notes: what a route tells of its way, by its name, for `Route.explain`. It is written while the route
            runs, so it stays when the route is cut off.
        first: for an index that is far: the search by the embedding, with the vectors that routes want.
        judged: routes whose scores a fitted curve judges, so that a floor of theirs does not apply.
        traced: whether each route is a span of its request.
    """

    text: str
    user_id: str | None
    embedding: F32
    k: int
    filters: Filter | None
    history: Sequence[Behaviour]
    now: datetime
    deadline: Deadline
    tables: Mapping[str, RouteSettings]
    index: ItemIndex
    heads: NeighbourCache
    neighbours: NeighbourCache
    lexical: LexicalIndex | None = None
    photos: PhotoIndex | None = None
    ranked: RankedIndex | None = None
    far: FarIndex | None = None
    photo: F32 | None = None
    pictured: bool = False
    interests: F32 | None = None
    pull: float = 0.0
    empty: bool = False
    browse: bool = False
    common: bool = False
    kept: bool = True
    notes: dict[str, object] = field(default_factory=dict)
    first: First | None = None
    judged: Collection[str] = ()
    traced: bool = False


#: Outcomes of the routes that began before, by name; each is there when its route has ended.
Earlier: TypeAlias = Mapping[str, "asyncio.Future[RouteOutcome]"]


class Route(ABC, Generic[S]):
    """Finds items for a query. One object serves all requests, so it keeps nothing of any of them."""

    #: In answers, settings, metrics and degraded codes: lower case letters and digits.
    name: ClassVar[str]
    #: The keys of its table.
    settings: type[S]
    #: Whether it searches by words, picture or history; without any of these it is then left out.
    needs_query: ClassVar[bool] = True

    def table(self, request: RouteRequest) -> S:
        """Its settings for this request."""
        table = request.tables[self.name]
        assert isinstance(table, self.settings)
        return table

    def wanted(self, request: RouteRequest) -> bool:
        """Whether the request has what the route searches by, so that it is missed where it is shed."""
        return True

    def idle(self, request: RouteRequest) -> str | None:
        """Why the route has nothing to do for this request; it is then skipped, and costs no task."""
        return None

    def waits(self, request: RouteRequest) -> bool:
        """Whether it can begin only when the routes that do not wait have ended."""
        return False

    def reads(self, request: RouteRequest) -> tuple[Sequence[str], int]:
        """Items whose vectors it will want, and of how many of the nearest: for `RouteRequest.first`."""
        return (), 0

    @abstractmethod
    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        """Find items, best first.

        The caller measures the time, cuts the route off at the deadline and makes an outcome of an error:
        whatever becomes of one route, the others go on.

        Raises:
            IndexUnavailable: the index gave no answer.
        """

    def explain(self, note: object) -> dict[str, Any]:
        """Keys that the route adds to ``explain``; ``note`` is what it left in the notes, or None."""
        return {}
