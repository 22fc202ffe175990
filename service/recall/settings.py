"""The table ``[recall]``: how the routes' items are merged, and a table for each route."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from service.recall.boosts import MAX_BOOSTS, Boost
from service.recall.diversity import Diversity
from service.recall.routes import ROUTES
from service.recall.routes.route import Route, RouteSettings

#: How a ranking is made of the routes' candidates; see `service.recall.merge`.
TeamMethod = Literal["score", "rrf", "calibrated"]
MergeMethod = Literal["score", "rrf", "calibrated", "interleave"]


class Recall(BaseModel):
    """How items are recalled and merged; `composed_recall` adds the routes' tables, such as ``[recall.i2i]``.

    All values are *inferred*: the paper gives none of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    #: Names of the routes that have a table here.
    routes: ClassVar[tuple[str, ...]] = ()

    #: With Q2I and I2I alone ``calibrated`` is ``score``.
    merge: MergeMethod = "calibrated"
    #: Constant of reciprocal-rank fusion.
    rrf_k: int = Field(default=60, ge=1)
    #: Teams of ``merge = "interleave"``: two or more methods; without any, each route is a team.
    teams: tuple[TeamMethod, ...] = Field(default=(), max_length=3)
    #: Boosts of requests that bring none; a table for each under ``[[recall.boosts]]``.
    boosts: tuple[Boost, ...] = Field(default=(), max_length=MAX_BOOSTS)
    #: At most so many items of a brand or a parent product, for requests that bring no limit.
    diversity: Diversity | None = None
    #: Whether the rules of ``rules.path`` hold.
    rules: bool = True

    @cached_property
    def weights(self) -> Mapping[str, float] | None:
        """Each route's weight; None where all have 1."""
        weights = {name: table.weight for name, table in self.tables.items()}
        return None if set(weights.values()) <= {1.0} else weights

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """Each route's share of an answer."""
        return {name: table.share for name, table in self.tables.items()}

    @cached_property
    def tables(self) -> dict[str, RouteSettings]:
        """Each route's table, by its name."""
        return {name: getattr(self, name) for name in self.routes}

    def changed(self, *changes: Mapping[str, Any]) -> Recall:
        """The options with changes to some keys, one after the other, also to keys within a route's table.

        Raises:
            ValidationError: there is no such key, or a value is out of its bounds.
        """
        values = self.model_dump()
        for change in changes:
            values = merged(values, change)
        return self.model_validate(values)

    @model_validator(mode="after")
    def _teams(self) -> Recall:
        if len(self.teams) == 1 or len(set(self.teams)) < len(self.teams):
            raise ValueError("teams are two or three different methods, or none, for a team of each route")
        return self

    @model_validator(mode="after")
    def _shares(self) -> Recall:
        shares = self.shares
        if sum(shares.values()) > 1.0 + 1e-9:
            listed = " + ".join(f"{name}.share {share:g}" for name, share in shares.items())
            raise ValueError(f"the routes' shares of an answer are above 1: {listed}")
        return self


def composed_recall() -> type[Recall]:
    """`Recall` with a table for each route that is registered, those of extensions among them."""
    return _compose(tuple(ROUTES.values()))


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Tables with changes put in, also deep in tables of tables."""
    result = dict(values)
    for key, change in changes.items():
        before = result.get(key)
        if isinstance(before, Mapping) and isinstance(change, Mapping):
            change = merged(before, change)
        result[key] = change
    return result


@cache
def _compose(routes: tuple[Route[Any], ...]) -> type[Recall]:
    tables: dict[str, Any] = {route.name: (route.settings, route.settings()) for route in routes}
    composed = create_model("Recall", __base__=Recall, __doc__=Recall.__doc__, **tables)
    composed.routes = tuple(tables)
    return composed
